// The SDK's containers.
import type { Readable } from "node:stream";
import type {
  CgroupPlace,
  ContainerCreateRequest,
  ContainerInspect,
  ContainerStats,
  ContainerSummary,
  ContainerUpdateRequest,
  InterfaceShape,
  PathStat,
  PortChange,
  PortMap,
  SeccompTrace,
  UsageHistory,
} from "@tsd/daemon/api";
import type { AttachedStream, Channel } from "./channel.ts";
import { containerPath, withQuery } from "./query.ts";
import type { ResponseHead } from "./response-parser.ts";
import { collect } from "./transport.ts";

export interface AttachOptions {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  /** Begins with what was written before. */
  logs?: boolean;
  /** Keys that detach a terminal, such as "ctrl-p,ctrl-q". */
  detachKeys?: string | undefined;
}

export interface LogsOptions {
  /** Goes on with what is written from now on. */
  follow?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  /** A time (RFC 3339 or Unix seconds) or a span such as "10m". */
  since?: string | undefined;
  until?: string | undefined;
  /** Puts the time before each line. */
  timestamps?: boolean;
  details?: boolean;
  /** How many of the last lines, or "all". */
  tail?: string | undefined;
}

/** How a container is stopped: seconds until it is killed, and the signal before that. */
export interface StopOptions {
  t?: string | undefined;
  signal?: string | undefined;
}

/** The header that tells of a path in a container. */
function pathStat(head: ResponseHead): PathStat {
  const value = head.headers.get("x-docker-container-path-stat") ?? "";
  return JSON.parse(Buffer.from(value, "base64").toString("utf8")) as PathStat;
}

