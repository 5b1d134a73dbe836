// Files and lists of NAME=value: --env, --label, --security-opt.
import { readFileSync } from "node:fs";
import { type ParsedFlags, UsageError } from "../flags.ts";

export const keyValues = (items: readonly string[]): Record<string, string> =>
  Object.fromEntries(
    items.map((item) => {
      const at = item.indexOf("=");
      return at < 0 ? [item, ""] : [item.slice(0, at), item.slice(at + 1)];
    }),
  );

/** A name alone takes its value from this process's environment. */
export function environment(flags: ParsedFlags): string[] {
  const lines = flags.list("env-file").flatMap((path) =>
    readFile(path)
      .split("\n")
      .map((line) => line.replace(/^\s+/, ""))
      .filter((line) => line && !line.startsWith("#")),
  );
  return [...lines, ...flags.list("env")].flatMap((entry) => {
    if (entry.includes("=")) return [entry];
    const value = process.env[entry];
    // A bare name unsets what the image set.
    return [value === undefined ? entry : `${entry}=${value}`];
  });
}

export function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === "ENOENT"
        ? "no such file or directory"
        : (error as Error).message;
    throw new UsageError(`open ${path}: ${reason}`);
  }
}

/** seccomp=FILE is read here: the engine may be elsewhere. */
export function securityOption(option: string): string {
  const match = /^seccomp[=:](.+)$/.exec(option);
  if (!match?.[1] || ["unconfined", "builtin", "log"].includes(match[1])) return option;
  let text: string;
  try {
    text = readFileSync(match[1], "utf8");
  } catch {
    throw new UsageError(
      `opening seccomp profile (${match[1]}) failed: open ${match[1]}: no such file or directory`,
    );
  }
  try {
    JSON.parse(text);
    // As it stands: its numbers may be longer than JavaScript's.
    return `seccomp=${text.trim()}`;
  } catch (error) {
    throw new UsageError(
      `compacting json for seccomp profile (${match[1]}) failed: ${(error as Error).message}`,
    );
  }
}
