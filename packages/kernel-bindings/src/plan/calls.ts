// The kernel calls that carry each step of a launch plan out, as they would be written in C. The table is keyed by
// operation, so that a new step without its calls does not compile.
import * as numbers from "../constants.ts";
import { parseMessages } from "../netlink/message.ts";
import { netlinkTypeName } from "../netlink/words.ts";
import type { Step } from "./vocabulary.ts";

/** The names of a prefix's flags that are set in a number, as C writes them; 0 for none. */
function flagNames(prefix: string, value: number | bigint, names: Readonly<Record<string, unknown>>): string {
  const set = Object.entries(names).filter(
    ([name, bit]) => name.startsWith(prefix) && typeof bit === "number" && Number(value) & bit,
  );
  return set.map(([name]) => name).join("|") || "0";
}
const clones = (value: number | bigint): string => flagNames("CLONE_NEW", value, numbers);
const attributes = (value: number | bigint): string => flagNames("MOUNT_ATTR_", value, numbers);
const propagation = (value: number | bigint): string => flagNames("MS_", value, numbers);
const resource = (number: number | bigint): string => {
  const found = Object.entries(numbers.rlimits).find(([, own]) => own === Number(number));
  return found ? `RLIMIT_${found[0].toUpperCase()}` : String(number);
};

/** rtnetlink(7) messages, each kind named once with how many there are. */
function messages(bytes: Uint8Array): string[] {
  const counts = new Map<string, number>();
  for (const { type } of parseMessages(Buffer.from(bytes)))
    counts.set(netlinkTypeName(type), (counts.get(netlinkTypeName(type)) ?? 0) + 1);
  return [...counts].map(([name, count]) => `send(NETLINK_ROUTE, ${name})${count > 1 ? ` × ${count}` : ""}`);
}

const newFile = ["open(O_WRONLY)", "write"];
const inRoot = "openat2(RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS)";
const overlay = ({ idmapped }: { idmapped: boolean }): string[] => [
  ...(idmapped ? ["open_tree(OPEN_TREE_CLONE)", "mount_setattr(MOUNT_ATTR_IDMAP)"] : []),
  'fsopen("overlay")',
  "fsconfig",
  "fsmount",
];