/** Containers, by id, a prefix of it, or name. */
export class Containers {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  #post(id: string, action: string, query = {}): Promise<void> {
    return this.#channel.done({ method: "POST", path: withQuery(containerPath(id, `/${action}`), query) });
  }

  /** Makes a container and does not start it. */
  create(
    body: ContainerCreateRequest,
    name?: string,
    platform?: string,
  ): Promise<{ Id: string; Warnings: string[] }> {
    return this.#channel.json({
      method: "POST",
      path: withQuery("/containers/create", { name, platform }),
      body,
    });
  }

  /** The system calls of a container that was made with SeccompTrace and has ended. */
  seccompTrace(id: string): Promise<SeccompTrace> {
    return this.#channel.json({ path: `/tsd${containerPath(id, "/seccomp-trace")}` });
  }

  /** How a running container's traffic is shaped, interface by interface. */
  shape(id: string): Promise<InterfaceShape[]> {
    return this.#channel.json({ path: `/tsd${containerPath(id, "/shape")}` });
  }

  /** Publishes ports of a running container, and takes others back; answers with those there are then. */
  changePorts(id: string, change: PortChange): Promise<PortMap> {
    return this.#channel.json({ method: "POST", path: `/tsd${containerPath(id, "/ports")}`, body: change });
  }

  /** Lists running containers, or `all`. `filters` is JSON, such as {"label":["app=web"]}. */
  list(
    query: { all?: boolean; limit?: number; size?: boolean; filters?: string } = {},
  ): Promise<ContainerSummary[]> {
    return this.#channel.json({ path: withQuery("/containers/json", query) });
  }

  /** Everything that is known of a container. */
  inspect(id: string): Promise<ContainerInspect> {
    return this.#channel.json({ path: containerPath(id, "/json") });
  }

  /** Starts a container. Rejects with status 304 if it runs already. */
  start(id: string, detachKeys?: string): Promise<void> {
    return this.#post(id, "start", { detachKeys });
  }

  /** Stops a container, by force after a while. */
  stop(id: string, query: StopOptions = {}): Promise<void> {
    return this.#post(id, "stop", query);
  }

  /** Stops a container if it runs, and starts it. */
  restart(id: string, query: StopOptions = {}): Promise<void> {
    return this.#post(id, "restart", query);
  }

  /** Sends a signal to process 1 (default KILL). */
  kill(id: string, signal?: string): Promise<void> {
    return this.#post(id, "kill", { signal });
  }

  /** Removes a container: a running one only with `force`, its anonymous volumes only with `v`. */
  remove(id: string, query: { force?: boolean; v?: boolean; link?: boolean } = {}): Promise<void> {
    return this.#channel.done({ method: "DELETE", path: withQuery(containerPath(id), query) });
  }

  /** Tells the container's terminal its size. */
  resize(id: string, rows: number, columns: number): Promise<void> {
    return this.#post(id, "resize", { h: String(rows), w: String(columns) });
  }

  /** Resolves once the engine waits; `exit` then resolves with the exit code. `condition` is not-running (the default),
   * next-exit or removed. */
  async wait(id: string, condition?: string): Promise<{ exit: Promise<number> }> {
    const path = withQuery(containerPath(id, "/wait"), { condition });
    const { body } = await this.#channel.send({ method: "POST", path });
    const exit = collect(body).then((bytes) => {
      const answer = JSON.parse(bytes.toString("utf8")) as {
        StatusCode: number;
        Error?: { Message: string } | null;
      };
      if (answer.Error) throw new Error(answer.Error.Message);
      return answer.StatusCode;
    });
    exit.catch(() => undefined); // heard of by whoever awaits it
    return { exit };
  }

  /** Connects to the streams of process 1. */
  attach(id: string, options: AttachOptions): Promise<AttachedStream> {
    return this.#channel.attach({
      path: withQuery(containerPath(id, "/attach"), { stream: true, ...options }),
    });
  }

  /** Gives a container another name. */
  rename(id: string, name: string): Promise<void> {
    return this.#post(id, "rename", { name });
  }

  /** Changes limits and the restart policy. */
  update(id: string, body: ContainerUpdateRequest): Promise<{ Warnings: string[] | null }> {
    return this.#channel.json({ method: "POST", path: containerPath(id, "/update"), body });
  }

  /** Freezes every process of a container. */
  pause(id: string): Promise<void> {
    return this.#post(id, "pause");
  }

  /** Lets a frozen container go on. */
  unpause(id: string): Promise<void> {
    return this.#post(id, "unpause");
  }

  /** The container's processes, as ps shows them. */
  top(id: string, psArguments = ""): Promise<{ Titles: string[]; Processes: string[][] }> {
    return this.#channel.json({ path: withQuery(containerPath(id, "/top"), { ps_args: psArguments }) });
  }

  /** Files that differ from the image: 0 changed, 1 added, 2 deleted. */
  async changes(id: string): Promise<{ Path: string; Kind: number }[]> {
    const found = await this.#channel.json<{ Path: string; Kind: number }[] | null>({
      path: containerPath(id, "/changes"),
    });
    return found ?? [];
  }

  /** A container's place in the host's control groups, with every file's value and meaning. */
  cgroup(id: string): Promise<CgroupPlace> {
    return this.#channel.json({ path: `/tsd${containerPath(id, "/cgroup")}` });
  }

  /** What a container used in the last minutes. */
  statsHistory(id: string): Promise<UsageHistory> {
    return this.#channel.json({ path: `/tsd${containerPath(id, "/stats/history")}` });
  }

  /** What the container uses now; takes a second, for there are two samples in it. */
  stats(id: string): Promise<ContainerStats> {
    return this.#channel.json({ path: containerPath(id, "/stats?stream=0") });
  }

  /** A sample each second. */
  streamStats(id: string): AsyncGenerator<ContainerStats> {
    return this.#channel.lines<ContainerStats>({ path: containerPath(id, "/stats?stream=1") });
  }

  /** The container's root as a tar. */
  async export(id: string): Promise<Readable> {
    return (await this.#channel.send({ path: containerPath(id, "/export") })).body;
  }

  /** What a path in the container stands for. */
  async statPath(id: string, path: string): Promise<PathStat> {
    const { head, body } = await this.#channel.send({
      method: "HEAD",
      path: withQuery(containerPath(id, "/archive"), { path }),
    });
    body.resume();
    return pathStat(head);
  }

  /** A tar of a path in the container. */
  async copyOut(id: string, path: string): Promise<{ stat: PathStat; archive: Readable }> {
    const { head, body } = await this.#channel.send({
      path: withQuery(containerPath(id, "/archive"), { path }),
    });
    return { stat: pathStat(head), archive: body };
  }

  /** Unpacks a tar into a directory of the container. */
  copyIn(
    id: string,
    archive: Readable,
    query: { path: string; noOverwriteDirNonDir?: boolean; copyUIDGID?: boolean },
  ): Promise<void> {
    return this.#channel.done({
      method: "PUT",
      path: withQuery(containerPath(id, "/archive"), query),
      stream: archive,
    });
  }

  /** Makes an image of a container. */
  commit(query: {
    container: string;
    repo?: string;
    tag?: string;
    author?: string;
    comment?: string;
    changes?: readonly string[];
    pause?: string;
  }): Promise<{ Id: string }> {
    return this.#channel.json({ method: "POST", path: withQuery("/commit", query) });
  }

  /** Removes all that do not run. */
  prune(filters?: string): Promise<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }> {
    return this.#channel.json({ method: "POST", path: withQuery("/containers/prune", { filters }) });
  }

  /** What the container has written: without a terminal in frames (see `demultiplex`). */
  async logs(id: string, options: LogsOptions): Promise<Readable> {
    return (await this.#channel.send({ path: withQuery(containerPath(id, "/logs"), { ...options }) })).body;
  }
}
