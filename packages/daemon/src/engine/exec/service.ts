// Commands run in running containers: create, start (attached or not), resize, inspect; and healthchecks' probes.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { Duplex } from "node:stream";
import type { Launch, Monitor, Plan } from "@tsd/kernel-bindings";
import type { ContainerConfig, ExecCreate } from "../../api/schemas/container-create.ts";
import { foreignExecPlan } from "../../runtime/oci/foreign.ts";
import { execPlan } from "../../runtime/plan.ts";
import { readUserFiles } from "../../runtime/rootview.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { specifyExec } from "../../runtime/specify.ts";
import { resolveUser } from "../../runtime/user.ts";
import { everything, type Sight } from "../access/caller.ts";
import { durationText } from "../build/go-text.ts";
import { Attachment } from "../containers/attachment.ts";
import { Demultiplexer, Framer } from "../containers/demultiplex.ts";
import { parseDetachKeys } from "../containers/detach-keys.ts";
import { labelsInForce } from "../containers/labels.ts";
import { describeLaunchFailure } from "../containers/launch-error.ts";
import type { LifecycleObserver } from "../containers/lifecycle.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import { timeOffsets } from "../containers/sharing.ts";
import { conflict, type EngineError, invalid, notFound } from "../errors.ts";
import type { ExecRecord, ExecStore } from "./store.ts";
import { removeExecTraces } from "./traces.ts";

/** An exec instance; it stays known for a while after its end, for whoever asks for its exit code. */
export interface ExecInstance {
  readonly record: ExecRecord;
  readonly container: Container;
  monitor: Monitor | undefined;
  /** While it is on its way. */
  starting?: Promise<unknown> | undefined;
}

export interface ExecServiceParts {
  runtime: Runtime;
  containers: ContainerService;
  store: ExecStore;
  report: (problem: unknown, what: string) => void;
}

/** The exit code of an exec whose command could not be started, whatever the reason. */
const START_FAILED = 126;
const LOST = 137;
const SIGKILL = 9;
const KEPT_AFTER_END = 5 * 60_000;
const PROBE_OUTPUT = 4096;

export class ExecService implements LifecycleObserver {
  readonly #parts: ExecServiceParts;
  readonly #instances = new Map<string, ExecInstance>();

  constructor(parts: ExecServiceParts) {
    this.#parts = parts;
  }

  /** Takes up the instances of an earlier daemon: those that run are found again, the ends of the others are read. */
  async adopt(): Promise<void> {
    await Promise.all(this.#parts.store.all().map((record) => this.#adoptOne(record)));
  }

  async #adoptOne(record: ExecRecord): Promise<void> {
    const { runtime, containers, store } = this.#parts;
    const container = containers.registry.look(record.containerId, everything);
    if (!container) {
      store.delete(record.id);
      return;
    }
    const instance: ExecInstance = { record, container, monitor: undefined };
    this.#instances.set(record.id, instance);
    if (record.endedAt > 0) {
      this.#forgetLater(instance);
      return;
    }
    container.execIds.add(record.id);
    const places = runtime.execPlaces(container.id, record.id);
    const exit = await runtime.exitRecord(places.exitRecord);
    if (!record.running && !exit && !existsSync(places.socket)) {
      // It waits for its start; or it was on its way when the daemon died, and did not get there.
      if (record.started) this.#ended(instance, START_FAILED);
      return;
    }
    if (exit) {
      this.#ended(instance, exit.exitCode);
      return;
    }
    const monitor = runtime.adopt(places.socket);
    const start = await monitor.started.catch(() => undefined);
    if (!start) {
      this.#ended(instance, (await runtime.exitRecord(places.exitRecord))?.exitCode ?? LOST);
      return;
    }
    this.#save(instance, { started: true, running: true, pid: start.pid });
    this.#follow(instance, monitor);
  }

  /** The instance of an id, if its container exists for `sight`. */
  /** The processes that execs in a container have started. */
  processes(container: Container): ReadonlySet<number> {
    const found = new Set<number>();
    for (const id of container.execIds) {
      const record = this.#instances.get(id)?.record;
      if (record?.running) found.add(record.pid);
    }
    return found;
  }

  /** The processes that privileged execs in a container have started. */
  privilegedProcesses(container: Container): ReadonlySet<number> {
    const found = new Set<number>();
    for (const id of container.execIds) {
      const record = this.#instances.get(id)?.record;
      if (record?.running && record.request.Privileged) found.add(record.pid);
    }
    return found;
  }

  find(id: string, sight: Sight): ExecInstance {
    const instance = this.#instances.get(id);
    const there = instance && this.#parts.containers.registry.has(instance.container);
    if (!there || !sight.sees(instance.container.owner)) throw notFound(`No such exec instance: ${id}`);
    return instance;
  }

