// A launch plan in words, one line per step: what will be, or was, done to the kernel.
import { capabilitiesIn } from "../capabilities.ts";
import { parseMessages } from "../netlink/message.ts";
import { type Plan, type Step, stageOf, vocabulary } from "./vocabulary.ts";

const cloneFlags: readonly [number, string][] = [
  [0x80, "time"],
  [0x20000, "mount"],
  [0x2000000, "cgroup"],
  [0x4000000, "UTS"],
  [0x8000000, "IPC"],
  [0x10000000, "user"],
  [0x20000000, "PID"],
  [0x40000000, "network"],
];
const namespaces = (flags: number): string =>
  cloneFlags.flatMap(([flag, name]) => (flags & flag ? [name] : [])).join(", ") || "none";
const attributes = (flags: number): string =>
  ["read-only", "nosuid", "nodev", "noexec"].filter((_, bit) => flags & (1 << bit)).join(", ");
const names = (mask: number | bigint): string => capabilitiesIn(BigInt(mask)).join(" ") || "none";
const count = (messages: Uint8Array): number => parseMessages(Buffer.from(messages)).length;
const mapping = (map: string): string => map.trim().split("\n").join(", ") || "none";
const list = (items: readonly (string | number)[]): string => items.join(" ") || "none";

const words: { [K in Step["op"]]: (step: Extract<Step, { op: K }>) => string } = {
  serve: (step) => `listen for the daemon at ${step.socket}; write the exit status to ${step.exit}`,
  stdio: (step) =>
    step.terminal ? "prepare a terminal" : `prepare pipes${step.openStdin ? ", stdin open" : ""}`,
  log: (step) =>
    `log to ${step.path}, ${step.maximumSize} bytes × ${step.maximumFiles} files${step.compressor ? ", old ones compressed" : ""}`,
  "log.forward": (step) => `pass each line on to ${step.address}, as ${step.tag}`,
  directory: (step) => `make directory ${step.path}`,
  write: (step) => `write ${JSON.stringify(step.value)} to ${step.path}`,
  "cgroup.devices": (step) =>
    `put a device program of ${step.program.length / 8} instructions on ${step.directory}`,
  "memory.watch": (step) => `watch ${step.events} for want of memory`,
  owner: (step) => `give ${step.path} to user ${step.uid}, group ${step.gid}`,
  "user-namespace.join": (step) => `join user namespace ${step.path}`,
  "rlimit.raise": (step) => `let resource limit ${step.resource} be as high as ${step.hard}`,
  "time-namespace": (step) =>
    `make a time namespace with offsets ${step.offsets.trim().replaceAll("\n", ", ")}`,
  "pid-namespace.join": (step) => `join PID namespace ${step.path}`,
  clone: (step) => `clone the process; new namespaces: ${namespaces(Number(step.flags))}`,
  "netlink.host": (step) => `send ${count(step.messages)} rtnetlink messages on the host`,
  "user-namespace": (step) =>
    step.uidMap
      ? `map users ${mapping(step.uidMap)} and groups ${mapping(step.gidMap)} (in the container, on the host, how many)`
      : `map ids as the joined user namespace does; its root is user ${step.rootUid} of the host`,
  "hand-over": () => "give the root and the mounts to the child",
  "hook.runtime": (step) => `run hook ${list(step.arguments)} (${step.path}) beside the container`,
  "hook.container": (step) => `run hook ${list(step.arguments)} (${step.path}) in the container's namespaces`,
  "cgroup.enter": (step) => `enter control groups by ${list(step.files)}`,
  unshare: (step) => `unshare namespaces: ${namespaces(Number(step.flags))}`,
  "namespaces.join": (step) => `join namespaces ${list(step.paths)}`,
  "take-over": () => "take the root and the mounts",
  "user-namespace.root": () => "become root of the user namespace",
  "await-host": () => "wait for the host's steps",
  netlink: (step) => `send ${count(step.messages)} rtnetlink messages in the container`,
  netfilter: (step) => `send ${count(step.messages)} nf_tables messages in the container`,
  sysctl: (step) => `set ${step.path} to ${step.value}`,
  hostname: (step) => `set the host name ${step.name}`,
  domainname: (step) => `set the domain name ${step.name}`,
  "bind.open-in": (step) => `take ${step.source} of mount namespace ${step.namespace} (slot ${step.slot})`,
  "bind.open": (step) =>
    `take ${step.recursive ? "the tree" : "the mount"} ${step.source}${step.subpath ? `, of it ${step.subpath},` : ""}${step.confined ? ", following no links," : ""}${step.idmapped ? " with its ids mapped" : ""} (slot ${step.slot})`,
  propagation: (step) => `set mount propagation 0x${Number(step.flags).toString(16)} on ${step.path}`,
  "root.overlay": (step) =>
    `make the root: overlay of ${step.lower.length} layers, upper ${step.base ? `${step.base}/${step.upper}` : "none"}${step.idmapped ? ", ids mapped" : ""}`,
  "image.open": (step) =>
    `make an image's files: overlay of ${step.lower.length} layers${step.idmapped ? ", ids mapped" : ""} (slot ${step.slot})`,
  "image.part": (step) => `take ${step.subpath} of what slot ${step.slot} holds`,
  "root.attach": (step) => `attach the root at ${step.staging}`,
  "tmpfs.open": (step) => `make a tmpfs (${list(step.options)}; slot ${step.slot})`,
  mount: (step) =>
    `mount ${step.type} at ${step.target} (${[attributes(Number(step.attributes)), ...step.options].filter(Boolean).join(", ")})`,
  bind: (step) =>
    `bind slot ${step.slot} at ${step.target} (${attributes(Number(step.attributes)) || "read-write"})`,
  node: (step) => `make device ${step.path} ${step.major}:${step.minor} in slot ${step.slot}`,
  symlink: (step) => `link ${step.path} → ${step.target}`,
  mask: (step) => `hide ${step.path}`,
  readonly: (step) => `make ${step.path} read-only`,
  pivot: (step) =>
    `pivot to the root (${attributes(Number(step.attributes)) || "read-write"}) and detach the host's`,
  terminal: (step) => `open the terminal${step.console ? " and show it as /dev/console" : ""}`,
  "name-server.listen": (step) => `open the name server's sockets at ${step.address}:${step.port}`,
  rlimit: (step) => `set resource limit ${step.resource} to ${step.soft}:${step.hard}`,
  "oom-score": (step) => `set oom_score_adj to ${step.value}`,
  keyring: (step) => `join a session keyring of its own, ${step.name}`,
  "no-new-privileges": () => "set no_new_privs",
  seccomp: (step) => `load a seccomp filter of ${step.filter.length / 8} instructions`,
  "capabilities.bounding": (step) => `limit the bounding set to ${names(step.keep)}`,
  user: (step) => `become user ${step.uid}, group ${step.gid}, groups ${list(step.groups)}`,
  capabilities: (step) =>
    `set capabilities: effective ${names(step.effective)}; permitted ${names(step.permitted)}; inheritable ${names(step.inheritable)}; ambient ${names(step.ambient)}`,
  "working-directory": (step) => `change to directory ${step.path}`,
  execute: (step) =>
    `execute ${[step.file, ...step.arguments.slice(1)].map((word) => JSON.stringify(word)).join(" ")}`,
  hold: () => "stay, so that the namespaces can be looked into",
  label: (step) => `set the process attribute ${step.attributes[0] ?? ""} to ${step.value}`,
  "mount.label": (step) => `label ${step.path} ${step.label}`,
  relabel: (step) =>
    `label ${step.source}${step.subpath ? `, of it ${step.subpath},` : ""} and all below ${step.label}`,
  "seccomp.record": (step) => `write traced calls down to ${step.path}`,
  "seccomp.trace": () => "ask the monitor before each system call, which counts it",
  landlock: (step) =>
    `restrict by Landlock to ${list(step.paths)}${step.network ? `, ports ${list(step.ports)}` : ""}${step.scoped ? ", and to its own processes" : ""}`,
  adopt: (step) => `take over the process that the runtime writes to ${step.pidFile}`,
  "streams.inherit": (step) =>
    `leave the streams as they are${step.console ? `, send the terminal to ${step.console}` : ""}${step.leave ? ", and leave" : ""}`,
  "start-pipe": (step) => `open ${step.path}`,
  "await-start": (step) => `look for ${step.file}, and wait for the start`,
  "root.open": (step) => `take the tree ${step.path} as the root`,
  "fail.monitor": (step) => `fail with errno ${step.errno} (a test)`,
  "fail.host": (step) => `fail with errno ${step.errno} (a test)`,
  "fail.child": (step) => `fail with errno ${step.errno} (a test)`,
};

/** One step in words. */
export const describeStep = (step: Step): string => (words[step.op] as (step: Step) => string)(step);

/** The plan in words: number, who carries the step out, its operation, and what it does. */
export const describePlan = (plan: Plan): string =>
  plan
    .map((step, index) => {
      const { code } = vocabulary[step.op];
      return `${String(index).padStart(3)}  ${stageOf(step.op).padEnd(7)}  ${String(code).padStart(2)} ${step.op.padEnd(21)}  ${describeStep(step)}`;
    })
    .join("\n");
