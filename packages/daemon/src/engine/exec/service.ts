// Commands run in running containers: create, start (attached or not), resize, inspect.
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { Launch, Monitor, Plan } from "@tsd/kernel-bindings";
import type { ExecCreate } from "../../api/schemas/container-create.ts";
import { execPlan } from "../../runtime/plan.ts";
import { readUserFiles } from "../../runtime/rootview.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { specifyExec } from "../../runtime/specify.ts";
import { resolveUser } from "../../runtime/user.ts";
import { Attachment } from "../containers/attachment.ts";
import { parseDetachKeys } from "../containers/detach-keys.ts";
import { describeLaunchFailure } from "../containers/launch-error.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import { conflict, invalid, notFound } from "../errors.ts";
import { removeExecTraces } from "./traces.ts";

/** An exec instance; it stays known for a while after its end, for whoever asks for its exit code. */
export interface ExecInstance {
  readonly id: string;
  readonly container: Container;
  readonly request: ExecCreate;
  running: boolean;
  started: boolean;
  pid: number;
  exitCode: number | null;
  monitor: Monitor | undefined;
}

/** The exit code of an exec whose command could not be started, whatever the reason. */
const START_FAILED = 126;
const KEPT_AFTER_END = 5 * 60_000;

export class ExecService {
  readonly #runtime: Runtime;
  readonly #containers: ContainerService;
  readonly #report: (problem: unknown, what: string) => void;
  readonly #instances = new Map<string, ExecInstance>();

  constructor(
    runtime: Runtime,
    containers: ContainerService,
    report: (problem: unknown, what: string) => void,
  ) {
    this.#runtime = runtime;
    this.#containers = containers;
    this.#report = report;
  }

  find(id: string): ExecInstance {
    const instance = this.#instances.get(id);
    if (!instance) throw notFound(`No such exec instance: ${id}`);
    return instance;
  }

  create(reference: string, request: ExecCreate): string {
    const container = this.#containers.find(reference);
    if (!request.Cmd?.length) throw invalid("No exec command specified");
    if (!container.running) throw conflict(`container ${container.id} is not running`);
    for (const variable of request.Env ?? [])
      if (variable === "" || variable.startsWith("="))
        throw invalid(`invalid environment variable: ${variable}`);
    if (request.DetachKeys) parseDetachKeys(request.DetachKeys);
    const id = randomBytes(32).toString("hex");
    this.#instances.set(id, {
      id,
      container,
      request,
      running: false,
      started: false,
      pid: 0,
      exitCode: null,
      monitor: undefined,
    });
    container.execIds.add(id);
    this.#announce(container, id, `exec_create: ${request.Cmd.join(" ")}`);
    return id;
  }

  /** Throws when the instance can't be started now. */
  checkStartable(id: string): ExecInstance {
    const instance = this.find(id);
    if (instance.exitCode !== null && !instance.running) throw conflict(`exec command ${id} has already run`);
    if (instance.started) throw conflict(`Error: Exec command ${id} is already running`);
    if (!instance.container.running) throw conflict(`container ${instance.container.id} is not running`);
    return instance;
  }

  /** Starts the command, with the client's stream if it wants one. Resolves when the process runs. */
  async start(
    id: string,
    options: { consoleSize?: readonly number[] | undefined; client?: Duplex },
  ): Promise<void> {
    const instance = this.checkStartable(id);
    const { container } = instance;
    instance.started = true;
    let plan: Plan | undefined;
    let launch: Launch;
    try {
      const launched = this.#launch(instance, this.#plan(instance, options.consoleSize), options.client);
      launch = launched;
      plan = launched.plan;
      const { pid } = await launch.monitor.started;
      instance.pid = pid;
    } catch (cause) {
      const failure = describeLaunchFailure(cause, plan, "exec");
      this.#ended(instance, START_FAILED);
      throw failure.error;
    }
    instance.running = true;
    instance.monitor = launch.monitor;
    this.#announce(container, id, `exec_start: ${instance.request.Cmd?.join(" ")}`);
    launch.monitor.exited
      .then((exit) => this.#ended(instance, exit?.exitCode ?? 137))
      .catch((error) => this.#report(error, `end of exec ${id}`));
  }

  #plan(instance: ExecInstance, consoleSize: readonly number[] | undefined): Plan {
    const { container, request } = instance;
    const { definition, state } = container.record;
    const places = this.#runtime.places(container.id, definition.hostConfig.CgroupParent);
    const user = resolveUser(
      request.User || definition.config.User,
      definition.hostConfig.GroupAdd ?? [],
      readUserFiles({ pid: state.pid }),
    );
    const sized = consoleSize ? { ...request, ConsoleSize: [...consoleSize] } : request;
    return execPlan(
      specifyExec(this.#runtime, {
        id: instance.id,
        request: sized,
        pid: state.pid,
        config: definition.config,
        hostConfig: definition.hostConfig,
        places,
        user,
        ...this.#runtime.execPlaces(container.id, instance.id),
      }),
    );
  }

  #launch(instance: ExecInstance, plan: Plan, client: Duplex | undefined): Launch & { plan: Plan } {
    const { request, container } = instance;
    const streams = {
      stdin: request.AttachStdin,
      stdout: request.AttachStdout,
      stderr: request.AttachStderr,
    };
    if (!client) return this.#runtime.launch(plan, []);
    const launch = this.#runtime.launch(plan, [streams]);
    const keys = request.Tty && streams.stdin ? parseDetachKeys(request.DetachKeys) : undefined;
    const attachment = new Attachment(client, streams, keys, () =>
      this.#announce(container, instance.id, "exec_detach"),
    );
    const [stream] = launch.clients;
    if (stream) attachment.connect(stream);
    return launch;
  }

  #ended(instance: ExecInstance, exitCode: number): void {
    instance.running = false;
    instance.exitCode = exitCode;
    instance.monitor?.release();
    instance.monitor = undefined;
    instance.container.execIds.delete(instance.id);
    this.#announce(instance.container, instance.id, "exec_die", { exitCode: String(exitCode) });
    removeExecTraces(this.#runtime.execPlaces(instance.container.id, instance.id)).catch((error) =>
      this.#report(error, `traces of exec ${instance.id}`),
    );
    setTimeout(() => this.#instances.delete(instance.id), KEPT_AFTER_END).unref();
  }

  resize(id: string, columns: number, rows: number): void {
    const instance = this.find(id);
    if (!instance.running || !instance.monitor) throw conflict(`exec ${id} is not running`);
    instance.monitor.resize(columns, rows);
  }

  /** The body of GET /exec/{id}/json. */
  inspect(id: string): object {
    const { request, container, running, exitCode, pid } = this.find(id);
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
      ContainerID: container.id,
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
    this.#containers.announce(container, action, { execID, ...attributes });
  }
}
