// Why each step is in a launch plan: what it protects from, or what asked for it. The table is keyed by operation, so that a
// new step without a reason does not compile.
import type { Step } from "./vocabulary.ts";

/** What reasons are about, by the end of a control group file's name. */
const limitReasons: readonly [pattern: RegExp, reason: string][] = [
  [
    /cpuset\.(cpus|mems)$/,
    "a new cpuset is empty, and nothing can enter it before it has processors and memory",
  ],
  [/memsw|swap/, "memory and swap are limited together, or a memory limit would only move it to the disk"],
  [/memory\.oom_control$/, "--oom-kill-disable: processes wait for memory instead of being killed"],
  [/memory/, "a container that takes all memory would take the host down with it"],
  [/pids\.max$/, "a fork bomb ends at the container's own limit"],
  [/cpu\.|cpu$/, "processor time is shared as was asked for"],
  [/devices\.deny$/, "a group may use every device until it is told otherwise"],
  [/devices\.allow$/, "a device that containers have, or that --device or --device-cgroup-rule asked for"],
  [/blkio|io\./, "block I/O is shared as was asked for"],
  [/subtree_control$/, "groups below have the controllers that their parent hands on"],
];

const flagged = (value: number | bigint, flag: number): boolean => (Number(value) & flag) !== 0;

