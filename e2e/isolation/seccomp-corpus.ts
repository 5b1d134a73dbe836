// Seccomp profiles in Docker's format, each with a script that feels it, and how an engine deals with them.
import { request } from "node:http";

export interface CorpusEntry {
  name: string;
  profile: unknown;
  script: string;
  capabilities?: readonly string[];
}

const allow = "SCMP_ACT_ALLOW";
const errno = "SCMP_ACT_ERRNO";
/** Everything but these rules is allowed. */
const but = (...syscalls: unknown[]) => ({ defaultAction: allow, syscalls });
const deny = (names: string[], more: object = {}) => ({ names, action: errno, ...more });
const argument = (index: number, op: string, value: unknown, valueTwo?: unknown) => ({
  index,
  op,
  value,
  ...(valueTwo === undefined ? {} : { valueTwo }),
});

const mkdir = "mkdir /tmp/x 2>&1 && echo made";
const mode = (octal: string) => `mkdir -m ${octal} /tmp/${octal} 2>&1 && echo made ${octal}`;
const modes = [mode("700"), mode("711"), mode("755")].join("; ");
const mkdirArgument = (op: string, value: unknown, valueTwo?: unknown) =>
  but(deny(["chmod"], { args: [argument(1, op, value, valueTwo)] }));
const chmods = "touch /tmp/f; for m in 600 640 644; do chmod $m /tmp/f 2>&1 && echo $m; done";

export const corpus: readonly CorpusEntry[] = [
  { name: "nothing", profile: {}, script: "mkdir /tmp/x && grep ^Seccomp: /proc/self/status" },
  { name: "allow all", profile: but(), script: "grep ^Seccomp: /proc/self/status" },
  { name: "one name", profile: but({ name: "mkdir", action: errno }), script: mkdir },
  { name: "several names", profile: but(deny(["mkdir", "rmdir"])), script: `${mkdir}; rmdir /tmp 2>&1` },
  { name: "unknown names are passed over", profile: but(deny(["no_such_call", "mkdir"])), script: mkdir },
  { name: "an errno of its own", profile: but(deny(["mkdir"], { errnoRet: 28 })), script: mkdir },
  { name: "errno 0 lies", profile: but(deny(["mkdir"], { errnoRet: 0 })), script: `${mkdir}; ls /tmp` },
  { name: "kill", profile: but({ names: ["mkdir"], action: "SCMP_ACT_KILL" }), script: `${mkdir}; echo $?` },
  {
    name: "kill thread",
    profile: but({ names: ["mkdir"], action: "SCMP_ACT_KILL_THREAD" }),
    script: `${mkdir}; echo $?`,
  },
  {
    name: "kill process",
    profile: but({ names: ["mkdir"], action: "SCMP_ACT_KILL_PROCESS" }),
    script: `${mkdir}; echo $?`,
  },
  { name: "trap", profile: but({ names: ["mkdir"], action: "SCMP_ACT_TRAP" }), script: `${mkdir}; echo $?` },
  { name: "trace", profile: but({ names: ["mkdir"], action: "SCMP_ACT_TRACE" }), script: mkdir },
  { name: "log", profile: but({ names: ["mkdir"], action: "SCMP_ACT_LOG" }), script: mkdir },
  { name: "notify", profile: but({ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }), script: mkdir },
  { name: "equal", profile: mkdirArgument("SCMP_CMP_EQ", 0o640), script: chmods },
  { name: "not equal", profile: mkdirArgument("SCMP_CMP_NE", 0o640), script: chmods },
  { name: "less", profile: mkdirArgument("SCMP_CMP_LT", 0o640), script: chmods },
  { name: "less or equal", profile: mkdirArgument("SCMP_CMP_LE", 0o640), script: chmods },
  { name: "greater", profile: mkdirArgument("SCMP_CMP_GT", 0o640), script: chmods },
  { name: "greater or equal", profile: mkdirArgument("SCMP_CMP_GE", 0o640), script: chmods },
  { name: "masked", profile: mkdirArgument("SCMP_CMP_MASKED_EQ", 0o040, 0o040), script: chmods },
  {
    name: "two arguments together",
    profile: but(
      deny(["chmod"], { args: [argument(1, "SCMP_CMP_EQ", 0o640), argument(0, "SCMP_CMP_EQ", 0)] }),
    ),
    script: chmods,
  },
  {
    name: "one argument twice is either",
    profile: but(
      deny(["chmod"], { args: [argument(1, "SCMP_CMP_EQ", 0o640), argument(1, "SCMP_CMP_EQ", 0o644)] }),
    ),
    script: chmods,
  },
  {
    name: "an index that is none",
    profile: but(deny(["chmod"], { args: [argument(6, "SCMP_CMP_EQ", 1)] })),
    script: chmods,
  },
  {
    name: "an operator that is none",
    profile: but(deny(["chmod"], { args: [argument(1, "SCMP_CMP_XX", 1)] })),
    script: chmods,
  },
  {
    name: "an action that is none",
    profile: but({ names: ["mkdir"], action: "SCMP_ACT_XX" }),
    script: mkdir,
  },
  { name: "a default that is none", profile: { defaultAction: "SCMP_ACT_XX", syscalls: [] }, script: mkdir },
  {
    name: "an architecture that is none",
    profile: { ...but(), architectures: ["SCMP_ARCH_XX"] },
    script: mkdir,
  },
  { name: "name and names", profile: but({ name: "mkdir", names: ["rmdir"], action: errno }), script: mkdir },
  {
    name: "architectures and archMap",
    profile: {
      ...but(),
      architectures: ["SCMP_ARCH_X86_64"],
      archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: [] }],
    },
    script: mkdir,
  },
  {
    name: "archMap of this and of others",
    profile: {
      ...but(deny(["mkdir"])),
      archMap: [
        { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
        { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
      ],
    },
    script: mkdir,
  },
  {
    name: "architectures",
    profile: { ...but(deny(["mkdir"])), architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] },
    script: mkdir,
  },
  {
    name: "includes caps, there",
    profile: but(deny(["mkdir"], { includes: { caps: ["CAP_CHOWN"] } })),
    script: mkdir,
  },
  {
    name: "includes caps, not there",
    profile: but(deny(["mkdir"], { includes: { caps: ["CAP_SYS_ADMIN"] } })),
    script: mkdir,
  },
  {
    name: "includes caps, added",
    profile: but(deny(["mkdir"], { includes: { caps: ["CAP_SYS_ADMIN"] } })),
    script: mkdir,
    capabilities: ["SYS_ADMIN"],
  },
  {
    name: "includes caps, one of two",
    profile: but(deny(["mkdir"], { includes: { caps: ["CAP_CHOWN", "CAP_SYS_ADMIN"] } })),
    script: mkdir,
  },
  {
    name: "excludes caps, there",
    profile: but(deny(["mkdir"], { excludes: { caps: ["CAP_CHOWN"] } })),
    script: mkdir,
  },
  {
    name: "excludes caps, not there",
    profile: but(deny(["mkdir"], { excludes: { caps: ["CAP_SYS_ADMIN"] } })),
    script: mkdir,
  },
  {
    name: "includes arches, this",
    profile: but(deny(["mkdir"], { includes: { arches: ["amd64", "arm64"] } })),
    script: mkdir,
  },
  {
    name: "includes arches, another",
    profile: but(deny(["mkdir"], { includes: { arches: ["s390x"] } })),
    script: mkdir,
  },
  {
    name: "excludes arches, this",
    profile: but(deny(["mkdir"], { excludes: { arches: ["amd64"] } })),
    script: mkdir,
  },
  {
    name: "minKernel, old",
    profile: but(deny(["mkdir"], { includes: { minKernel: "4.8" } })),
    script: mkdir,
  },
  {
    name: "minKernel, to come",
    profile: but(deny(["mkdir"], { includes: { minKernel: "99.0" } })),
    script: mkdir,
  },
  {
    name: "minKernel, excluded",
    profile: but(deny(["mkdir"], { excludes: { minKernel: "4.8" } })),
    script: mkdir,
  },
  {
    name: "minKernel that is none",
    profile: but(deny(["mkdir"], { includes: { minKernel: "new" } })),
    script: mkdir,
  },
  {
    name: "a flag that is none",
    profile: { ...but(deny(["mkdir"])), flags: ["SECCOMP_FILTER_FLAG_XX"] },
    script: mkdir,
  },
  {
    name: "default errno",
    profile: { defaultAction: errno, defaultErrnoRet: 28, syscalls: [] },
    script: mkdir,
  },
  {
    name: "the first of two rules for a call",
    profile: but(deny(["mkdir"], { errnoRet: 28 }), deny(["mkdir"], { errnoRet: 13 })),
    script: mkdir,
  },
  {
    name: "a name that only another architecture has",
    profile: but(deny(["mmap2", "mkdir"])),
    script: mkdir,
  },
  { name: "text for a number", profile: but(deny(["mkdir"], { errnoRet: "28" })), script: mkdir },
  { name: "not JSON", profile: "{", script: mkdir },
  { name: "modes through", profile: but(), script: modes },
];

