// What the kernel refused: which call, with which errno, about what.
import { constants } from "node:os";

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** The symbolic name of an errno, such as "ENOENT". */
export const errnoName = (errno: number): string => names.get(errno) ?? `errno ${errno}`;

/** A failed kernel call; `step` is the index of the plan's step it happened in, if it was one. */
export class KernelError extends Error {
  readonly call: string;
  readonly errno: number;
  readonly code: string;
  readonly path: string;
  readonly step: number | undefined;

  constructor(call: string, errno: number, path = "", step?: number) {
    super(`${call}${path ? ` ${path}` : ""}: ${errnoName(errno)}`);
    this.name = "KernelError";
    this.call = call;
    this.errno = errno;
    this.code = errnoName(errno);
    this.path = path;
    this.step = step;
  }
}
