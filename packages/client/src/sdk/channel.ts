// What every call is made with: requests, and the shapes of their answers.
import type { Duplex, Readable } from "node:stream";
import { type Endpoint, makeEndpoint } from "./connect.ts";
import type { ClientOptions } from "./options.ts";
import { Pool } from "./pool.ts";
import { type Answer, collect, type RequestOptions, request } from "./transport.ts";

/** A connection to a process: what it writes, and the way to its stdin. */
export interface AttachedStream {
  /** With a terminal the bytes as they are, without one frames of stdout and stderr (see `demultiplex`). */
  output: Readable;
  /** `end()` closes the process's stdin and nothing else. */
  input: Duplex;
}

export class Channel {
  readonly #endpoint: () => Promise<Endpoint>;
  #known: Promise<Endpoint> | undefined;
  readonly #pool = new Pool();

  /** With a function the options are found out at the first call. */
  constructor(options: ClientOptions | (() => Promise<ClientOptions>)) {
    if (typeof options === "function") this.#endpoint = async () => makeEndpoint(await options());
    else {
      const endpoint = Promise.resolve(makeEndpoint(options));
      this.#endpoint = () => endpoint;
    }
  }

  /** Where requests go. */
  endpoint(): Promise<Endpoint> {
    this.#known ??= this.#endpoint();
    return this.#known;
  }

  async send(options: RequestOptions): Promise<Answer> {
    const endpoint = await this.endpoint();
    return request(endpoint, options, endpoint.keepAlive ? this.#pool : undefined);
  }

  /** An answer of one JSON value. */
  async json<T>(options: RequestOptions): Promise<T> {
    return JSON.parse((await collect((await this.send(options)).body)).toString("utf8")) as T;
  }

  /** An answer whose body says nothing. */
  async done(options: RequestOptions): Promise<void> {
    await collect((await this.send(options)).body);
  }

  /** An answer of lines of JSON, as they come. Leaving the loop closes the connection. */
  async *lines<T>(options: RequestOptions): AsyncGenerator<T> {
    const { body } = await this.send(options);
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.trim()) yield JSON.parse(line) as T;
    }
    if (rest.trim()) yield JSON.parse(rest) as T;
  }

  /** Turns the connection into a stream to and from a process. */
  async attach(options: RequestOptions): Promise<AttachedStream> {
    const { body, socket } = await this.send({ ...options, method: "POST", upgrade: true });
    return { output: body, input: socket };
  }

  /** Closes connections that are kept open. */
  close(): void {
    this.#pool.close();
  }
}
