// A start that failed, in the words that Docker's clients know; the docker CLI reads its exit code from them.
import { getSystemErrorMap } from "node:util";
import { KernelError, type Plan, splitMessages, traffic } from "@tsd/kernel-bindings";
import { SpecificationError } from "../../runtime/errors.ts";
import { lastWords } from "../../runtime/oci/foreign.ts";
import { EngineError } from "../errors.ts";

/** How a failed start is told, and the exit code the container ends up with (127: no such command, 126: can't be
 * executed, 128: something else). */
export interface LaunchFailure {
  error: EngineError;
  exitCode: number;
}

const containerPrefix =
  "failed to create task for container: failed to create shim task: OCI runtime create failed: tsd create failed: unable to start container process: ";
const execPrefix = "OCI runtime exec failed: exec failed: unable to start container process: ";

const message = (errno: number): string => getSystemErrorMap().get(-errno)?.[1] ?? `errno ${errno}`;

function executeFailure(error: KernelError, file: string): { text: string; exitCode: number } {
  const quoted = JSON.stringify(file);
  if (error.call === "search" && error.code === "ENOENT")
    return { text: `exec: ${quoted}: executable file not found in $PATH: unknown`, exitCode: 127 };
  if (error.code === "ENOENT")
    return { text: `exec: ${quoted}: stat ${file}: no such file or directory: unknown`, exitCode: 127 };
  if (error.code === "EISDIR")
    return { text: `exec: ${quoted}: is a directory: unknown: permission denied`, exitCode: 126 };
  if (error.code === "EACCES") return { text: `exec: ${quoted}: permission denied: unknown`, exitCode: 126 };
  return {
    text: `exec ${file}: ${message(error.errno)}: unknown`,
    exitCode: error.code === "ENOEXEC" ? 126 : 128,
  };
}

/** The message of a batch that the launcher says was refused (launcher/netlink.c). */
const messageOf = (batch: Uint8Array, place: string): Buffer | undefined =>
  splitMessages(Buffer.from(batch))[Number(/^message (\d+)$/.exec(place)?.[1])];

/** Translates whatever a start threw. `plan` names the step when the kernel refused one. */
export function describeLaunchFailure(
  cause: unknown,
  plan: Plan | undefined,
  purpose: "container" | "exec",
): LaunchFailure {
  if (cause instanceof EngineError) return { error: cause, exitCode: 128 };
  if (cause instanceof SpecificationError)
    return {
      error: new EngineError(cause.kind, cause.message, { cause }),
      exitCode: 128,
    };
  const prefix = purpose === "container" ? containerPrefix : execPrefix;
  if (!(cause instanceof KernelError)) {
    const text = cause instanceof Error ? cause.message : String(cause);
    return { error: new EngineError("system", `${prefix}${text}: unknown`, { cause }), exitCode: 128 };
  }
  const step = cause.step === undefined ? undefined : plan?.[cause.step];
  if (step?.op === "execute") {
    const { text, exitCode } = executeFailure(cause, step.file);
    return { error: new EngineError("invalid", `${prefix}${text}`, { cause }), exitCode };
  }
  if (step?.op === "adopt" && cause.call === "runtime") {
    const words = lastWords(plan ?? []) || "the runtime failed, and said nothing";
    const [kind, end] =
      purpose === "container"
        ? ["create", "failed to create task for container: failed to create shim task: "]
        : ["exec", ""];
    const missing = /not found in \$PATH|no such file or directory/i.test(words);
    const denied = /permission denied|is a directory/i.test(words);
    return {
      error: new EngineError(
        missing || denied ? "invalid" : "system",
        `${end}OCI runtime ${kind} failed: ${words}: unknown`,
        { cause },
      ),
      exitCode: missing ? 127 : denied ? 126 : 128,
    };
  }
  if (step?.op === "hook.runtime" || step?.op === "hook.container") {
    const reason = cause.code === "ECANCELED" ? cause.path : message(cause.errno);
    const text = `${prefix}hook ${step.path}: ${reason}: unknown`;
    return { error: new EngineError("system", text, { cause }), exitCode: 128 };
  }
  if (step?.op === "working-directory") {
    const reason = message(cause.errno);
    const text =
      cause.call === "mkdir"
        ? `Cannot mkdir: ${step.path} is not a directory`
        : `${prefix}chdir to cwd (${JSON.stringify(step.path)}) set in config.json failed: ${reason}: unknown`;
    return { error: new EngineError("system", text, { cause }), exitCode: 128 };
  }
  if (step?.op === "log.forward") {
    const text = `failed to create task for container: failed to initialize logging driver: dial ${cause.path}: ${message(cause.errno)}`;
    return { error: new EngineError("system", text, { cause }), exitCode: 128 };
  }
  if (step?.op === "netlink.host") {
    const bytes = messageOf(step.messages, cause.path);
    const missing = bytes && traffic.missingInKernel(bytes, cause.errno);
    if (missing) return { error: new EngineError("system", `${prefix}${missing}`, { cause }), exitCode: 128 };
  }
  if (
    (step?.op === "bind.open" || step?.op === "image.part") &&
    step.subpath &&
    cause.path === step.subpath
  ) {
    const source = step.op === "bind.open" ? step.source : "";
    const path = `${source}/${step.subpath}`;
    const text =
      cause.code === "EXDEV"
        ? `path concatenation escapes the base directory, base: ${source || "/"}, subpath: ${step.subpath}`
        : `cannot access path ${path}: lstat ${path}: ${message(cause.errno)}`;
    return { error: new EngineError("system", text, { cause }), exitCode: 128 };
  }
  if (step?.op === "relabel") {
    const reason =
      cause.call === "relabel"
        ? `SELinux relabeling of ${step.source} is not allowed`
        : `${cause.call} ${cause.path}: ${message(cause.errno)}`;
    const text = `error setting label on mount source '${step.source}': ${reason}`;
    return {
      error: new EngineError(cause.call === "relabel" ? "invalid" : "system", text, { cause }),
      exitCode: 128,
    };
  }
  if (step?.op === "bind") {
    const text = `${prefix}error during container init: error mounting to rootfs at "${step.target}": ${cause.call}: ${message(cause.errno)}: unknown: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type`;
    return {
      error: new EngineError(cause.code === "ENOTDIR" ? "invalid" : "system", text, { cause }),
      exitCode: 127,
    };
  }
  const about = step ? `${step.op}: ` : "";
  const text = `${prefix}${about}${cause.call}${cause.path ? ` ${cause.path}` : ""}: ${message(cause.errno)}: unknown`;
  return { error: new EngineError("system", text, { cause }), exitCode: 128 };
}
