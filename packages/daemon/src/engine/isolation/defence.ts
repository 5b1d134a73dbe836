// Runtime defence: sees that a container runs a file that it wrote itself, that a process of it rises above its rights, or moves to
// other namespaces; tells of it as an event, and pauses or kills the container where that was asked for. Nothing waits for us.
import { closeSync, openSync, readlinkSync } from "node:fs";
import {
  describeExecution,
  type Execution,
  ExecutionWatch,
  KernelError,
  mappedId,
  type NamespaceInodes,
  namespaceInodes,
  namespaceKinds,
  ProcessEvents,
  processCgroups,
  processStatus,
} from "@tsd/kernel-bindings";
import { type Reaction, reactions } from "../../api/defence.ts";
import { comesFrom } from "../../runtime/verify/processes.ts";
import type { LifecycleObserver } from "../containers/lifecycle.ts";
import type { ContainerOperations } from "../containers/operations.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import type { ExecService } from "../exec/service.ts";
import { watchedMounts, wroteItself } from "./executables.ts";
import type { Verifier } from "./verify.ts";

export interface DefenceParts {
  containers: ContainerService;
  operations: ContainerOperations;
  execs: ExecService;
  verifier: Verifier;
  report: (problem: unknown, what: string) => void;
}

/** What is seen: a file that was written inside and executed; more rights than were given; another namespace. */
export type DefenceKind = "executable" | "privilege" | "namespace";

interface Guarded {
  container: Container;
  reaction: Reaction;
  /** Of process 1, when its life began. */
  namespaces: NamespaceInodes;
  /** What was told already. */
  told: Set<string>;
  /** Executables that were found to be the image's own, but for their mode or owner. */
  known: Set<string>;
  reacted: boolean;
}

/** Milliseconds between two looks at what the kernel has to tell, and between two looks at every process. */
const LOOK_EVERY = 50;
const SAMPLE_EVERY = 5000;
/** Events of one container's life: who does more of it is known by now. */
const MOST_TOLD = 50;
const ALLOWED_TO_BE_LOST = "the kernel had more to tell than it kept";

export class Defence implements LifecycleObserver {
  readonly #parts: DefenceParts;
  readonly #guarded = new Map<string, Guarded>();
  readonly #mounts = new Map<number, { guarded: Guarded; image: boolean }>();
  #default: Reaction = "off";
  #executions: ExecutionWatch | undefined;
  #events: ProcessEvents | undefined;
  #looking: NodeJS.Timeout | undefined;
  #sampling: NodeJS.Timeout | undefined;
  #sample: Promise<void> | undefined;
  /** Events there were. */
  told = 0;

  constructor(parts: DefenceParts) {
    this.#parts = parts;
  }

