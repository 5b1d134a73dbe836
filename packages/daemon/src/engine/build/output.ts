// What a build tells its client while it goes on: lines of JSON, no faster than they are taken.
import { Duplex, type Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** The end of a build, for those who read the stream. */
export interface BuildFailure {
  message: string;
  /** The exit status of the command that failed. */
  code?: number | undefined;
}

export class BuildOutput {
  readonly #begin: () => Writable;
  readonly #quiet: boolean;
  readonly #held: object[] = [];
  #writer: Writable | undefined;

  /** `begin` sends the answer's head; a quiet build says nothing before its end. */
  constructor(begin: () => Writable, quiet: boolean) {
    this.#begin = begin;
    this.#quiet = quiet;
  }

  /** Something was sent, so that what goes wrong from now on is a line. */
  get begun(): boolean {
    return this.#writer !== undefined;
  }

  /** Sends a line, and waits while the client is slow. */
  async send(line: object): Promise<void> {
    if (this.#quiet) this.#held.push(line);
    else await this.#write(line);
  }

  say(text: string): Promise<void> {
    return this.send({ stream: text });
  }

  async #write(line: object): Promise<void> {
    this.#writer ??= this.#begin();
    const writer = this.#writer;
    if (writer.destroyed || writer.write(`${JSON.stringify(line)}\r\n`)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        writer.off("drain", done).off("close", done);
        resolve();
      };
      writer.on("drain", done).on("close", done);
    });
  }

  /** Ends a build that went well; a quiet one says its image only. */
  async finish(image: string): Promise<void> {
    if (this.#quiet) await this.#write({ stream: `${image}\n` });
    this.#writer?.end();
  }

  /** Ends a build that did not; false where nothing was sent yet, and the answer can be an error. */
  async fail({ message, code }: BuildFailure): Promise<boolean> {
    for (const line of this.#held.splice(0)) await this.#write(line);
    if (!this.begun) return false;
    await this.#write({ errorDetail: { ...(code === undefined ? {} : { code }), message }, error: message });
    this.#writer?.end();
    return true;
  }
}

const HEADER = 8;
const STDERR = 2;

/** Takes a container's streams in Docker's multiplexed format, and tells of each piece; stderr is red, as in Docker. */
export class OutputSink extends Duplex {
  readonly #output: BuildOutput;
  readonly #decoders = [new StringDecoder("utf8"), new StringDecoder("utf8"), new StringDecoder("utf8")];
  #rest: Buffer = Buffer.alloc(0);

  constructor(output: BuildOutput) {
    super();
    this.#output = output;
  }

  override _read(): void {
    this.push(null); // a build's commands get no input
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#take(chunk).then(() => done(), done);
  }

  async #take(chunk: Buffer): Promise<void> {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (bytes.length >= HEADER) {
      const length = bytes.readUInt32BE(4);
      if (bytes.length < HEADER + length) break;
      const stream = bytes[0] ?? 1;
      const text = this.#decoders[stream]?.write(bytes.subarray(HEADER, HEADER + length)) ?? "";
      bytes = bytes.subarray(HEADER + length);
      if (text) await this.#output.say(stream === STDERR ? `\u001b[91m${text}\u001b[0m` : text);
    }
    this.#rest = Buffer.from(bytes);
  }
}
