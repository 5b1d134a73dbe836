// tsctl for tests, bundled from the source as it is, and run as users run it.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

export interface Result {
  status: number;
  stdout: string;
  stderr: string;
}

/** Whether docker's client is here to compare with. */
export const hasDocker: boolean = (process.env.PATH ?? "")
  .split(":")
  .some((directory) => existsSync(join(directory, "docker")));

/** Runs a program; nothing of our own environment says which engine it is. */
export function run(
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  input: string | Buffer = "",
): Promise<Result> {
  const { PATH = "" } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, { env: { PATH, ...environment }, timeout: 20_000 });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.on("error", reject);
    child.on("close", (code) =>
      resolve({
        status: code ?? 137,
        stdout: Buffer.concat(output).toString("utf8"),
        stderr: Buffer.concat(errors).toString("utf8"),
      }),
    );
    child.stdin.on("error", () => undefined); // a program that reads no input
    child.stdin.end(input);
  });
}

/** A bundle of tsctl in a directory of its own. */
export class TestTsctl {
  readonly directory: string = mkdtempSync(join(tmpdir(), "tsd-tsctl-"));
  readonly program: string = join(this.directory, "tsctl.cjs");

  async build(): Promise<void> {
    await build({
      entryPoints: [join(import.meta.dirname, "../main.ts")],
      outfile: this.program,
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node20",
      logLevel: "error",
    });
  }

  run(
    words: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    input: string | Buffer = "",
  ): Promise<Result> {
    return run(process.execPath, [this.program, ...words], { HOME: this.directory, ...environment }, input);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
