// Reading control group files: numbers, and lines of "key value".
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readIfThere } from "./kept-files.ts";
import { meaningOf } from "./meanings.ts";

export const numbersIn = (file: string): number[] =>
  readIfThere(file).split("\n").filter(Boolean).map(Number);

/** All of a text's lines of "key value". */
export function keyedNumbers(text: string): Record<string, number> {
  const values: Record<string, number> = {};
  for (let begin = 0; begin < text.length; ) {
    const newline = text.indexOf("\n", begin);
    const end = newline < 0 ? text.length : newline;
    const space = text.indexOf(" ", begin);
    if (space > begin && space < end - 1)
      values[text.slice(begin, space)] = Number(text.slice(space + 1, end));
    begin = end + 1;
  }
  return values;
}

export interface CgroupFile {
  name: string;
  value: string;
  /** What it says, in words. */
  meaning: string;
}

const LONGEST_VALUE = 4096;

/** Every readable file of a group with its value; none where the group is not there. */
export function cgroupFiles(directory: string): CgroupFile[] {
  let names: string[];
  try {
    names = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile() && (statSync(join(directory, entry.name)).mode & 0o444) !== 0)
      .map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return names.sort().flatMap((name) => {
    try {
      const value = readFileSync(join(directory, name), "utf8").trim().slice(0, LONGEST_VALUE);
      return [{ name, value, meaning: meaningOf(name) }];
    } catch {
      return []; // some can be read only in some states
    }
  });
}

/** The names of the directories in one; none where it is not there. */
export function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** The directories below one, deepest first: what a system container has made in its group. */
export const descendants = (directory: string): string[] =>
  subdirectories(directory).flatMap((name) => [...descendants(join(directory, name)), join(directory, name)]);
