// Calls that may wait: made on the thread pool, so that the caller's event loop goes on.
import koffi from "koffi";
import { KernelError } from "./errors.ts";

/** A function of a C library. */
type NativeFunction = ReturnType<ReturnType<typeof koffi.load>["func"]>;

/** Resolves with a call's result; rejects with what errno said on its thread. */
export const later = (
  call: string,
  path: string,
  func: NativeFunction,
  ...values: unknown[]
): Promise<number> =>
  new Promise((resolve, reject) => {
    func.async(...values, (problem: Error | null, result: number | bigint) => {
      if (problem) reject(problem);
      else if (Number(result) < 0) reject(new KernelError(call, koffi.errno(), path));
      else resolve(Number(result));
    });
  });
