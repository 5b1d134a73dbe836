// The vocabulary of launch plans: every step there is, where it runs, and its fields in the order they are encoded.
// The launcher's plan.h holds the same table; vocabulary.test.ts compares the two.

/** Where a step runs: by the monitor before the clone, by the monitor after it, or by the container's own process. */
export type Stage = "monitor" | "host" | "child";

/** number: unsigned up to 64 bits; flag: 0 or 1; bytes: opaque; strings may not contain NUL. */
interface FieldTypes {
  number: number | bigint;
  flag: boolean;
  string: string;
  bytes: Uint8Array;
  strings: readonly string[];
  numbers: readonly number[];
}
export type FieldType = keyof FieldTypes;

interface Entry {
  readonly code: number;
  readonly stage: Stage;
  readonly fields: Readonly<Record<string, FieldType>>;
}

const hookFields = {
  path: "string",
  arguments: "strings",
  environment: "strings",
  state: "string",
  timeout: "number",
} as const;

export const vocabulary = {
  /** Where the monitor listens for the daemon, and where it writes the exit status. */
  serve: { code: 1, stage: "monitor", fields: { socket: "string", exit: "string" } },
  /** The streams: a terminal or pipes; whether stdin is open, and closes with its first client; whose pipes are, as the host
   * numbers users. */
  stdio: {
    code: 2,
    stage: "monitor",
    fields: {
      terminal: "flag",
      openStdin: "flag",
      stdinOnce: "flag",
      columns: "number",
      rows: "number",
      owner: "number",
    },
  },
  /** The json-file log; maximumSize in bytes, 0 for no limit; maximumFiles counts the present one; the compressor (the path of
   * tsd-archive) is for the others, "" to leave them as they are. */
  log: {
    code: 3,
    stage: "monitor",
    fields: { path: "string", maximumSize: "number", maximumFiles: "number", compressor: "string" },
  },
  /** A log service that gets each line too: protocol and format are those of launcher/forward.h; fields are journald's. */
  "log.forward": {
    code: 8,
    stage: "monitor",
    fields: {
      protocol: "number",
      format: "number",
      address: "string",
      tag: "string",
      facility: "number",
      fields: "strings",
    },
  },
  /** A directory of the host's, with its parents. */
  directory: { code: 4, stage: "monitor", fields: { path: "string", mode: "number" } },
  /** A value written to a kernel file (a cgroup's limit). */
  write: { code: 5, stage: "monitor", fields: { path: "string", value: "string" } },
  /** Puts a BPF program of device rules on a group of version 2; it goes with the group. */
  "cgroup.devices": { code: 9, stage: "monitor", fields: { directory: "string", program: "bytes" } },
  /** The monitor hears from here on when the group runs out of memory: by its file of events, and with version 1 by its file
   * of event controls ("" with version 2). */
  "memory.watch": { code: 14, stage: "monitor", fields: { events: "string", controls: "string" } },
  /** Gives a file of the host's to somebody, as the host numbers users and groups. */
  owner: { code: 13, stage: "monitor", fields: { path: "string", uid: "number", gid: "number" } },
  /** What the clone joins: a user namespace (by a process that has joined it), a PID namespace. */
  "user-namespace.join": { code: 10, stage: "monitor", fields: { path: "string" } },
  /** Raises a hard resource limit for the child, which may not do that itself in a user namespace. */
  "rlimit.raise": {
    code: 11,
    stage: "monitor",
    fields: { resource: "number", hard: "number", tolerated: "flag" },
  },
  /** A new time namespace for the child, with offsets as /proc/PID/timens_offsets reads them (time_namespaces(7)). */
  "time-namespace": { code: 12, stage: "monitor", fields: { offsets: "string" } },
  "pid-namespace.join": { code: 6, stage: "monitor", fields: { path: "string" } },
  /** The clone itself, with its CLONE_NEW* flags. */
  clone: { code: 7, stage: "monitor", fields: { flags: "number" } },
  /** rtnetlink messages in the host's network namespace; the container's is descriptor 100 there. */
  "netlink.host": { code: 20, stage: "host", fields: { messages: "bytes" } },
  /** The maps of the child's user namespace as /proc/PID/uid_map reads them (or "" for one that it joined), and the host's ids of
   * its root; what is idmapped from here on is so by it. */
  "user-namespace": {
    code: 21,
    stage: "host",
    fields: { uidMap: "string", gidMap: "string", rootUid: "number", rootGid: "number" },
  },
  /** Takes a detached copy of a mount of another mount namespace into a slot. */
  "bind.open-in": {
    code: 39,
    stage: "host",
    fields: { slot: "number", namespace: "string", source: "string" },
  },
  /** Takes a detached copy of a host mount into a slot. A confined one's path may hold no symbolic link. A subpath (or "") leads
   * to something in the source, and never out of it. An idmapped one shows files with their own ids in the container. */
  "bind.open": {
    code: 40,
    stage: "host",
    fields: {
      slot: "number",
      source: "string",
      recursive: "flag",
      confined: "flag",
      subpath: "string",
      idmapped: "flag",
    },
  },
  /** The root, detached: an overlay of layers (topmost first) and, unless base is "", a writable upper directory; upper and work
   * are names in base. Old kernels need a directory to attach idmapped layers at. */
  "root.overlay": {
    code: 42,
    stage: "host",
    fields: {
      lower: "strings",
      base: "string",
      upper: "string",
      work: "string",
      options: "strings",
      idmapped: "flag",
      staging: "string",
    },
  },
  /** The files of another image, as an overlay of its layers (topmost first, two at least) that nobody can write to. */
  "image.open": {
    code: 24,
    stage: "host",
    fields: { slot: "number", lower: "strings", options: "strings", idmapped: "flag", staging: "string" },
  },
  /** A detached file system in memory that belongs to the host, so that devices work in it, with its root the container's. */
  "tmpfs.open": { code: 52, stage: "host", fields: { slot: "number", options: "strings" } },
  /** A device node in what a slot holds; mode includes its type (S_IFCHR); ids are the host's. */
  node: {
    code: 45,
    stage: "host",
    fields: {
      slot: "number",
      path: "string",
      mode: "number",
      major: "number",
      minor: "number",
      uid: "number",
      gid: "number",
    },
  },
  /** Gives the root and what the slots hold to the child. */
  "hand-over": { code: 22, stage: "host", fields: {} },
  "oom-score": { code: 61, stage: "host", fields: { value: "string", tolerated: "flag" } },
  /** Joins cgroups by writing 0 to each file (tasks of v1, cgroup.procs of v2). */
  /** Runs a hook of the host's, with the container's namespaces there: the state is told up to the process's number, which comes
   * last; the time is in seconds, 0 for no end. */
  "hook.runtime": { code: 23, stage: "host", fields: hookFields },
  /** The same in the container's namespaces: before the pivot a program of the host's, after it one of the container's. */
  "hook.container": { code: 56, stage: "child", fields: hookFields },
  "cgroup.enter": { code: 30, stage: "child", fields: { files: "strings" } },
  unshare: { code: 31, stage: "child", fields: { flags: "number" } },
  /** Joins namespaces in their order; all are opened before the first is joined. */
  "namespaces.join": { code: 32, stage: "child", fields: { paths: "strings", types: "numbers" } },
  /** Waits for what "hand-over" gives. */
  "take-over": { code: 54, stage: "child", fields: {} },
  /** Becomes root of the user namespace that the process is in. */
  "user-namespace.root": { code: 55, stage: "child", fields: {} },
  /** Waits until the host's steps are done. */
  "await-host": { code: 33, stage: "child", fields: {} },
  /** rtnetlink messages in the container's network namespace. */
  netlink: { code: 34, stage: "child", fields: { messages: "bytes" } },
  sysctl: { code: 35, stage: "child", fields: { path: "string", value: "string" } },
  hostname: { code: 36, stage: "child", fields: { name: "string" } },
  domainname: { code: 37, stage: "child", fields: { name: "string" } },
  /** nf_tables messages in the container's network namespace, as one batch. */
  netfilter: { code: 38, stage: "child", fields: { messages: "bytes" } },
  /** mount(2) propagation flags (MS_*) for a mount of the present namespace. */
  propagation: { code: 41, stage: "child", fields: { path: "string", flags: "number" } },
  /** What a subpath leads to in a slot's tree, and never out of it, takes its place; the tree is attached at a directory for the
   * moment. */
  "image.part": {
    code: 57,
    stage: "child",
    fields: { slot: "number", subpath: "string", staging: "string" },
  },
  /** Attaches the root at a directory, so that it can be pivoted to. */
  "root.attach": { code: 53, stage: "child", fields: { staging: "string" } },
  /** A new file system below the root; attributes are MOUNT_ATTR_*; strict refuses symbolic links on the way. */
  mount: {
    code: 43,
    stage: "child",
    fields: {
      type: "string",
      target: "string",
      options: "strings",
      attributes: "number",
      source: "string",
      strict: "flag",
    },
  },
  /** Attaches what a slot holds; propagation is one of MS_PRIVATE, MS_SLAVE, MS_SHARED, 0 to leave it. */
  bind: {
    code: 44,
    stage: "child",
    fields: {
      slot: "number",
      target: "string",
      attributes: "number",
      recursive: "flag",
      propagation: "number",
    },
  },
  symlink: { code: 46, stage: "child", fields: { target: "string", path: "string" } },
  /** Hides a path if it is there: /dev/null over a file, an empty read-only tmpfs over a directory. */
  mask: { code: 47, stage: "child", fields: { path: "string" } },
  /** Makes a path read-only if it is there. */
  readonly: { code: 48, stage: "child", fields: { path: "string" } },
  /** Makes the new root the root, forgets the host's, and sets attributes (MOUNT_ATTR_*) on it. */
  pivot: { code: 49, stage: "child", fields: { attributes: "number" } },
  terminal: { code: 50, stage: "child", fields: { columns: "number", rows: "number", console: "flag" } },
  /** The name server's sockets (UDP, and TCP that listens), which the monitor keeps; an IPv4 address of the container's. */
  "name-server.listen": { code: 51, stage: "child", fields: { address: "string", port: "number" } },
  /** RLIM_INFINITY is 2^64−1; a tolerated limit is set as far as the host lets us. */
  rlimit: {
    code: 60,
    stage: "child",
    fields: { resource: "number", soft: "number", hard: "number", tolerated: "flag" },
  },
  keyring: { code: 62, stage: "child", fields: { name: "string" } },
  "no-new-privileges": { code: 63, stage: "child", fields: {} },
  /** A classic BPF program, as libseccomp exports it, and SECCOMP_FILTER_FLAG_*. */
  seccomp: { code: 64, stage: "child", fields: { filter: "bytes", flags: "number" } },
  "capabilities.bounding": { code: 65, stage: "child", fields: { keep: "number" } },
  user: {
    code: 66,
    stage: "child",
    fields: { uid: "number", gid: "number", groups: "numbers", umask: "number" },
  },
  /** Bit masks, bit n for capability n. */
  capabilities: {
    code: 67,
    stage: "child",
    fields: { effective: "number", permitted: "number", inheritable: "number", ambient: "number" },
  },
  "working-directory": { code: 68, stage: "child", fields: { path: "string", create: "flag" } },
  /** A file without a slash is looked for in the environment's PATH. */
  execute: {
    code: 69,
    stage: "child",
    fields: { file: "string", arguments: "strings", environment: "strings" },
  },
  /** Instead of a command: stays until its monitor ends it, so that its namespaces can be looked into. */
  hold: { code: 70, stage: "child", fields: {} },
  /** Writes a value to the first of these attributes of the process (proc_pid_attr(5)) that there is: the label of what it
   * executes next, or of its keys. */
  label: { code: 80, stage: "child", fields: { attributes: "strings", value: "string" } },
  /** A SELinux label for a path below the root, where its file system has labels. */
  "mount.label": { code: 81, stage: "child", fields: { path: "string", label: "string" } },
  /** A SELinux label for a tree of the host's, following no link below its source; never for one of the forbidden
   * directories itself. Source, confined and subpath are those of bind.open. */
  relabel: {
    code: 82,
    stage: "monitor",
    fields: { source: "string", confined: "flag", subpath: "string", label: "string", forbidden: "strings" },
  },
  /** Where the monitor writes down what "seccomp.trace" lets it count: lines of AUDIT_ARCH, number, count. */
  "seccomp.record": { code: 83, stage: "monitor", fields: { path: "string" } },
  /** From here on the monitor is asked before each call of the process and its children; it counts, and lets all through. */
  "seccomp.trace": { code: 84, stage: "child", fields: {} },
  /** landlock(7): the rights that are handled, and those that are granted below paths (access, one for each) and on ports. */
  landlock: {
    code: 85,
    stage: "child",
    fields: {
      fileSystem: "number",
      network: "number",
      scoped: "number",
      paths: "strings",
      access: "numbers",
      ports: "numbers",
      portAccess: "numbers",
    },
  },
  /** Another runtime is the child: once it has ended, the process whose number it wrote into the file is taken over, and its
   * terminal, which it sends to the console socket ("" for none). */
  adopt: { code: 72, stage: "monitor", fields: { pidFile: "string", console: "string" } },
  /** The streams are those of the program that was told to carry the plan out; a terminal goes to the console socket. With
   * `leave` the monitor ends once the process is ready, which is then whose caller's it is. */
  "streams.inherit": { code: 73, stage: "monitor", fields: { leave: "flag", console: "string" } },
  /** The named pipe that a byte is written to for the start. */
  "start-pipe": { code: 74, stage: "monitor", fields: { path: "string" } },
  /** Looks for the file to execute (in `search`, as PATH, unless it has a slash), says that all is ready and waits for the start. */
  "await-start": { code: 75, stage: "child", fields: { file: "string", search: "string" } },
  /** A directory of the host's, with what is mounted below it, as the root. */
  "root.open": { code: 76, stage: "host", fields: { path: "string" } },
  /** Fail with an errno where they stand: the tests' way to see that a broken start leaves nothing behind. */
  "fail.monitor": { code: 90, stage: "monitor", fields: { errno: "number" } },
  "fail.host": { code: 91, stage: "host", fields: { errno: "number" } },
  "fail.child": { code: 92, stage: "child", fields: { errno: "number" } },
} as const satisfies Record<string, Entry>;

export type Vocabulary = typeof vocabulary;
export type Op = keyof Vocabulary;
export type StepArguments = {
  [K in Op]: {
    -readonly [F in keyof Vocabulary[K]["fields"]]: FieldTypes[Vocabulary[K]["fields"][F] & FieldType];
  };
};
/** One step: its operation and that operation's arguments. */
export type Step = { [K in Op]: { op: K } & StepArguments[K] }[Op];
/** A launch plan: the steps in the order in which each stage carries them out. */
export type Plan = readonly Step[];

/** The stage a step runs in. */
export const stageOf = (op: Op): Stage => vocabulary[op].stage;

/** The launcher's letter for each type of field (plan.h). */
export const schemaLetters: Readonly<Record<FieldType, string>> = {
  number: "u",
  flag: "u",
  string: "s",
  bytes: "b",
  strings: "l",
  numbers: "n",
};
