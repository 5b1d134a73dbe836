// Environment variables and labels, from flags and from files.
import { readFileSync } from "node:fs";
import { type ParsedFlags, UsageError } from "../flags.ts";
import { pairs } from "../values.ts";

export function checkEnvironment(entry: string): void {
  if (entry === "" || entry.startsWith("=")) throw new Error(`invalid environment variable: ${entry}`);
}

export function checkLabel(entry: string): void {
  if (entry === "" || entry.startsWith("=")) throw new Error(`invalid label '${entry}': empty name`);
}

/** A file the user named. Throws UsageError with docker's words. */
export function readUserFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(`open ${path}: ${code === "ENOENT" ? "no such file or directory" : message}`);
  }
}

/** The lines that say something, without their leading blanks. */
const usefulLines = (path: string): string[] =>
  readUserFile(path)
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line && !line.startsWith("#"));

/** A name alone takes its value from this process's environment. */
const withValue = (entry: string): string => {
  const value = entry.includes("=") ? undefined : process.env[entry];
  return value === undefined ? entry : `${entry}=${value}`;
};

/** Files first. A name that has no value here is left out of files; a flag's one tells the engine to unset it. */
export function environment(flags: ParsedFlags): string[] {
  const fromFiles = flags
    .list("env-file")
    .flatMap(usefulLines)
    .map(withValue)
    .filter((entry) => entry.includes("="));
  return [...fromFiles, ...flags.list("env").map(withValue)];
}

export const labels = (flags: ParsedFlags): Record<string, string> =>
  pairs([...flags.list("label-file").flatMap(usefulLines), ...flags.list("label")]);
