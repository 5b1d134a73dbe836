// A typed client of the engine's API; every call rejects with ApiError, or ConnectionError when nobody answers.

import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type {
  ContainerCreateRequest,
  ContainerInspect,
  ContainerSummary,
  EventMessage,
  ExecCreateRequest,
  ExecInspect,
  HistoryItem,
  ImageInspect,
  ImageRemoval,
  ImageSummary,
  SystemInfo,
  SystemVersion,
} from "@tsd/daemon/api";
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
    const { body } = await this.send({ path: withQuery("/events", query) });
    let rest = "";
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString("utf8")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim()) yield JSON.parse(line) as EventMessage;
    }
  }

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
