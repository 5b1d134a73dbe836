// Runs a client on a real terminal, typing when it has printed what was waited for.
import { join } from "node:path";
import { output } from "./command.ts";
import type { TestDaemon } from "./daemon.ts";

/** [text to wait for, then what to type] or [text, [rows, columns] to resize to]. */
export type Typing = readonly (readonly [string, string | readonly [number, number]])[];

export interface TerminalResult {
  output: string;
  status: number;
  /** What was never waited for successfully. */
  left: unknown[];
}

export async function onTerminal(
  daemon: TestDaemon,
  command: readonly string[],
  typing: Typing,
): Promise<TerminalResult> {
  const script = join(import.meta.dirname, "run-on-terminal.py");
  const env = { DOCKER_HOST: daemon.host, TSD_HOST: daemon.host };
  return JSON.parse(
    await output("python3", [script, "30", "100", JSON.stringify(typing), ...command], { env }),
  ) as TerminalResult;
}