  create(container: Container, reference: string, request: ExecCreate): string {
    if (!request.Cmd?.length) throw invalid("No exec command specified");
    checkExecutable(container, reference);
    for (const variable of request.Env ?? [])
      if (variable === "" || variable.startsWith("="))
        throw invalid(`invalid environment variable: ${variable}`);
    if (request.DetachKeys) parseDetachKeys(request.DetachKeys);
    const id = randomBytes(32).toString("hex");
    const record: ExecRecord = {
      id,
      containerId: container.id,
      request,
      started: false,
      running: false,
      pid: 0,
      exitCode: null,
      endedAt: 0,
    };
    this.#parts.store.save(record);
    this.#instances.set(id, { record, container, monitor: undefined });
    container.execIds.add(id);
    this.#announce(container, id, `exec_create: ${request.Cmd.join(" ")}`);
    return id;
  }

  /** Throws when the instance can't be started now. */
  checkStartable(instance: ExecInstance): void {
    const { id, exitCode, running, started } = instance.record;
    if (exitCode !== null && !running) throw conflict(`exec command ${id} has already run`);
    if (started) throw conflict(`Error: Exec command ${id} is already running`);
    checkExecutable(instance.container, instance.container.id);
  }

  /** Starts the command, with the client's stream if it wants one. Resolves when the process runs. */
  async start(
    instance: ExecInstance,
    options: {
      consoleSize?: readonly number[] | undefined;
      client?: Duplex;
      /** The client gets bytes without the multiplexed format's headers. */
      plain?: boolean;
      /** A terminal's client gets its bytes in that format. */
      framed?: boolean;
    },
  ): Promise<void> {
    this.checkStartable(instance);
    const { container, record } = instance;
    record.started = true;
    let plan: Plan | undefined;
    let launch: Launch;
    try {
      const launched = this.#launch(instance, this.#plan(instance, options.consoleSize), options);
      launch = launched;
      plan = launched.plan;
      instance.starting = launch.monitor.started.catch(() => undefined);
      const { pid } = await launch.monitor.started;
      instance.monitor = launch.monitor;
      this.#save(instance, { running: true, pid });
    } catch (cause) {
      const failure = describeLaunchFailure(cause, plan, "exec");
      this.#ended(instance, START_FAILED);
      throw container.hasEnded ? notRunning(container) : failure.error;
    }
    this.#announce(container, record.id, `exec_start: ${record.request.Cmd?.join(" ")}`);
    this.#follow(instance, launch.monitor);
  }

