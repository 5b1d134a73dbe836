// Raw bytes to a daemon, and its answers read without an HTTP library: what is sent here is hardly HTTP.
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  status: number;
  /** Names in lower case. */
  headers: ReadonlyMap<string, string>;
  body: string;
  /** It goes on without an end that could be waited for: an upgrade, a stream. */
  stream: boolean;
}

/** What is known of a request that matters for reading its answer. */
export interface Sent {
  bytes: Buffer;
  method: string;
  /** The message is whole, so that an answer has to come and the connection can be used again. */
  whole: boolean;
  /** Its answer may take as long as it likes (stop, wait). */
  patient: boolean;
}

export interface Outcome {
  answers: RawAnswer[];
  /** No answer came in time. */
  silent: boolean;
  /** The daemon ended the connection. */
  closed: boolean;
}

/** Takes an answer off the beginning of some bytes; undefined while it is not whole. Throws for what is none. */
export function takeAnswer(bytes: Buffer, method: string): { answer: RawAnswer; rest: Buffer } | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(`${first} `)?.[1]);
  if (!status) throw new Error(`no status line: ${JSON.stringify(first.slice(0, 200))}`);
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  let rest = bytes.subarray(end + 4);
  const answer = (body: string, stream = false) => ({ answer: { status, headers, body, stream }, rest });
  if (status === 100) return takeAnswer(rest, method);
  if (status === 101) return answer("", true);
  if (method === "HEAD" || status === 204 || status === 304) return answer("");
  const length = headers.get("content-length");
  if (length === undefined) return answer("", true);
  if (rest.length < Number(length)) return undefined;
  const body = rest.toString("utf8", 0, Number(length));
  rest = rest.subarray(Number(length));
  return answer(body);
}

const ANSWER_MILLISECONDS = 15_000;
const PATIENCE_MILLISECONDS = 150;

/** A client that sends one thing after the other, over one connection for as long as that lives. */
export class RawClient {
  readonly #path: string;
  #socket: Socket | undefined;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  #open(): Socket {
    if (this.#socket && !this.#closed) return this.#socket;
    this.#received = Buffer.alloc(0);
    this.#closed = false;
    const socket = connect({ path: this.#path, allowHalfOpen: true });
    socket.on("data", (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    const gone = (): void => {
      if (socket !== this.#socket) return;
      this.#closed = true;
      this.#wake?.();
    };
    // A daemon that hangs up on garbage may do so while more of it is on its way.
    socket.on("error", () => socket.destroy());
    socket.on("end", gone).on("close", gone);
    this.#socket = socket;
    return socket;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  /** Waits for bytes or the end; false when neither came in time. */
  #more(milliseconds: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => settle(false), milliseconds);
      const settle = (came: boolean): void => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve(came);
      };
      this.#wake = () => settle(true);
    });
  }

  async send(sent: Sent): Promise<Outcome> {
    const socket = this.#open();
    // Half a message ends by our hanging up one way: whatever is said to it still comes back.
    if (sent.whole) socket.write(sent.bytes);
    else socket.end(sent.bytes);
    const outcome: Outcome = { answers: [], silent: false, closed: false };
    const limit = sent.patient ? PATIENCE_MILLISECONDS : ANSWER_MILLISECONDS;
    for (;;) {
      const taken = this.#received.length > 0 ? takeAnswer(this.#received, sent.method) : undefined;
      if (taken) {
        outcome.answers.push(taken.answer);
        this.#received = Buffer.from(taken.rest);
        if (taken.answer.stream) break;
        if (sent.whole && this.#received.length === 0) {
          if (taken.answer.headers.get("connection")?.toLowerCase() === "close") break;
          return outcome;
        }
        continue;
      }
      if (this.#closed) {
        outcome.closed = true;
        break;
      }
      if (await this.#more(limit)) continue;
      outcome.silent = true;
      break;
    }
    this.close();
    return outcome;
  }
}
