// What is read of tables that somebody may have taken away.
import { KernelError } from "@tsd/kernel-bindings";

/** What `check` says; false where the tables are gone. */
export function unlessGone(check: () => boolean): boolean {
  try {
    return check();
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}