  #follow(instance: ExecInstance, monitor: Monitor): void {
    instance.monitor = monitor;
    monitor.exited
      .then((exit) => this.#ended(instance, exit?.exitCode ?? LOST))
      .catch((error) => this.#parts.report(error, `end of exec ${instance.record.id}`));
  }

  /** Runs a command and collects what it says; exit code −1 when it takes longer than allowed. */
  async probe(
    container: Container,
    command: readonly string[],
    timeoutMilliseconds: number,
  ): Promise<{ exitCode: number; output: string }> {
    const id = this.create(container, container.id, {
      AttachStdin: false,
      AttachStdout: true,
      AttachStderr: true,
      ConsoleSize: null,
      DetachKeys: "",
      Tty: false,
      Env: null,
      Cmd: [...command],
      Privileged: false,
      User: "",
      WorkingDir: "",
    });
    const instance = this.find(id, everything);
    let output = "";
    let late = false;
    const client = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        if (output.length < PROBE_OUTPUT) output += chunk.toString("utf8");
        done();
      },
    });
    const ended = new Promise((resolve) => client.on("finish", resolve).on("close", resolve));
    await this.start(instance, { client, plain: true });
    const timer = setTimeout(() => {
      late = true;
      instance.monitor?.signal(SIGKILL);
    }, timeoutMilliseconds);
    await ended;
    await instance.monitor?.exited;
    clearTimeout(timer);
    this.#forget(instance.record); // nobody else knows of it
    const reason = `Health check exceeded timeout (${durationText(timeoutMilliseconds * 1e6)})`;
    if (late) return { exitCode: -1, output: output ? `${reason}: ${output}` : reason };
    return { exitCode: instance.record.exitCode ?? LOST, output };
  }

  #plan(instance: ExecInstance, consoleSize: readonly number[] | undefined): Plan {
    const { container, record } = instance;
    const { runtime } = this.#parts;
    const { definition, state } = container.record;
    const places = runtime.places(container.id, definition.hostConfig.CgroupParent);
    const user = resolveUser(
      record.request.User || definition.config.User,
      definition.hostConfig.GroupAdd ?? [],
      readUserFiles({ pid: state.pid }),
    );
    const sized = consoleSize ? { ...record.request, ConsoleSize: [...consoleSize] } : record.request;
    const spec = specifyExec(runtime, {
      id: record.id,
      request: sized,
      pid: state.pid,
      namespaces: {
        user: state.userNamespace ? { kind: "private", maps: state.userNamespace.maps } : { kind: "host" },
        time: timeOffsets(definition.hostConfig),
      },
      config: withLinks(container),
      hostConfig: definition.hostConfig,
      places,
      user,
      labels: labelsInForce(definition, runtime.modules),
      ...runtime.execPlaces(container.id, record.id),
    });
    const foreign = runtime.foreign.find(definition.hostConfig.Runtime);
    return foreign ? foreignExecPlan(spec, container.id, foreign, runtime.settings.execRoot) : execPlan(spec);
  }

  #launch(
    instance: ExecInstance,
    plan: Plan,
    { client, plain, framed }: { client?: Duplex; plain?: boolean; framed?: boolean },
  ): Launch & { plan: Plan } {
    const { container } = instance;
    const { id, request } = instance.record;
    const streams = {
      stdin: request.AttachStdin,
      stdout: request.AttachStdout,
      stderr: request.AttachStderr,
    };
    if (!client) return this.#parts.runtime.launch(plan, []);
    const launch = this.#parts.runtime.launch(plan, [streams]);
    const keys = request.Tty && streams.stdin ? parseDetachKeys(request.DetachKeys) : undefined;
    const attachment = new Attachment(
      client,
      streams,
      keys,
      () => this.#announce(container, id, "exec_detach"),
      plain ? new Demultiplexer() : framed ? new Framer() : undefined,
    );
    const [stream] = launch.clients;
    if (stream) attachment.connect(stream);
    return launch;
  }

  /** Writes down what has happened; a full disk does not undo it. */
  #save(instance: ExecInstance, changes: Partial<ExecRecord>): void {
    Object.assign(instance.record, changes);
    try {
      this.#parts.store.save(instance.record);
    } catch (error) {
      this.#parts.report(error, `state of exec ${instance.record.id}`);
    }
  }

  #ended(instance: ExecInstance, exitCode: number): void {
    const { container, record } = instance;
    this.#save(instance, { running: false, started: true, exitCode, endedAt: Date.now() });
    instance.monitor?.release();
    instance.monitor = undefined;
    container.execIds.delete(record.id);
    this.#announce(container, record.id, "exec_die", { exitCode: String(exitCode) });
    removeExecTraces(this.#parts.runtime.execPlaces(container.id, record.id)).catch((error) =>
      this.#parts.report(error, `traces of exec ${record.id}`),
    );
    this.#forgetLater(instance);
  }

  #forgetLater({ record }: ExecInstance): void {
    const left = Math.max(0, record.endedAt + KEPT_AFTER_END - Date.now());
    setTimeout(() => this.#forget(record), left).unref();
  }

  #forget({ id }: ExecRecord): void {
    if (!this.#instances.delete(id)) return;
    try {
      this.#parts.store.delete(id);
    } catch (error) {
      this.#parts.report(error, `forgetting exec ${id}`);
    }
  }

  started(): void {
    // What is executed in a container begins when a client says so.
  }

  /** Instances that were never started go with their container's life. */
  ended(container: Container): void {
    for (const id of container.execIds) {
      const instance = this.#instances.get(id);
      if (!instance || instance.record.started) continue;
      container.execIds.delete(id);
      this.#forget(instance.record);
    }
  }

  /** Sets the size of an exec's terminal; of one that is just starting, once it has. */
  async resize(instance: ExecInstance, columns: number, rows: number): Promise<void> {
    await instance.starting;
    const { record, monitor } = instance;
    if (!record.running || !monitor) throw conflict(`exec ${record.id} is not running`);
    monitor.resize(columns, rows);
  }

  /** The body of GET /exec/{id}/json. */
  inspect({ record }: ExecInstance): object {
    const { id, request, running, exitCode, pid, containerId } = record;
    const [entrypoint = "", ...rest] = request.Cmd ?? [];
    return {
      ID: id,
      Running: running,
      ExitCode: exitCode,
      ProcessConfig: {
        tty: request.Tty,
        entrypoint,
        arguments: rest,
        privileged: request.Privileged,
        ...(request.User ? { user: request.User } : {}),
      },
      OpenStdin: request.AttachStdin,
      OpenStderr: request.AttachStderr,
      OpenStdout: request.AttachStdout,
      CanRemove: exitCode !== null,
      ContainerID: containerId,
      DetachKeys: "",
      Pid: pid,
    };
  }

  #announce(
    container: Container,
    execID: string,
    action: string,
    attributes: Record<string, string> = {},
  ): void {
    this.#parts.containers.announce(container, action, { execID, ...attributes });
  }
}

/** Throws Docker's words for a container in which nothing can be executed now. */
function checkExecutable(container: Container, name: string): void {
  if (container.paused) throw conflict(`Container ${name} is paused, unpause the container before exec`);
  if (container.state.status === "restarting")
    throw conflict(`Container ${name} is restarting, wait until the container is running`);
  if (!container.alive) throw notRunning(container);
}

const notRunning = ({ id }: Container): EngineError => conflict(`container ${id} is not running`);

/** A container's configuration with what its links add to the environment. */
function withLinks({ record, state }: Container): ContainerConfig {
  const { config } = record.definition;
  return state.linkEnvironment.length === 0
    ? config
    : { ...config, Env: [...state.linkEnvironment, ...(config.Env ?? [])] };
}
