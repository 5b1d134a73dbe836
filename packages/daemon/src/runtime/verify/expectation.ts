// What a launch plan lets one expect of the live kernel. The table is keyed by operation, so that a new step does not compile
// before somebody has said how it is verified, or why it is not.
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
  MS_SHARED,
  MS_SLAVE,
  type NamespaceKind,
  type Op,
  type Plan,
  type Step,
} from "@tsd/kernel-bindings";

export interface ExpectedMount {
  target: string;
  /** Undefined where it is whatever the source is. */
  type: string | undefined;
  /** MOUNT_ATTR_*: those must be set. */
  attributes: number;
  propagation: "private" | "slave" | "shared";
  /** Only where the path is there: masks and read-only paths. */
  ifThere: boolean;
  /** What is mounted below came with it, or may come. */
  tree: boolean;
}

export interface Expectation {
  /** Namespaces of its own, and those that were joined, by the path they were joined by. */
  own: Set<NamespaceKind>;
  joined: Map<NamespaceKind, string>;
  mounts: ExpectedMount[];
  /** What was written to control group files, in order. */
  writes: { path: string; value: string }[];
  /** Files by which process 1 entered its groups. */
  entered: string[];
  devicePrograms: string[];
  sysctls: { path: string; value: string }[];
  hostname: string | undefined;
  domainname: string | undefined;
  limits: Map<number, { soft: bigint; hard: bigint; tolerated: boolean }>;
  oomScore: { value: number; tolerated: boolean } | undefined;
  bounding: bigint | undefined;
  user: { uid: number; gid: number } | undefined;
  noNewPrivileges: boolean;
  seccomp: boolean;
  /** Of the security module, as what is executed gets it. */
  label: { attributes: readonly string[]; value: string } | undefined;
  /** Of its own user namespace, as /proc/PID/uid_map and gid_map read them. */
  idMaps: { uid: string; gid: string } | undefined;
  /** Trees among the slots of binds, by slot. */
  readonly trees: Set<number>;
}

const kinds: readonly [flag: number, kind: NamespaceKind][] = [
  [CLONE_NEWTIME, "time"],
  [CLONE_NEWNS, "mnt"],
  [CLONE_NEWCGROUP, "cgroup"],
  [CLONE_NEWUTS, "uts"],
  [CLONE_NEWIPC, "ipc"],
  [CLONE_NEWUSER, "user"],
  [CLONE_NEWPID, "pid"],
  [CLONE_NEWNET, "net"],
];
const kindsIn = (flags: number | bigint): NamespaceKind[] =>
  kinds.flatMap(([flag, kind]) => (Number(flags) & flag ? [kind] : []));

type Told<K extends Op> = (step: Extract<Step, { op: K }>, expectation: Expectation) => void;
/** How a step is verified, or why it is not. */
type Entry<K extends Op> = Told<K> | { readonly notVerified: string };

const monitors = {
  notVerified: "streams, socket and log are the monitor's, which tells of their loss itself",
};
const changing = {
  notVerified: "networks come and go while it runs: what holds now is verified, not what held at the start",
};
const itsOwn = { notVerified: "the container may change it as it likes" };

const plainMount = { propagation: "private", ifThere: false, tree: false } as const;

