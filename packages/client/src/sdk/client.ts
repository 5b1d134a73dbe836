// A typed client of the engine's API; every call rejects with ApiError, or ConnectionError when nobody answers.

import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type {
  ContainerCreateRequest,
  ContainerInspect,
  ContainerStats,
  ContainerSummary,
  ContainerUpdateRequest,
  EventMessage,
  ExecCreateRequest,
  ExecInspect,
  HistoryItem,
  ImageInspect,
  ImageRemoval,
  ImageSummary,
  PathStat,
  SystemInfo,
  SystemVersion,
} from "@tsd/daemon/api";
import type { ResponseHead } from "./response-parser.ts";
import { type Answer, collect, parseHost, type RequestOptions, request, type Target } from "./transport.ts";

type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Leaves out what is undefined, false and empty; lists repeat their name. */
function withQuery(path: string, query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]) => {
    if (value === undefined || value === false || value === "") return [];
    const values = Array.isArray(value) ? value : [value === true ? "1" : String(value)];
    return values.map((one) => `${encodeURIComponent(name)}=${encodeURIComponent(one)}`);
  });
  return pairs.length > 0 ? `${path}?${pairs.join("&")}` : path;
}

const imagePath = (name: string): string => name.split("/").map(encodeURIComponent).join("/");

/** The header that tells of a path in a container. */
function pathStat(head: ResponseHead): PathStat {
  const value = head.headers.get("x-docker-container-path-stat") ?? "";
  return JSON.parse(Buffer.from(value, "base64").toString("utf8")) as PathStat;
}

/** An attached connection: what the process writes, and the way to its stdin. */
export interface AttachedStream {
  output: Readable;
  input: Socket;
}

export interface AttachOptions {
  stdin?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  logs?: boolean;
  detachKeys?: string | undefined;
}

export interface LogsOptions {
  follow?: boolean;
  stdout?: boolean;
  stderr?: boolean;
  since?: string | undefined;
  until?: string | undefined;
  timestamps?: boolean;
  tail?: string | undefined;
}

export class TsdClient {
  readonly #target: Target;

  /** `host` is unix:///PATH or tcp://HOST:PORT. */
  constructor(options: { host: string }) {
    this.#target = parseHost(options.host);
  }

  send(options: RequestOptions): Promise<Answer> {
    return request(this.#target, options);
  }

  async #json<T>(options: RequestOptions): Promise<T> {
    return JSON.parse((await collect((await this.send(options)).body)).toString("utf8")) as T;
  }

