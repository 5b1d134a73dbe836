// What is wrong with what a daemon did about a request that should not have been sent.
import { type Malformed, shown } from "./framing.ts";
import type { Outcome, RawAnswer } from "./wire.ts";

/** Statuses of 500 and above that are right, with the reason. 501 (not built, by name) and 503 always are. */
const documented: readonly { what: RegExp; status: number; message: RegExp; why: string }[] = [
  {
    what: /^GET \/(?:containers\/json|events|containers\/\{id\}\/logs)$/,
    status: 500,
    message: /^strconv\.(?:Atoi|ParseInt): parsing .*: invalid syntax$/s,
    why: "numbers and times that are none; dockerd answers so too",
  },
  {
    what: /^GET \/images\/json$/,
    status: 500,
    message: /^strconv\.ParseInt: parsing .*: invalid syntax$|^failed to parse value as time/s,
    why: "until that is no time; dockerd answers so too",
  },
  {
    what: /^POST \/containers\/create$/,
    status: 500,
    message: /^invalid volume specification: |^invalid --security-opt /,
    why: "mounts and options that are none; dockerd answers so too",
  },
  {
    what: /^(?:HEAD|GET|PUT) \/containers\/\{id\}\/archive$/,
    status: 500,
    message: /^lstat .*(?:file name too long|ENAMETOOLONG)/s,
    why: "dockerd answers so too",
  },
  {
    what: /^POST \/containers\/\{id\}\/update$/,
    status: 500,
    message: /^Cannot update container [0-9a-f]{64}: write \/sys\/fs\/cgroup\/.*: EINVAL$/,
    why: "limits that only the kernel knows to be none; dockerd answers so too, in runc's words",
  },
  {
    what: /^POST \/containers\/\{id\}\/(?:start|restart)$/,
    status: 500,
    message: /: write \/sys\/fs\/cgroup\/.*: invalid argument: unknown$|^HostConfig\.CpuRealtimeRuntime: /,
    why: "limits of an earlier update that only the kernel knows to be none; dockerd answers so too",
  },
  {
    what: /^POST \/containers\/\{id\}\/unpause$/,
    status: 500,
    message: /^Container [0-9a-f]{64} is not paused$/,
    why: "dockerd answers so too",
  },
  {
    what: /^DELETE \/containers\/\{id\}$/,
    status: 500,
    message: /^Conflict, cannot remove the default link name of the container$/,
    why: "a container's own name is no link; dockerd answers so too",
  },
  {
    what: /^POST \/networks\/\{id\}\/disconnect$/,
    status: 500,
    message: /^container [0-9a-f]{64} is not connected to (?:the )?network /,
    why: "dockerd answers so too",
  },
  {
    what: /^(?:GET \/images\/search|GET \/distribution\/\{name\}\/json|POST \/auth|POST \/images\/create)$/,
    status: 500,
    message: /^Get "https?:\/\/[^"]*\/v[12]\/|^Unexpected status code /,
    why: "registries that can't be reached; dockerd answers so too",
  },
  {
    what: /^POST \/(?:networks|images|containers|build)\/prune$/,
    status: 500,
    message: /^strconv\.ParseInt: parsing .*: invalid syntax$|^failed to parse value as time/s,
    why: "until that is no time; dockerd answers so too",
  },
  {
    what: /^GET \/containers\/\{id\}\/top$/,
    status: 500,
    message: /^ps: /,
    why: "arguments that ps does not take; dockerd answers so too",
  },
];

const SERVED = new Set([501, 503]);

function messageOf({ headers, body }: RawAnswer): string | undefined {
  if (headers.get("content-type") !== "application/json") return undefined;
  try {
    const parsed = JSON.parse(body) as Record<string, unknown> | null;
    const { message, ...rest } = parsed ?? {};
    return typeof message === "string" && message !== "" && Object.keys(rest).length === 0
      ? message
      : undefined;
  } catch {
    return undefined; // not JSON: the caller says so
  }
}

export function problemsOf(request: Malformed, { answers, silent, closed }: Outcome): string[] {
  const found: string[] = [];
  const tell = (problem: string): void => {
    found.push(`${request.what}: ${problem}\n  sent ${shown(request.bytes)}`);
  };
  for (const answer of answers) {
    const { status, body, headers } = answer;
    if (status < 400) continue;
    const head = request.method === "HEAD";
    const message = messageOf(answer);
    if (message === undefined && !head)
      tell(`${status} without a message: ${headers.get("content-type")} ${body.slice(0, 300)}`);
    if (status < 500 || SERVED.has(status)) continue;
    const known = documented.some(
      (one) =>
        one.status === status && one.what.test(request.what) && (head || one.message.test(message ?? "")),
    );
    if (!known) tell(`${status}: ${body.slice(0, 600)}`);
  }
  if (request.whole && answers.length === 0 && !(silent && request.patient))
    tell(closed ? "hung up on without an answer" : "no answer");
  if (!request.whole && silent && !request.patient) tell("its connection was neither answered nor closed");
  return found;
}