const expectations: { readonly [K in Op]: Entry<K> } = {
  serve: monitors,
  stdio: monitors,
  log: monitors,
  "log.forward": monitors,
  directory: { notVerified: "a group that is not there shows by the membership of its processes" },
  write: ({ path, value }, expectation) => {
    expectation.writes.push({ path, value });
  },
  "cgroup.devices": ({ directory }, expectation) => {
    expectation.devicePrograms.push(directory);
  },
  "hook.runtime": { notVerified: "what a hook does is its own" },
  "hook.container": { notVerified: "what a hook does is its own" },
  "memory.watch": { notVerified: "it limits nothing" },
  "pid-namespace.join": ({ path }, expectation) => {
    expectation.joined.set("pid", path);
  },
  clone: ({ flags }, expectation) => {
    for (const kind of kindsIn(flags)) expectation.own.add(kind);
  },
  "netlink.host": changing,
  "cgroup.enter": ({ files }, expectation) => {
    expectation.entered.push(...files);
  },
  unshare: ({ flags }, expectation) => {
    for (const kind of kindsIn(flags)) expectation.own.add(kind);
  },
  "namespaces.join": ({ paths, types }, expectation) => {
    types.forEach((type, index) => {
      for (const kind of kindsIn(type)) expectation.joined.set(kind, paths[index] ?? "");
    });
  },
  owner: { notVerified: "whose a file of the host's is counts when it is opened" },
  "user-namespace.join": ({ path }, expectation) => {
    expectation.joined.set("user", path);
  },
  "rlimit.raise": { notVerified: "the limit itself is, where it is set" },
  "time-namespace": (_step, expectation) => {
    expectation.own.add("time");
  },
  "user-namespace": ({ uidMap, gidMap }, expectation) => {
    if (uidMap || gidMap) expectation.idMaps = { uid: uidMap, gid: gidMap };
  },
  label: ({ attributes, value }, expectation) => {
    if (attributes.some((name) => name.endsWith("exec"))) expectation.label = { attributes, value };
  },
  "mount.label": { notVerified: "whose label files have, the policy decides at each access" },
  relabel: { notVerified: "files of the host's may be labelled anew by who owns them" },
  "seccomp.record": { notVerified: "it is the monitor's" },
  "seccomp.trace": (_step, expectation) => {
    expectation.seccomp = true;
  },
  landlock: { notVerified: "the kernel shows nobody the rules of another process" },
  "tmpfs.open": { notVerified: "it is, where it is attached" },
  "hand-over": { notVerified: "it only hands on what others have opened" },
  "take-over": { notVerified: "it only takes what others have opened" },
  "user-namespace.root": { notVerified: "what process 1 becomes in the end is" },
  "root.attach": { notVerified: "the root is, once it is pivoted to" },
  "await-host": { notVerified: "it only waits" },
  netlink: changing,
  netfilter: { notVerified: "the rules of its name server are in its own network namespace" },
  sysctl: ({ path, value }, expectation) => {
    expectation.sysctls.push({ path, value });
  },
  hostname: ({ name }, expectation) => {
    expectation.hostname = name;
  },
  domainname: ({ name }, expectation) => {
    expectation.domainname = name;
  },
  "bind.open-in": { notVerified: "it is, where it is attached" },
  "bind.open": ({ slot, recursive }, expectation) => {
    if (recursive) expectation.trees.add(Number(slot));
  },
  "image.open": { notVerified: "it is, where it is attached" },
  "image.part": { notVerified: "it is, where it is attached" },
  propagation: { notVerified: "it is, mount by mount" },
  "root.overlay": (_step, expectation) => {
    expectation.mounts.push({ ...plainMount, target: "/", type: "overlay", attributes: 0 });
  },
  mount: ({ type, target, attributes }, expectation) => {
    expectation.mounts.push({ ...plainMount, target, type, attributes: Number(attributes) });
  },
  bind: ({ slot, target, attributes, propagation }, expectation) => {
    const flags = Number(propagation);
    expectation.mounts.push({
      target,
      type: undefined,
      attributes: Number(attributes),
      propagation: flags & MS_SHARED ? "shared" : flags & MS_SLAVE ? "slave" : "private",
      ifThere: false,
      tree: expectation.trees.has(Number(slot)) || (flags & (MS_SHARED | MS_SLAVE)) !== 0,
    });
  },
  node: itsOwn,
  symlink: itsOwn,
  mask: ({ path }, expectation) => {
    expectation.mounts.push({ ...plainMount, target: path, type: undefined, attributes: 0, ifThere: true });
  },
  readonly: ({ path }, expectation) => {
    expectation.mounts.push({
      ...plainMount,
      target: path,
      type: undefined,
      attributes: 1,
      ifThere: true,
      tree: true,
    });
  },
  pivot: ({ attributes }, expectation) => {
    const root = expectation.mounts.find(({ target }) => target === "/");
    if (root) root.attributes |= Number(attributes);
  },
  terminal: ({ console }, expectation) => {
    if (console)
      expectation.mounts.push({ ...plainMount, target: "/dev/console", type: "devpts", attributes: 0 });
  },
  "name-server.listen": { notVerified: "its sockets are the monitor's" },
  rlimit: ({ resource, soft, hard, tolerated }, expectation) => {
    expectation.limits.set(Number(resource), { soft: BigInt(soft), hard: BigInt(hard), tolerated });
  },
  "oom-score": ({ value, tolerated }, expectation) => {
    expectation.oomScore = { value: Number(value), tolerated };
  },
  keyring: { notVerified: "the kernel shows nobody else's session keyring" },
  "no-new-privileges": (_step, expectation) => {
    expectation.noNewPrivileges = true;
  },
  seccomp: (_step, expectation) => {
    expectation.seccomp = true;
  },
  "capabilities.bounding": ({ keep }, expectation) => {
    expectation.bounding = BigInt(keep);
  },
  user: ({ uid, gid }, expectation) => {
    expectation.user = { uid: Number(uid), gid: Number(gid) };
  },
  capabilities: { notVerified: "a process may drop what it has; that it has no more, the bounding set says" },
  "working-directory": itsOwn,
  execute: itsOwn,
  hold: { notVerified: "nothing runs" },
  adopt: { notVerified: "the container is another runtime's" },
  "streams.inherit": { notVerified: "its caller looks after it" },
  "start-pipe": { notVerified: "its caller looks after it" },
  "await-start": { notVerified: "its caller looks after it" },
  "root.open": { notVerified: "its caller looks after it" },
  "fail.monitor": { notVerified: "a test" },
  "fail.host": { notVerified: "a test" },
  "fail.child": { notVerified: "a test" },
};

/** What a plan lets one expect. */
export function expectationOf(plan: Plan): Expectation {
  const expectation: Expectation = {
    own: new Set(),
    joined: new Map(),
    mounts: [],
    writes: [],
    entered: [],
    devicePrograms: [],
    sysctls: [],
    hostname: undefined,
    domainname: undefined,
    limits: new Map(),
    oomScore: undefined,
    bounding: undefined,
    user: undefined,
    noNewPrivileges: false,
    seccomp: false,
    label: undefined,
    idMaps: undefined,
    trees: new Set(),
  };
  for (const step of plan) {
    const entry = expectations[step.op] as Entry<Op>;
    if (typeof entry === "function") (entry as Told<Op>)(step as never, expectation);
  }
  return expectation;
}

/** The operations that are not verified, and why. */
export const notVerified: readonly { operation: Op; reason: string }[] = (
  Object.entries(expectations) as [Op, Entry<Op>][]
).flatMap(([operation, entry]) =>
  typeof entry === "function" ? [] : [{ operation, reason: entry.notVerified }],
);