export interface Outcome {
  /** Where it was refused, if it was: how far another engine lets a wrong profile come is its own affair. */
  refused: boolean;
  output: string;
  exitCode: number;
}

/** One request of a Docker API at a Unix socket. */
function ask(
  socket: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = body ? { "content-type": "application/json" } : {};
    const sending = request({ socketPath: socket, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
    });
    sending.on("error", reject);
    sending.end(body && JSON.stringify(body));
  });
}

/** Runs an entry's script under its profile by the engine at a socket. */
export async function outcomeOf(socket: string, entry: CorpusEntry): Promise<Outcome> {
  const profile = typeof entry.profile === "string" ? entry.profile : JSON.stringify(entry.profile);
  const created = await ask(socket, "POST", "/containers/create", {
    Image: "busybox",
    Cmd: ["sh", "-c", entry.script],
    // Its output comes as it is then.
    Tty: true,
    HostConfig: {
      SecurityOpt: [`seccomp=${profile}`],
      CapAdd: entry.capabilities ?? [],
      NetworkMode: "none",
    },
  });
  const refusal: Outcome = { refused: true, output: "", exitCode: 0 };
  if (created.status !== 201) return refusal;
  const { Id } = JSON.parse(created.text) as { Id: string };
  try {
    if ((await ask(socket, "POST", `/containers/${Id}/start`)).status !== 204) return refusal;
    const { text } = await ask(socket, "POST", `/containers/${Id}/wait`);
    const logs = await ask(socket, "GET", `/containers/${Id}/logs?stdout=1&stderr=1`);
    const { StatusCode } = JSON.parse(text) as { StatusCode: number };
    return { refused: false, output: logs.text.replaceAll("\r", ""), exitCode: StatusCode };
  } finally {
    await ask(socket, "DELETE", `/containers/${Id}?force=1&v=1`);
  }
}