  /** Sets the reaction of containers that do not say, from now on. */
  configure(reaction: Reaction): void {
    this.#default = reaction;
    for (const container of this.#parts.containers.registry.all())
      if (container.alive) this.#guard(container);
  }

  /** Between the daemon's and its own the stronger one holds, unless it wants none. */
  reactionOf(container: Container): Reaction {
    // Records of before there was this lack it.
    const own = container.record.definition.hostConfig.Defence || this.#default;
    if (own === "off") return "off";
    return reactions[Math.max(reactions.indexOf(own), reactions.indexOf(this.#default))] ?? "off";
  }

  started(container: Container): void {
    this.#guard(container);
  }

  ended({ id }: Container): void {
    this.#release(id);
  }

  #guard(container: Container): void {
    const reaction = this.reactionOf(container);
    const known = this.#guarded.get(container.id);
    if (known && reaction !== "off") known.reaction = reaction;
    else if (known) this.#release(container.id);
    else if (reaction !== "off") {
      try {
        this.#watch(container, reaction);
      } catch (error) {
        // One that has ended already needs no guard.
        if (processStatus(container.state.pid)) this.#parts.report(error, `defence of ${container.id}`);
      }
    }
  }

  #watch(container: Container, reaction: Reaction): void {
    const { pid } = container.state;
    const guarded: Guarded = {
      container,
      reaction,
      namespaces: namespaceInodes(pid),
      told: new Set(),
      known: new Set(),
      reacted: false,
    };
    this.#guarded.set(container.id, guarded);
    this.#open();
    for (const { id, image } of watchedMounts(pid, (path) => this.#executions?.watchMount(path)))
      this.#mounts.set(id, { guarded, image });
    // The command itself has been executed by now.
    this.#executed(describeExecution(openSync(`/proc/${pid}/exe`, "r"), pid));
  }

  #release(id: string): void {
    if (!this.#guarded.delete(id)) return;
    for (const [mount, { guarded }] of this.#mounts)
      if (guarded.container.id === id) this.#mounts.delete(mount);
    if (this.#guarded.size === 0) this.close();
  }

  /** Begins to listen, with the first container that is guarded. */
  #open(): void {
    if (this.#looking) return;
    const attempt = <T>(make: () => T, what: string): T | undefined => {
      try {
        return make();
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        this.#parts.report(error, what);
        return undefined;
      }
    };
    this.#executions = attempt(
      () => new ExecutionWatch(),
      "defence: fanotify is missing: executables that containers wrote are not seen",
    );
    this.#events = attempt(
      () => new ProcessEvents(),
      "defence: process events (CONFIG_PROC_EVENTS, and the machine's first namespaces) are missing: what processes become is looked at every 5 s only",
    );
    this.#looking = setInterval(() => this.#look(), LOOK_EVERY).unref();
    this.#sampling = setInterval(() => {
      this.#sample ??= this.#sampleAll()
        .catch((error) => this.#parts.report(error, "defence: a look at processes"))
        .finally(() => {
          this.#sample = undefined;
        });
    }, SAMPLE_EVERY).unref();
  }

  close(): void {
    clearInterval(this.#looking);
    clearInterval(this.#sampling);
    this.#looking = undefined;
    this.#executions?.close();
    this.#events?.close();
    this.#executions = undefined;
    this.#events = undefined;
    this.#guarded.clear();
    this.#mounts.clear();
  }

  #look(): void {
    try {
      const executed = this.#executions?.read();
      for (const execution of executed?.executions ?? []) this.#executed(execution);
      const happened = this.#events?.read();
      for (const { pid } of happened?.events ?? []) this.#happened(pid);
      if (executed?.lost || happened?.lost) this.#parts.report(new Error(ALLOWED_TO_BE_LOST), "defence");
    } catch (error) {
      this.#parts.report(error, "defence: reading what the kernel tells");
      this.#events?.close();
      this.#events = undefined;
    }
  }

  #executed(execution: Execution): void {
    const { descriptor, path, pid } = execution;
    const mount = this.#mounts.get(execution.mountId);
    if (!mount || mount.guarded.told.has(`executable\n${path}`)) {
      closeSync(descriptor);
      return;
    }
    const { guarded, image } = mount;
    const { starter } = this.#parts.containers;
    const layers = {
      upper: `${starter.layer(guarded.container.id)}/diff`,
      below: starter.layersBelow(guarded.container),
    };
    const judged = image ? wroteItself(execution, layers, guarded.known) : Promise.resolve(true);
    judged
      .then((own) => {
        if (own) this.#tell(guarded, "executable", path, pid, "written in the container, and executed");
      })
      .catch((error) => this.#parts.report(error, `defence: looking at ${path} of ${guarded.container.id}`))
      .finally(() => closeSync(descriptor));
  }

  /** A process has executed something, or has become another user: if it is a container's, it is looked at. */
  #happened(pid: number): void {
    const groups = [...(processCgroups(pid)?.values() ?? [])].join("\n");
    for (const id of groups.match(/[0-9a-f]{64}/g) ?? []) {
      const guarded = this.#guarded.get(id);
      if (!guarded) continue;
      this.#judge(guarded, pid);
      return;
    }
  }

  #judge(guarded: Guarded, pid: number): void {
    const { container, namespaces } = guarded;
    const program = executable(pid);
    const status = processStatus(pid);
    // The launcher itself, on its way to a command.
    if (!status || program.startsWith("/memfd:tsd-")) return;
    const name = `${status.name} (${status.innerPid})`;
    if (program.startsWith("/memfd:"))
      this.#tell(guarded, "executable", program, pid, "executed from memory, without a file");
    const expectation = this.#parts.verifier.expectation(container);
    if (!expectation || comesFrom(pid, this.#parts.execs.privilegedProcesses(container))) return;
    const own = namespaceInodes(pid);
    // In a user namespace of its own it is root over nothing.
    if (
      own.user === namespaces.user &&
      (status.capabilities.permitted & ~(expectation.bounding ?? ~0n)) !== 0n
    )
      this.#tell(guarded, "privilege", name, pid, "has capabilities that the container was not given");
    const root = mappedId(pid, "uid_map", 0);
    const [real, effective] = status.uids;
    const given = expectation.user?.uid === 0 || comesFrom(pid, this.#parts.execs.processes(container));
    if (effective === root && (real !== root || !given))
      this.#tell(guarded, "privilege", name, pid, `became root${real === root ? "" : ` (was user ${real})`}`);
    const moved = namespaceKinds.filter(
      (kind) => kind !== "time" && own[kind] !== 0 && own[kind] !== namespaces[kind],
    );
    if (moved.length > 0)
      this.#tell(guarded, "namespace", name, pid, `is in other namespaces: ${moved.join(", ")}`);
  }

  /** What no event tells of: every process, now and then. */
  async #sampleAll(): Promise<void> {
    const all = [...this.#guarded.values()];
    for (const guarded of all) {
      const { pid } = guarded.container.state;
      const now = namespaceInodes(pid);
      const moved = namespaceKinds.filter(
        (kind) => now[kind] !== 0 && now[kind] !== guarded.namespaces[kind],
      );
      if (moved.length > 0 && guarded.container.alive)
        this.#tell(guarded, "namespace", "process 1", pid, `went to other namespaces: ${moved.join(", ")}`);
    }
    const found = await this.#parts.verifier.processes(all.map(({ container }) => container));
    for (const [container, drifts] of found) {
      const guarded = this.#guarded.get(container.id);
      if (!guarded) continue;
      for (const { subject, what, found: text } of drifts) {
        const kind = subject === "namespace" ? "namespace" : "privilege";
        if (subject === "resource limit") continue;
        const pid = Number(/process (\d+)/.exec(what)?.[1] ?? 0);
        this.#tell(guarded, kind, what, pid, text);
      }
    }
  }

  #tell(guarded: Guarded, kind: DefenceKind, what: string, pid: number, detail: string): void {
    const { container, told, reaction } = guarded;
    const key = `${kind}\n${what}`;
    if (told.has(key) || told.size >= MOST_TOLD || this.#guarded.get(container.id) !== guarded) return;
    told.add(key);
    this.told++;
    const { containers } = this.#parts;
    containers.announce(container, "defence", { kind, what, pid: String(pid), detail, reaction });
    if (reaction === "report" || guarded.reacted) return;
    guarded.reacted = true;
    this.#react(container, reaction).catch((error) => {
      // It may have ended by itself.
      if (container.alive && !container.paused)
        this.#parts.report(error, `defence: ${reaction} of ${container.id}`);
    });
  }

  async #react(container: Container, reaction: Reaction): Promise<void> {
    if (reaction === "pause") await this.#parts.operations.pause(container);
    // As if somebody had killed it: its policy does not start it again.
    else this.#parts.containers.kill(container, container.id, "SIGKILL");
  }
}

/** What a process executes; "" when it is gone. */
function executable(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return "";
  }
}
