// The user's terminal: raw while a container has it, its size passed on, its signals too.
import { spawnSync } from "node:child_process";
import { constants } from "node:os";

/** Rows and columns, [0, 0] without a terminal. */
export const windowSize = (): [number, number] =>
  process.stdout.isTTY ? [process.stdout.rows ?? 0, process.stdout.columns ?? 0] : [0, 0];

/** Puts the terminal into raw mode; the result puts it back. Without a terminal nothing happens. */
export function rawTerminal(): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  stdin.setRawMode(true);
  // Node's raw mode still turns \n into \r\n on the way out, which the container's terminal has done already.
  spawnSync("stty", ["-opost"], { stdio: ["inherit", "ignore", "ignore"] });
  let restored = false;
  const restore = (): void => {
    if (restored) return;
    restored = true;
    stdin.setRawMode(false);
  };
  process.once("exit", restore);
  return restore;
}

/** Passes the window's size on now and whenever it changes; the result stops that. */
export function followWindow(resize: (rows: number, columns: number) => Promise<void>): () => void {
  const send = (): void => {
    const [rows, columns] = windowSize();
    // The process may be gone already, which is nothing to tell of.
    if (rows > 0 && columns > 0) resize(rows, columns).catch(() => undefined);
  };
  send();
  process.stdout.on("resize", send);
  return () => process.stdout.off("resize", send);
}

const unproxied = new Set([
  "SIGCHLD",
  "SIGPIPE",
  "SIGKILL",
  "SIGSTOP",
  "SIGURG",
  "SIGWINCH",
  "SIGPROF",
  "SIGSEGV",
  "SIGBUS",
  "SIGFPE",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGIOT",
  "SIGPOLL",
  "SIGIO",
  "SIGSTKFLT",
  "SIGSYS",
  "SIGUNUSED",
  "SIGVTALRM",
  "SIGUSR1",
  "SIGTTIN",
  "SIGTTOU",
  "SIGTSTP",
]);

/** Passes this process's signals on; the result stops that. */
export function proxySignals(kill: (signal: string) => Promise<void>): () => void {
  const listeners = Object.keys(constants.signals)
    .filter((name) => !unproxied.has(name))
    .map((name) => {
      const listener = (): void => {
        kill(name.replace("SIG", "")).catch(() => undefined);
      };
      process.on(name, listener);
      return [name, listener] as const;
    });
  return () => {
    for (const [name, listener] of listeners) process.off(name, listener);
  };
}
