// Runs programs and waits for them, without blocking the tests that run beside.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface Result {
  status: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string | Buffer;
  env?: Readonly<Record<string, string>>;
  /** Milliseconds; then the program is killed. */
  timeout?: number;
}

/** Runs a program to its end; a signal counts as status 128 + n, a missing program throws. */
export function run(command: string, words: readonly string[], options: RunOptions = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      env: { ...process.env, ...options.env },
      timeout: (options.timeout ?? 100_000) * PATIENCE,
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({
        status: code ?? (signal ? 137 : 1),
        stdout: Buffer.concat(output).toString("utf8"),
        stderr: Buffer.concat(errors).toString("utf8"),
      }),
    );
    child.stdin.on("error", () => undefined); // a program that reads no input
    child.stdin.end(options.input ?? "");
  });
}

/** The program's output, trimmed; throws when it fails. */
export async function output(
  command: string,
  words: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await run(command, words, options);
  if (status !== 0) throw new Error(`${command} ${words.join(" ")}: status ${status}: ${stderr || stdout}`);
  return stdout.trim();
}

/** How much longer than usual everything may take: an emulated machine is slow. */
export const PATIENCE = Number(process.env.TSD_TEST_PATIENCE ?? 1);

/** Polls until a condition holds. */
export async function eventually(
  what: string,
  condition: () => Promise<boolean> | boolean,
  milliseconds = 30_000,
): Promise<void> {
  const end = Date.now() + milliseconds * PATIENCE;
  while (Date.now() < end) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`did not happen: ${what}`);
}

/** Does one thing again and again for as long as another goes on, however that ends. */
export async function meanwhile(again: () => Promise<unknown>, work: () => Promise<void>): Promise<void> {
  let going = true;
  const repeating = (async () => {
    while (going) await again();
  })();
  try {
    await work();
  } finally {
    going = false;
    await repeating;
  }
}

/** A program that is talked with, a line at a time. */
export class Talk {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  constructor(command: string, words: readonly string[]) {
    this.child = spawn(command, words);
    this.child.stdin.on("error", () => undefined);
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** Its next line. Throws when it has ended. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the program has ended");
    return value;
  }

  /** What it says to a line. */
  answer(text: string): Promise<string> {
    this.child.stdin.write(`${text}\n`);
    return this.line();
  }

  end(): void {
    this.child.kill();
  }
}
