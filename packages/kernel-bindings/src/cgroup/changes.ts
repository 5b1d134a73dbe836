// Limits of groups in use: all of them are changed, or none.
import { readFileSync, writeFileSync } from "node:fs";
import { KernelError } from "../errors.ts";
import type { LimitChange } from "./port.ts";

/** Writes one value to its file. Throws a KernelError naming the file. */
export const writeLimit = ({ path, value }: LimitChange): void => {
  try {
    writeFileSync(path, value);
  } catch (error) {
    throw new KernelError("write", -((error as NodeJS.ErrnoException).errno ?? 0), path);
  }
};

/** Writes all the values or none: what the kernel takes no more of is put back. Throws a KernelError naming the file. */
export function applyLimits(changes: readonly LimitChange[]): void {
  const done: LimitChange[] = [];
  try {
    for (const change of changes) {
      const undo = change.undo ?? readFileSync(change.path, "utf8").trim();
      writeLimit(change);
      done.push({ path: change.path, value: undo });
    }
  } catch (cause) {
    for (const change of done.reverse()) writeLimit(change);
    throw cause;
  }
}