const reasons: { [K in Step["op"]]: (step: Extract<Step, { op: K }>) => string } = {
  serve: () => "a daemon that was restarted finds the container here again, and its end is never lost",
  stdio: () => "the streams outlive clients and daemon",
  log: () => "what the container prints can be read later, and can't fill the disk",
  "log.forward": () => "--log-driver asked for it",
  directory: ({ path }) =>
    path.includes("cgroup") ? "what the container uses is counted and limited as one" : "it is mounted on",
  write: ({ path }) =>
    limitReasons.find(([pattern]) => pattern.test(path))?.[1] ?? "a limit that was asked for",
  "cgroup.devices": () => "a device node that was made inside must not open the host's disk",
  "pid-namespace.join": () => "--pid container:… (or an exec): its processes are seen and signalled",
  clone: ({ flags }) =>
    flagged(flags, 0x20000000)
      ? "what it does not see it can't signal, mount, reach or rename"
      : "it shares the host's (or another's) processes, as was asked for",
  "netlink.host": () => "the wire between the container and its network, shaped as was asked for",
  "memory.watch": () => "who is told of it can do something before the next process is killed",
  "hook.runtime": () => "a device's specification asks for it",
  "hook.container": () => "a device's specification asks for it",
  "cgroup.enter": () => "from here on every limit holds for it and for all its children",
  unshare: () => "it sees its own control groups as the root, and not where it stands among others'",
  "namespaces.join": () => "another container's namespaces were asked for (or this is an exec)",
  owner: () => "root of the container owns what it must be able to open, and is nobody's root outside",
  "user-namespace.join": () => "who shares another one's namespaces shares the user namespace that owns them",
  "rlimit.raise": () => "in a user namespace a process may not raise limits itself",
  "time-namespace": () => "--time-offset asked for it",
  "user-namespace": () => "root in the container is an ordinary user of the host's, and nobody else's",
  label: () => "SELinux or AppArmor holds it where every other wall has failed",
  "mount.label": () =>
    "its files carry its own label: another container may not open them even as the same user",
  relabel: () => ":z or :Z asked for it: the container's label may use these files",
  "seccomp.record": () => "a trace was asked for: the calls that it makes are written down",
  "seccomp.trace": () => "a trace was asked for: the tightest filter can be made of it",
  landlock: () => "paths and ports beyond what was granted are refused, whoever it becomes",
  "tmpfs.open": () =>
    "devices work only in a file system of the host's: its own user namespace may make none",
  "hand-over": () => "what only the host may make is given to the container's process as open files",
  "take-over": () => "its root and devices come from the host by descriptor, by no path",
  "user-namespace.root": () =>
    "what it sets up from here on it does with the rights that it has over its own namespaces only",
  "root.attach": () => "a root must be a mount before it can be pivoted to",
  "await-host": () => "its end of the wire is not there before the host has made it",
  netlink: () => "addresses and routes are set from outside: it needs no right to do so itself",
  netfilter: () => "the container's own port 53 stays free for its own name server",
  sysctl: ({ path }) =>
    path.startsWith("/proc/sys/net/ipv6/conf/")
      ? "no IPv6, or no router advertisements, where its network gives it no address that way"
      : path.endsWith("ip_unprivileged_port_start") || path.endsWith("ping_group_range")
        ? "low ports and ping without a capability: in a network of its own they are nobody else's"
        : "--sysctl asked for it; it is the container's own namespace's",
  hostname: () => "it has a name of its own",
  domainname: () => "--domainname asked for it",
  "bind.open-in": () => "who shares an IPC namespace shares its /dev/shm",
  "bind.open": ({ confined }) =>
    confined
      ? "a source that became a link since it was judged is refused"
      : "the source is taken by descriptor now, so that no later link or rename can exchange it",
  propagation: () => "nothing that is mounted from here on reaches the host",
  "root.overlay": () => "the image's files are shared and never changed; what it writes is its own",
  "image.open": () => "another image's files, which stay as they are: there is nowhere to write to",
  "image.part": () => "a part of an image, found without a way out of it",
  mount: ({ type, target }) =>
    mountReasons[type] ??
    (target.startsWith("/dev")
      ? "devices and memory of its own"
      : target.startsWith("/sys/")
        ? "each controller's control groups have a place below it"
        : "--tmpfs asked for it (or a system's init expects it)"),
  bind: ({ target }) =>
    /^\/etc\/(hostname|hosts|resolv\.conf)$/.test(target)
      ? "names and resolvers that the engine keeps for it"
      : "a volume or bind that was asked for (or --init)",
  node: () => "programs expect it; or --device asked for it",
  symlink: () => "programs expect it",
  mask: () => "tells of, or reaches, more than the container",
  readonly: () => "changes more than the container when it is written to",
  pivot: () => "the host's files are not hidden but gone: no path leads back",
  terminal: () => "-t asked for a terminal; it gets no other",
  "name-server.listen": () => "names of other containers are found by its own name server",
  rlimit: () => "--ulimit, or the daemon's default",
  "oom-score": () => "--oom-score-adj says who is killed first when memory runs out",
  keyring: () => "keys in the kernel's session keyring are not shared with anybody",
  "no-new-privileges": () => "programs that are set-uid give nothing",
  seccomp: () => "calls that containers have no use for are refused: most of the kernel is out of reach",
  "capabilities.bounding": () => "what is not in this set can't be had again, not by any program",
  user: () => "USER or --user: whose files it may touch",
  capabilities: () => "root in the container has a part of root's rights only",
  "working-directory": () => "WORKDIR or --workdir; made if it is missing",
  execute: () => "the command; everything above holds from its first instruction",
  hold: () => "the container's root can be looked into while it does not run",
  adopt: () => "the container is another runtime's; its end, streams and signals are ours all the same",
  "streams.inherit": () => "who calls us as a runtime looks after the process himself",
  "start-pipe": () => "create and start are two commands",
  "await-start": () => "create and start are two commands",
  "root.open": () => "the bundle's root",
  "fail.monitor": () => "a test",
  "fail.host": () => "a test",
  "fail.child": () => "a test",
};

const mountReasons: Readonly<Record<string, string>> = {
  proc: "shows the processes of its own PID namespace, and no others",
  sysfs: "shows the devices and links of its own network namespace; not to be written",
  cgroup: "it reads its own limits, and can't change them",
  cgroup2: "it reads its own limits, and can't change them",
  devpts: "terminals of its own: others' can't be opened",
  mqueue: "message queues of its own IPC namespace",
};

/** Why one step is there. */
export const reasonFor = (step: Step): string => (reasons[step.op] as (step: Step) => string)(step);