  async #done(options: RequestOptions): Promise<void> {
    const { body } = await this.send(options);
    await collect(body);
  }

  version = (): Promise<SystemVersion> => this.#json({ path: "/version" });
  info = (): Promise<SystemInfo> => this.#json({ path: "/info" });

  async *events(query: {
    since?: string | undefined;
    until?: string | undefined;
    filters?: string | undefined;
  }): AsyncGenerator<EventMessage> {
    yield* this.#lines<EventMessage>({ path: withQuery("/events", query) });
  }

  /** An answer of lines of JSON. */
  async *#lines<T>(options: RequestOptions): AsyncGenerator<T> {
    const { body } = await this.send(options);
    let rest = "";
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim()) yield JSON.parse(line) as T;
    }
  }

  /** Ends the daemon, and its containers if asked to. */
  shutdown = (stopContainers: boolean): Promise<void> =>
    this.#done({
      method: "POST",
      path: withQuery("/tsd/shutdown", { "stop-containers": stopContainers }),
    });

  readonly containers = {
    create: (
      body: ContainerCreateRequest,
      name?: string,
      platform?: string,
    ): Promise<{ Id: string; Warnings: string[] }> =>
      this.#json({ method: "POST", path: withQuery("/containers/create", { name, platform }), body }),
    list: (query: {
      all?: boolean;
      limit?: number;
      size?: boolean;
      filters?: string;
    }): Promise<ContainerSummary[]> => this.#json({ path: withQuery("/containers/json", query) }),
    inspect: (id: string): Promise<ContainerInspect> =>
      this.#json({ path: `/containers/${encodeURIComponent(id)}/json` }),
    start: (id: string, detachKeys?: string): Promise<void> =>
      this.#done({
        method: "POST",
        path: withQuery(`/containers/${encodeURIComponent(id)}/start`, { detachKeys }),
      }),
    stop: (id: string, query: { t?: string | undefined; signal?: string | undefined }): Promise<void> =>
      this.#done({ method: "POST", path: withQuery(`/containers/${encodeURIComponent(id)}/stop`, query) }),
    restart: (id: string, query: { t?: string | undefined; signal?: string | undefined }): Promise<void> =>
      this.#done({ method: "POST", path: withQuery(`/containers/${encodeURIComponent(id)}/restart`, query) }),
    kill: (id: string, signal?: string): Promise<void> =>
      this.#done({
        method: "POST",
        path: withQuery(`/containers/${encodeURIComponent(id)}/kill`, { signal }),
      }),
    remove: (id: string, query: { force?: boolean; v?: boolean; link?: boolean }): Promise<void> =>
      this.#done({ method: "DELETE", path: withQuery(`/containers/${encodeURIComponent(id)}`, query) }),
    resize: (id: string, rows: number, columns: number): Promise<void> =>
      this.#done({
        method: "POST",
        path: `/containers/${encodeURIComponent(id)}/resize?h=${rows}&w=${columns}`,
      }),
    /** Resolves once the engine waits; `exit` then resolves with the exit code. */
    wait: async (id: string, condition?: string): Promise<{ exit: Promise<number> }> => {
      const path = withQuery(`/containers/${encodeURIComponent(id)}/wait`, { condition });
      const { body } = await this.send({ method: "POST", path });
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
    },
    attach: async (id: string, options: AttachOptions): Promise<AttachedStream> => {
      const path = withQuery(`/containers/${encodeURIComponent(id)}/attach`, { stream: true, ...options });
      const { body, socket } = await this.send({ method: "POST", path, upgrade: true });
      return { output: body, input: socket };
    },
    rename: (id: string, name: string): Promise<void> =>
      this.#done({
        method: "POST",
        path: withQuery(`/containers/${encodeURIComponent(id)}/rename`, { name }),
      }),
    update: (id: string, body: ContainerUpdateRequest): Promise<{ Warnings: string[] | null }> =>
      this.#json({ method: "POST", path: `/containers/${encodeURIComponent(id)}/update`, body }),
    pause: (id: string): Promise<void> =>
      this.#done({ method: "POST", path: `/containers/${encodeURIComponent(id)}/pause` }),
    unpause: (id: string): Promise<void> =>
      this.#done({ method: "POST", path: `/containers/${encodeURIComponent(id)}/unpause` }),
    top: (id: string, psArguments: string): Promise<{ Titles: string[]; Processes: string[][] }> =>
      this.#json({
        path: withQuery(`/containers/${encodeURIComponent(id)}/top`, { ps_args: psArguments }),
      }),
    changes: async (id: string): Promise<{ Path: string; Kind: number }[]> =>
      (await this.#json<{ Path: string; Kind: number }[] | null>({
        path: `/containers/${encodeURIComponent(id)}/changes`,
      })) ?? [],
    stats: (id: string): Promise<ContainerStats> =>
      this.#json({ path: `/containers/${encodeURIComponent(id)}/stats?stream=0` }),
    /** A sample each second. */
    streamStats: (id: string): AsyncGenerator<ContainerStats> =>
      this.#lines<ContainerStats>({ path: `/containers/${encodeURIComponent(id)}/stats?stream=1` }),
    export: async (id: string): Promise<Readable> =>
      (await this.send({ path: `/containers/${encodeURIComponent(id)}/export` })).body,
    /** What a path in the container stands for. */
    statPath: async (id: string, path: string): Promise<PathStat> => {
      const { head, body } = await this.send({
        method: "HEAD",
        path: withQuery(`/containers/${encodeURIComponent(id)}/archive`, { path }),
      });
      body.resume();
      return pathStat(head);
    },
    /** A tar of a path in the container. */
    copyOut: async (id: string, path: string): Promise<{ stat: PathStat; archive: Readable }> => {
      const { head, body } = await this.send({
        path: withQuery(`/containers/${encodeURIComponent(id)}/archive`, { path }),
      });
      return { stat: pathStat(head), archive: body };
    },
    /** Unpacks a tar into a directory of the container. */
    copyIn: (
      id: string,
      archive: Readable,
      query: { path: string; noOverwriteDirNonDir?: boolean; copyUIDGID?: boolean },
    ): Promise<void> =>
      this.#done({
        method: "PUT",
        path: withQuery(`/containers/${encodeURIComponent(id)}/archive`, query),
        stream: archive,
      }),
    commit: (query: {
      container: string;
      repo?: string;
      tag?: string;
      author?: string;
      comment?: string;
      changes?: readonly string[];
      pause?: string;
    }): Promise<{ Id: string }> => this.#json({ method: "POST", path: withQuery("/commit", query) }),
    prune: (filters?: string): Promise<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }> =>
      this.#json({ method: "POST", path: withQuery("/containers/prune", { filters }) }),
    logs: async (id: string, options: LogsOptions): Promise<Readable> =>
      (await this.send({ path: withQuery(`/containers/${encodeURIComponent(id)}/logs`, { ...options }) }))
        .body,
  };

  readonly execs = {
    create: (container: string, body: ExecCreateRequest): Promise<{ Id: string }> =>
      this.#json({ method: "POST", path: `/containers/${encodeURIComponent(container)}/exec`, body }),
    start: async (
      id: string,
      body: { Tty: boolean; ConsoleSize?: [number, number] },
    ): Promise<AttachedStream> => {
      const answer = await this.send({
        method: "POST",
        path: `/exec/${id}/start`,
        body: { Detach: false, ...body },
        upgrade: true,
      });
      return { output: answer.body, input: answer.socket };
    },
    startDetached: (id: string): Promise<void> =>
      this.#done({ method: "POST", path: `/exec/${id}/start`, body: { Detach: true, Tty: false } }),
    resize: (id: string, rows: number, columns: number): Promise<void> =>
      this.#done({ method: "POST", path: `/exec/${id}/resize?h=${rows}&w=${columns}` }),
    inspect: (id: string): Promise<ExecInspect> => this.#json({ path: `/exec/${id}/json` }),
  };

  readonly images = {
    list: (query: { all?: boolean; filters?: string; digests?: boolean }): Promise<ImageSummary[]> =>
      this.#json({ path: withQuery("/images/json", query) }),
    inspect: (name: string): Promise<ImageInspect> => this.#json({ path: `/images/${imagePath(name)}/json` }),
    history: (name: string): Promise<HistoryItem[]> =>
      this.#json({ path: `/images/${imagePath(name)}/history` }),
    tag: (name: string, repo: string, tag: string): Promise<void> =>
      this.#done({ method: "POST", path: withQuery(`/images/${imagePath(name)}/tag`, { repo, tag }) }),
    remove: (name: string, query: { force?: boolean; noprune?: boolean }): Promise<ImageRemoval[]> =>
      this.#json({ method: "DELETE", path: withQuery(`/images/${imagePath(name)}`, query) }),
    /** Both answer with lines of JSON. */
    import: (
      archive: Readable,
      query: { repo?: string; tag?: string; message?: string; changes?: string[] },
    ): Promise<Answer> =>
      this.send({
        method: "POST",
        path: withQuery("/images/create", { fromSrc: "-", ...query }),
        stream: archive,
      }),
    load: (archive: Readable): Promise<Answer> =>
      this.send({ method: "POST", path: "/images/load?quiet=1", stream: archive }),
  };
}
