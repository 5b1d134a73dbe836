// The host's ps, for the processes of one container.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { innerId, processStatus } from "@tsd/kernel-bindings";
import { EngineError, invalid } from "../errors.ts";

const run = promisify(execFile);

export interface ProcessTable {
  Titles: string[];
  Processes: string[][];
}

/** ps's table of some processes. `translated` users are those that the container knows them as. */
export async function processTable(
  pids: readonly number[],
  psArguments: string,
  translated: boolean,
): Promise<ProcessTable> {
  if (psArguments.includes("\0")) throw invalid("invalid parameter ps_args: it cannot contain a NUL");
  const words = (psArguments || "-ef").split(/\s+/).filter(Boolean);
  const { stdout } = await run("ps", [...words, "-q", pids.join(",")])
    // Some of ps's options don't go with a choice of processes.
    .catch(() => run("ps", words))
    .catch((error: Error & { stderr?: string }) => {
      throw new EngineError("system", `ps: ${error.stderr?.trim() || error.message}`);
    });
  const table = parseProcesses(stdout, new Set(pids));
  return translated ? withInnerUsers(table) : table;
}

/** ps's table as titles and rows, of the wanted processes only. Throws when there is no PID among the columns. */
export function parseProcesses(
  text: string,
  wanted: ReadonlySet<number>,
): { Titles: string[]; Processes: string[][] } {
  const [head = "", ...lines] = text.split("\n");
  const Titles = head.trim().split(/\s+/);
  const column = Titles.indexOf("PID");
  if (column < 0) throw new EngineError("system", "Couldn't find PID field in ps output");
  const Processes: string[][] = [];
  for (const line of lines) {
    if (!line.trim()) continue;
    const words = line.trim().split(/\s+/);
    // The last column is the command, with the spaces it has.
    const row = [...words.slice(0, Titles.length - 1), words.slice(Titles.length - 1).join(" ")];
    if (wanted.has(Number(row[column]))) Processes.push(row);
  }
  return { Titles, Processes };
}

/** Columns with users, and which of a process's user ids they show (proc_pid_status(5)). */
const userColumns: Readonly<Record<string, number>> = { UID: 1, USER: 1, EUSER: 1, RUSER: 0, SUSER: 2 };

/** The table with users as the container numbers them, by the names that the host has for these numbers, as ps itself does. */
function withInnerUsers({ Titles, Processes }: ProcessTable): ProcessTable {
  const names = new Map(
    readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((line) => line.split(":"))
      .map(([name = "", , uid]) => [Number(uid), name]),
  );
  const pidColumn = Titles.indexOf("PID");
  const translate = (title: string | undefined, cell: string, pid: number): string => {
    const which = userColumns[title ?? ""];
    const id = which === undefined ? undefined : processStatus(pid)?.uids[which];
    if (id === undefined) return cell;
    const inner = innerId(pid, "uid_map", id);
    // ps shows a number where it was asked for one, and cuts one that is there for want of a name.
    return /^\d+$/.test(cell) && title === "UID" ? String(inner) : (names.get(inner) ?? String(inner));
  };
  return {
    Titles,
    Processes: Processes.map((row) =>
      row.map((cell, index) => translate(Titles[index], cell, Number(row[pidColumn]))),
    ),
  };
}