const calls: { [K in Step["op"]]: (step: Extract<Step, { op: K }>) => string[] } = {
  serve: () => ["socket(AF_UNIX)", "bind", "listen"],
  stdio: (step) => [step.terminal ? "open(/dev/ptmx)" : "pipe2"],
  log: () => ["open(O_APPEND)"],
  "log.forward": () => ["socket", "connect"],
  directory: () => ["mkdir"],
  write: () => newFile,
  "cgroup.devices": () => ["bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE)", "bpf(BPF_PROG_ATTACH)"],
  "memory.watch": (step) =>
    step.controls === "" ? ["inotify_init1", "inotify_add_watch"] : ["eventfd2", ...newFile],
  "pid-namespace.join": () => ["setns(CLONE_NEWPID)"],
  clone: (step) => [`clone3(${clones(step.flags)})`],
  "netlink.host": (step) => messages(step.messages),
  "hook.runtime": (step) => ["fork", `execve(${step.path})`, "waitpid"],
  "hook.container": (step) => ["fork", `execve(${step.path})`, "waitpid"],
  "cgroup.enter": () => ["open(O_WRONLY)", 'write("0")'],
  unshare: (step) => [`unshare(${clones(step.flags)})`],
  "namespaces.join": (step) => step.types.map((type) => `setns(${clones(type)})`),
  owner: () => ["chown"],
  "user-namespace.join": () => ["setns(CLONE_NEWUSER)"],
  "rlimit.raise": (step) => [`prlimit64(${resource(step.resource)})`],
  "time-namespace": () => ["unshare(CLONE_NEWTIME)", "open(/proc/self/timens_offsets)", "write"],
  "user-namespace": (step) =>
    step.uidMap || step.gidMap
      ? ["open(/proc/PID/uid_map)", "write", "open(/proc/PID/gid_map)", "write"]
      : ["open"],
  label: () => newFile,
  "mount.label": () => [inRoot, 'fsetxattr("security.selinux")'],
  relabel: () => ["openat2(RESOLVE_NO_SYMLINKS)", 'lsetxattr("security.selinux")'],
  "seccomp.record": () => ["open(O_CREAT)"],
  "seccomp.trace": () => ["seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER)"],
  landlock: (step) => [
    "landlock_create_ruleset",
    ...(step.paths.length > 0
      ? [`landlock_add_rule(LANDLOCK_RULE_PATH_BENEATH) × ${step.paths.length}`]
      : []),
    ...(step.ports.length > 0 ? [`landlock_add_rule(LANDLOCK_RULE_NET_PORT) × ${step.ports.length}`] : []),
    "landlock_restrict_self",
  ],
  "tmpfs.open": () => ['fsopen("tmpfs")', "fsconfig", "fsmount"],
  "hand-over": () => ["sendmsg(SCM_RIGHTS)"],
  "take-over": () => ["recvmsg(SCM_RIGHTS)"],
  "user-namespace.root": () => ["setgroups", "setresgid", "setresuid"],
  "root.attach": () => ["open(O_PATH)", "move_mount"],
  "await-host": () => ["read(pipe)"],
  netlink: (step) => messages(step.messages),
  netfilter: () => ["send(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES)"],
  sysctl: () => ["openat2(RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_XDEV)", "write"],
  hostname: () => ["sethostname"],
  domainname: () => ["setdomainname"],
  "bind.open-in": () => ["setns(CLONE_NEWNS)", inRoot, "open_tree(OPEN_TREE_CLONE)"],
  "bind.open": (step) => [
    `openat2(${step.confined ? "RESOLVE_NO_SYMLINKS" : "O_PATH"})`,
    `open_tree(OPEN_TREE_CLONE${step.recursive ? "|AT_RECURSIVE" : ""})`,
    ...(step.idmapped ? ["mount_setattr(MOUNT_ATTR_IDMAP)"] : []),
  ],
  propagation: (step) => [`mount(${propagation(step.flags)})`],
  "root.overlay": overlay,
  "image.open": overlay,
  "image.part": () => [
    "move_mount",
    "openat2(RESOLVE_BENEATH)",
    "open_tree(OPEN_TREE_CLONE)",
    "umount2(MNT_DETACH)",
  ],
  mount: (step) => [
    `fsopen("${step.type}")`,
    "fsconfig",
    `fsmount(${attributes(step.attributes)})`,
    `openat2(RESOLVE_IN_ROOT${step.strict ? "|RESOLVE_NO_SYMLINKS" : ""})`,
    "move_mount",
  ],
  bind: (step) => [
    inRoot,
    `mount_setattr(${attributes(step.attributes)}${step.recursive ? ", AT_RECURSIVE" : ""})`,
    "move_mount",
  ],
  node: () => [inRoot, "mknodat", "fchmodat"],
  symlink: () => [inRoot, "symlinkat"],
  mask: () => [inRoot, "open_tree(/dev/null)", "move_mount"],
  readonly: () => [inRoot, "open_tree(OPEN_TREE_CLONE)", "mount_setattr(MOUNT_ATTR_RDONLY)", "move_mount"],
  pivot: (step) => [
    "pivot_root",
    "umount2(MNT_DETACH)",
    ...(Number(step.attributes) ? [`mount_setattr(${attributes(step.attributes)})`] : []),
  ],
  terminal: () => ["setsid", "ioctl(TIOCSCTTY)", "dup2"],
  "name-server.listen": () => ["socket(AF_INET)", "bind", "listen", "sendmsg(SCM_RIGHTS)"],
  rlimit: (step) => [`prlimit64(${resource(step.resource)})`],
  "oom-score": () => newFile,
  keyring: () => ["keyctl(KEYCTL_JOIN_SESSION_KEYRING)"],
  "no-new-privileges": () => ["prctl(PR_SET_NO_NEW_PRIVS)"],
  seccomp: () => ["seccomp(SECCOMP_SET_MODE_FILTER)"],
  "capabilities.bounding": () => ["prctl(PR_CAPBSET_DROP)"],
  user: () => ["setgroups", "setresgid", "setresuid", "umask"],
  capabilities: () => ["capset", "prctl(PR_CAP_AMBIENT)"],
  "working-directory": (step) => [...(step.create ? ["mkdirat"] : []), "chdir"],
  execute: () => ["execve"],
  hold: () => ["pause"],
  adopt: () => ["prctl(PR_SET_CHILD_SUBREAPER)", "waitpid", "pidfd_open"],
  "streams.inherit": (step) => (step.console ? ["connect", "sendmsg(SCM_RIGHTS)"] : ["dup2"]),
  "start-pipe": () => ["open(O_RDWR)"],
  "await-start": () => ["access(X_OK)", "read"],
  "root.open": () => ["open_tree(OPEN_TREE_CLONE | AT_RECURSIVE)"],
  "fail.monitor": () => [],
  "fail.host": () => [],
  "fail.child": () => [],
};

/** The kernel calls of one step, in their order. */
export const callsOf = (step: Step): string[] => (calls[step.op] as (step: Step) => string[])(step);
