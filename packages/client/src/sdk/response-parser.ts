// Parses HTTP/1.1 responses as they arrive: the little that an engine's API needs, because node:http costs a client that
// lives for 30 ms a third of them (docs/performance.md).

export interface ResponseHead {
  status: number;
  reason: string;
  /** Names in lower case. */
  headers: ReadonlyMap<string, string>;
}

type Mode =
  | "head"
  | "length"
  | "chunk-size"
  | "chunk"
  | "chunk-end"
  | "trailer"
  | "until-close"
  | "raw"
  | "done";

const MAXIMUM_HEAD = 65536;

/** What the parser tells of a response. */
export interface ResponseEvents {
  head(head: ResponseHead): void;
  data(chunk: Buffer): void;
  /** The response is complete. Not called for raw streams, which end with the connection. */
  end(): void;
}

/** One connection's parser; feed it what the socket gives. Throws Error for what is not HTTP. */
export class ResponseParser {
  readonly #events: ResponseEvents;
  readonly #withoutBody: boolean;
  #mode: Mode = "head";
  #pending: Buffer = Buffer.alloc(0);
  #left = 0;
  #isReusable = false;

  /** `withoutBody` for HEAD requests. */
  constructor(events: ResponseEvents, withoutBody = false) {
    this.#events = events;
    this.#withoutBody = withoutBody;
  }

  /** What follows on the connection is no HTTP any more (after 101, or a hijacked 200). */
  becomeRaw(): void {
    this.#mode = "raw";
  }

  /** Whether the connection can carry another request after this answer. */
  get isReusable(): boolean {
    return this.#isReusable && this.#mode === "done" && this.#pending.length === 0;
  }

  push(chunk: Buffer): void {
    this.#pending = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    while (this.#step());
  }

  /** The connection has ended. Throws when that was too early. */
  close(): void {
    if (this.#mode === "until-close") this.#finish();
    else if (this.#mode !== "done" && this.#mode !== "raw")
      throw new Error("the connection ended in the middle of a response");
  }

  /** One step forward; false when more bytes are needed. */
  #step(): boolean {
    switch (this.#mode) {
      case "head":
        return this.#head();
      case "length":
      case "chunk":
        return this.#counted();
      case "chunk-size": {
        const line = this.#line();
        if (line === undefined) return false;
        this.#left = Number.parseInt(line, 16);
        if (Number.isNaN(this.#left)) throw new Error("malformed chunk in a response");
        this.#mode = this.#left === 0 ? "trailer" : "chunk";
        return true;
      }
      case "chunk-end":
        if (this.#line() === undefined) return false;
        this.#mode = "chunk-size";
        return true;
      case "trailer": {
        const line = this.#line();
        if (line === undefined) return false;
        if (line === "") this.#finish();
        return true;
      }
      case "until-close":
      case "raw": {
        const all = this.#pending;
        this.#pending = Buffer.alloc(0);
        if (all.length > 0) this.#events.data(all);
        return false;
      }
      default:
        return false;
    }
  }

  #line(): string | undefined {
    const end = this.#pending.indexOf("\r\n");
    if (end < 0) {
      if (this.#pending.length > MAXIMUM_HEAD) throw new Error("a line of a response is too long");
      return undefined;
    }
    const line = this.#pending.toString("latin1", 0, end);
    this.#pending = this.#pending.subarray(end + 2);
    return line;
  }

  #counted(): boolean {
    if (this.#pending.length === 0) return false;
    const part = this.#pending.subarray(0, this.#left);
    this.#pending = this.#pending.subarray(part.length);
    this.#left -= part.length;
    this.#events.data(part);
    if (this.#left === 0) {
      if (this.#mode === "chunk") this.#mode = "chunk-end";
      else this.#finish();
    }
    return true;
  }

  #head(): boolean {
    const end = this.#pending.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.#pending.length > MAXIMUM_HEAD) throw new Error("a response's head is too long");
      return false;
    }
    const [first = "", ...lines] = this.#pending.toString("latin1", 0, end).split("\r\n");
    this.#pending = this.#pending.subarray(end + 4);
    const status = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(first);
    if (!status) throw new Error(`not an HTTP response: ${JSON.stringify(first.slice(0, 80))}`);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const at = line.indexOf(":");
      if (at > 0) headers.set(line.slice(0, at).toLowerCase(), line.slice(at + 1).trim());
    }
    const code = Number(status[1]);
    if (code >= 100 && code < 200 && code !== 101) return true; // a provisional answer
    this.#mode = this.#bodyOf(code, headers);
    this.#isReusable =
      first.startsWith("HTTP/1.1") &&
      this.#mode !== "until-close" &&
      headers.get("connection")?.toLowerCase() !== "close";
    this.#events.head({ status: code, reason: status[2] ?? "", headers });
    if ((this.#mode as Mode) === "done") this.#events.end();
    return true;
  }

  #bodyOf(status: number, headers: ReadonlyMap<string, string>): Mode {
    if (status === 101) return "raw";
    if (status === 204 || status === 304) return "done";
    // A refusal that did not wait for the request does not know of HEAD: its words follow.
    if (this.#withoutBody)
      return status === 403 && headers.get("connection")?.toLowerCase() === "close" ? "until-close" : "done";
    if (headers.get("transfer-encoding")?.toLowerCase() === "chunked") return "chunk-size";
    const length = headers.get("content-length");
    if (length === undefined) return "until-close";
    this.#left = Number(length);
    return this.#left === 0 ? "done" : "length";
  }

  #finish(): void {
    this.#mode = "done";
    this.#events.end();
  }
}
