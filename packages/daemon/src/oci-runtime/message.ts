// A failure in words: of a step, of the command itself, of anything else.
import { getSystemErrorMap } from "node:util";
import { KernelError } from "@tsd/kernel-bindings";

export function launchMessage(error: unknown): string {
  if (!(error instanceof KernelError)) return error instanceof Error ? error.message : String(error);
  const reason = getSystemErrorMap().get(-error.errno)?.[1] ?? `errno ${error.errno}`;
  // podman knows these words.
  if (error.call === "search")
    return error.code === "ENOENT"
      ? `executable file \`${error.path}\` not found in $PATH: No such file or directory`
      : `open executable: ${error.path}: Permission denied`;
  return `${error.call}${error.path ? ` ${error.path}` : ""}: ${reason}`;
}
