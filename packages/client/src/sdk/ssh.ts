// ssh:// hosts: HTTP over the stdio of `tsctl system dial-stdio` on the other machine. Loaded only for such hosts.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { Duplex } from "node:stream";
import { ConnectionError } from "./errors.ts";
import type { Target } from "./hosts.ts";

const MAXIMUM_STDERR = 4096;

/** How long ssh may live on after its output has ended, before that counts as the end. */
const FAREWELL_MILLISECONDS = 2000;

const quote = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The program and its words; TSD_SSH names another program than ssh. */
export function sshCommand(
  target: Extract<Target, { kind: "ssh" }>,
  environment: NodeJS.ProcessEnv = process.env,
): [program: string, words: string[]] {
  const remote = [
    "tsctl",
    ...(target.socket ? ["--host", quote(`unix://${target.socket}`)] : []),
    "system",
    "dial-stdio",
  ];
  const words = [
    ...["-o", "ConnectTimeout=30", "-T"],
    ...(target.user ? ["-l", target.user] : []),
    ...(target.port ? ["-p", target.port] : []),
    ...["--", target.host],
    ...remote,
  ];
  return [environment.TSD_SSH || "ssh", words];
}

/** A program's stdin and stdout as one connection, either direction of which ends by itself. */
class SshStream extends Duplex {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #where: string;
  #stderr = "";
  #received = false;
  #ended = false;

  constructor(child: ChildProcessWithoutNullStreams, where: string) {
    super({ allowHalfOpen: true });
    this.#child = child;
    this.#where = where;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MAXIMUM_STDERR);
    });
    child.stdout.on("data", (chunk: Buffer) => {
      this.#received = true;
      if (!this.push(chunk)) child.stdout.pause();
    });
    // Whether the end is a failure is known when ssh has gone, and its stderr is whole.
    child.stdout.on("end", () => {
      setTimeout(() => this.#end(), FAREWELL_MILLISECONDS).unref();
    });
    child.stdin.on("error", (error) => {
      if (!this.destroyed && (error as NodeJS.ErrnoException).code !== "EPIPE") this.destroy(error);
    });
    child.on("error", (error: NodeJS.ErrnoException) =>
      this.destroy(
        new ConnectionError(
          `cannot run ${child.spawnfile}, which ${where} needs: ${error.code === "ENOENT" ? "no such program" : error.message}`,
          { code: error.code },
        ),
      ),
    );
    child.on("close", (code, signal) => this.#closed(code, signal));
  }

  #end(): void {
    if (this.#ended || this.destroyed) return;
    this.#ended = true;
    this.push(null);
  }

  #closed(code: number | null, signal: string | null): void {
    if (this.destroyed || this.#ended) return;
    if (code === 0 && this.#received) {
      this.#end();
      return;
    }
    const status = signal ? `was ended by ${signal}` : `ended with status ${code}`;
    const hint = code === 127 ? " Is tsctl installed there, and in the PATH of commands that ssh runs?" : "";
    const said = this.#stderr.trim();
    this.destroy(
      new ConnectionError(
        `Cannot connect to the tsd daemon at ${this.#where}: ${this.#child.spawnfile} ${status}${said ? `: ${said}` : ""}${hint}`,
        { code: "ECONNRESET" },
      ),
    );
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#child.kill();
    done(error);
  }
}

/** Starts ssh; that it fails is told by the stream. */
export function connectSsh(target: Extract<Target, { kind: "ssh" }>, where: string): Duplex {
  const [program, words] = sshCommand(target);
  // A session of its own: Ctrl-C is for the container, not for ssh.
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  return new SshStream(child, where);
}
