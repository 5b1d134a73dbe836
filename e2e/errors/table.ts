// Requests that are wrong, and what is answered: status and message. The peer's answer is compared where there is one.

export interface BadRequest {
  what: string;
  method?: string;
  path?: string;
  body?: unknown;
  status: number;
  message: string | RegExp;
  /** Why the peer's answer differs in words or status; undefined where it must be the same. */
  differs?: string;
}

const create = (
  what: string,
  HostConfig: object | undefined,
  status: number,
  message: string | RegExp,
  differs?: string,
): BadRequest => ({
  what,
  body: { Image: "busybox", ...(HostConfig ? { HostConfig } : {}) },
  status,
  message,
  ...(differs ? { differs } : {}),
});
const config = (
  what: string,
  body: object,
  status: number,
  message: string | RegExp,
  differs?: string,
): BadRequest => ({
  what,
  body: { Image: "busybox", ...body },
  status,
  message,
  ...(differs ? { differs } : {}),
});
const parser = "the words are Go's decoder's";

/** POST /containers/create, unless a path is given. */
export const badRequests: readonly BadRequest[] = [
  config("unknown image", { Image: "nosuch" }, 404, "No such image: nosuch:latest"),
  config("bad reference", { Image: "busybox:bad:ref" }, 400, "invalid reference format"),
  { what: "bad JSON", body: "{bad", status: 400, message: /^invalid JSON: /, differs: parser },
  {
    what: "no body",
    body: undefined,
    status: 400,
    message: "invalid JSON: got EOF while reading request body",
  },
  {
    what: "empty body",
    body: {},
    status: 400,
    message: "config cannot be empty in order to create a container",
  },
  config("wrong type of Image", { Image: 5 }, 400, /^invalid JSON: field Image: /, parser),
  create("wrong type of Memory", { Memory: "x" }, 400, /^invalid JSON: field HostConfig.Memory: /, parser),
  create("too little memory", { Memory: 1000 }, 400, "Minimum memory limit allowed is 6MB"),
  create(
    "swap below memory",
    { Memory: 100000000, MemorySwap: 1000 },
    400,
    "Minimum memoryswap limit should be larger than memory limit, see usage",
  ),
  create(
    "swap without memory",
    { MemorySwap: 100000000 },
    400,
    "You should always set the Memory limit when using Memoryswap limit, see usage",
  ),
  create("unknown capability", { CapAdd: ["FOO"] }, 400, 'invalid CapAdd: unknown capability: "CAP_FOO"'),
  create(
    "unknown capability to drop",
    { CapDrop: ["FOO"] },
    400,
    'invalid CapDrop: unknown capability: "CAP_FOO"',
  ),
  create("unknown security option", { SecurityOpt: ["foo=bar"] }, 500, 'invalid --security-opt 2: "foo=bar"'),
  create("security option without value", { SecurityOpt: ["foo"] }, 500, 'invalid --security-opt 1: "foo"'),
  create(
    "missing bind source",
    { Mounts: [{ Type: "bind", Source: "/nosuch", Target: "/x" }] },
    400,
    'invalid mount config for type "bind": bind source path does not exist: /nosuch',
  ),
  create("bad bind mode", { Binds: ["/a:/b:zz"] }, 500, "invalid mode: zz"),
  create(
    "relative bind target",
    { Binds: ["/a:rel"] },
    500,
    "invalid volume specification: '/a:rel': invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be absolute",
  ),
  create(
    "relative tmpfs",
    { Tmpfs: { rel: "" } },
    400,
    "invalid mount path: 'rel' mount path must be absolute",
  ),
  create("bad PID mode", { PidMode: "foo" }, 400, "invalid PID mode: foo"),
  create("unknown PID partner", { PidMode: "container:nosuch" }, 400, "No such container: nosuch"),
  create("bad IPC mode", { IpcMode: "foo" }, 400, "invalid IPC mode: foo"),
  create("bad UTS mode", { UTSMode: "foo" }, 400, "invalid UTS mode: foo"),
  create(
    "short CPU period",
    { CpuPeriod: 10 },
    400,
    "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
  ),
  create("small CPU quota", { CpuQuota: 10 }, 400, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
  create(
    "too many CPUs",
    { NanoCpus: 9_000_000_000_000 },
    400,
    /^Range of CPUs is from 0.01 to \d+.00, as there are only \d+ CPUs available$/,
  ),
  create("malformed cpuset", { CpusetCpus: "x" }, 400, "Invalid value x for cpuset cpus: invalid format: x"),
  create(
    "absent CPU",
    { CpusetCpus: "999" },
    400,
    /^Requested CPUs are not available - requested 999, available: /,
  ),
  create(
    "restart policy",
    { RestartPolicy: { Name: "foo" } },
    400,
    "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
  ),
  create(
    "restart policy with --rm",
    { AutoRemove: true, RestartPolicy: { Name: "always" } },
    400,
    "can't create 'AutoRemove' container with restart policy",
  ),
  create(
    "oom score",
    { OomScoreAdj: 5000 },
    400,
    "Invalid value 5000, range for oom score adj is [-1000, 1000]",
  ),
  create("shm size", { ShmSize: -1 }, 400, "SHM size can not be less than 0"),
  create("runtime", { Runtime: "foo" }, 400, "unknown or invalid runtime name: foo"),
  create(
    "log driver",
    { LogConfig: { Type: "foo" } },
    400,
    'error looking up logging plugin foo: plugin "foo" not found',
  ),
  config(
    "relative working directory",
    { WorkingDir: "rel" },
    400,
    "the working directory 'rel' is invalid, it needs to be an absolute path",
  ),
  config("environment variable without a name", { Env: ["=x"] }, 400, "invalid environment variable: =x"),
  config("stop signal", { StopSignal: "FOO" }, 400, "invalid signal: FOO"),
  create(
    "foreign sysctl",
    { Sysctls: { "kernel.foo": "1" } },
    400,
    'sysctl "kernel.foo" is not in a separate kernel namespace',
    "Docker's runtime refuses it at the start",
  ),
  create(
    "published port",
    { PortBindings: { "80/tcp": [{ HostPort: "99999" }] } },
    400,
    'invalid port specification: "99999"',
  ),
  create("port of nothing", { PortBindings: { "x/tcp": [] } }, 400, 'invalid port specification: "x"'),
  create(
    "links of the host's network",
    { NetworkMode: "host", Links: ["a:b"] },
    400,
    "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
  ),
  create(
    "published port of another's network",
    { NetworkMode: "container:x", PortBindings: { "80/tcp": [{ HostPort: "80" }] } },
    400,
    "conflicting options: port publishing and the container type network mode",
  ),
  {
    what: "bad name",
    path: "/containers/create?name=a%20b",
    body: { Image: "busybox" },
    status: 400,
    message: "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
  },
  {
    what: "unknown container",
    method: "GET",
    path: "/containers/nosuch/json",
    status: 404,
    message: "No such container: nosuch",
  },
  {
    what: "start of an unknown container",
    path: "/containers/nosuch/start",
    status: 404,
    message: "No such container: nosuch",
  },
  {
    what: "removal of an unknown container",
    method: "DELETE",
    path: "/containers/nosuch",
    status: 404,
    message: "No such container: nosuch",
  },
  {
    what: "unknown exec",
    path: "/exec/nosuch/start",
    body: {},
    status: 404,
    message: "No such exec instance: nosuch",
  },
  {
    what: "malformed filters",
    method: "GET",
    path: "/containers/json?filters=bad",
    status: 400,
    message: "invalid filter",
  },
  {
    what: "unknown filter",
    method: "GET",
    path: "/containers/json?filters=%7B%22foo%22%3A%5B%22x%22%5D%7D",
    status: 400,
    message: "invalid filter 'foo'",
  },
  {
    what: "malformed limit",
    method: "GET",
    path: "/containers/json?limit=x",
    status: 500,
    message: 'strconv.Atoi: parsing "x": invalid syntax',
  },
  { what: "unknown path", method: "GET", path: "/nosuch", status: 404, message: "page not found" },
  {
    what: "unknown image's inspect",
    method: "GET",
    path: "/images/nosuch/json",
    status: 404,
    message: "No such image: nosuch:latest",
  },
  {
    what: "unknown image's removal",
    method: "DELETE",
    path: "/images/nosuch",
    status: 404,
    message: "No such image: nosuch:latest",
  },
  {
    what: "unknown image's tag",
    path: "/images/nosuch/tag?repo=x",
    status: 404,
    message: "No such image: nosuch:latest",
  },
];

/** The same, of a container that exists and does not run; {} stands for its name. */
export const badOperations: readonly BadRequest[] = [
  {
    what: "pause of one that does not run",
    path: "/containers/{}/pause",
    status: 409,
    message: /^container [0-9a-f]{64} is not running$/,
  },
  {
    what: "unpause of one that is not paused",
    path: "/containers/{}/unpause",
    status: 500,
    message: /^Container [0-9a-f]{64} is not paused$/,
  },
  {
    what: "rename without a name",
    path: "/containers/{}/rename",
    status: 400,
    message: "Neither old nor new names may be empty",
  },
  {
    what: "rename to what is no name",
    path: "/containers/{}/rename?name=..",
    status: 400,
    message:
      "Error when allocating new name: Invalid container name (/..), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
  },
  {
    what: "rename to its own name",
    path: "/containers/{}/rename?name={}",
    status: 400,
    message: "Renaming a container with the same name as its current name",
  },
  {
    what: "update to too little memory",
    path: "/containers/{}/update",
    body: { Memory: 1000 },
    status: 400,
    message: "Minimum memory limit allowed is 6MB",
  },
  {
    what: "update to an unknown restart policy",
    path: "/containers/{}/update",
    body: { RestartPolicy: { Name: "sometimes" } },
    status: 400,
    message:
      "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
  },
  {
    what: "top of one that does not run",
    method: "GET",
    path: "/containers/{}/top",
    status: 409,
    message: /^container [0-9a-f]{64} is not running$/i,
  },
  {
    what: "archive without a path",
    method: "GET",
    path: "/containers/{}/archive",
    status: 400,
    message: "bad parameter: path cannot be empty",
    differs: "a blank is missing",
  },
  {
    what: "archive of a path that is not there",
    method: "GET",
    path: "/containers/{}/archive?path=/nope/there",
    status: 404,
    message: /^Could not find the file \/nope\/there in container \S+$/,
  },
  {
    what: "archive of a path below a file",
    method: "GET",
    path: "/containers/{}/archive?path=/bin/busybox/x",
    status: 500,
    message: "lstat /bin/busybox/x: not a directory",
    differs: "names its own path of the root",
  },
  {
    what: "an archive into a file",
    method: "PUT",
    path: "/containers/{}/archive?path=/bin/busybox",
    body: "",
    status: 400,
    message: "extraction point is not a directory",
    differs: "answered 500 before 28.0",
  },
  {
    what: "commit of nothing",
    path: "/commit?container=nosuch",
    body: {},
    status: 404,
    message: "No such container: nosuch",
  },
  {
    what: "changes of nothing",
    method: "GET",
    path: "/containers/nosuch/changes",
    status: 404,
    message: "No such container: nosuch",
  },
  {
    what: "statistics of nothing",
    method: "GET",
    path: "/containers/nosuch/stats",
    status: 404,
    message: "No such container: nosuch",
  },
  {
    what: "prune by an unknown filter",
    path: "/containers/prune?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D",
    status: 400,
    message: "invalid filter 'nope'",
  },
  {
    what: "a list by an unknown health",
    method: "GET",
    path: "/containers/json?filters=%7B%22health%22%3A%5B%22fine%22%5D%7D",
    status: 400,
    message: /fine/,
  },
  {
    what: "a healthcheck that is too quick",
    path: "/containers/create",
    body: { Image: "busybox", Healthcheck: { Test: ["CMD", "true"], Interval: 1000 } },
    status: 400,
    message: "Interval in Healthcheck cannot be less than 1ms",
  },
  {
    what: "a healthcheck with fewer than no retries",
    path: "/containers/create",
    body: { Image: "busybox", Healthcheck: { Test: ["CMD", "true"], Retries: -1 } },
    status: 400,
    message: "Retries in Healthcheck cannot be negative",
  },
  {
    what: "a checkpoint",
    path: "/containers/{}/checkpoints",
    body: { CheckpointID: "x" },
    status: 501,
    message: "not implemented: checkpoints",
    differs: "an experimental feature there",
  },
  {
    what: "name in use",
    path: "/containers/create?name={}",
    body: { Image: "busybox" },
    status: 409,
    message:
      /^Conflict. The container name "\/\S+" is already in use by container "[0-9a-f]{64}". You have to remove \(or rename\) that container to be able to reuse that name.$/,
  },
  {
    what: "kill of one that does not run",
    path: "/containers/{}/kill",
    status: 409,
    message: /^cannot kill container: \S+: container [0-9a-f]{64} is not running$/,
  },
  {
    what: "kill by an unknown signal",
    path: "/containers/{}/kill?signal=FOO",
    status: 400,
    message: /^cannot kill container: \S+: invalid signal: FOO$/,
  },
  {
    what: "resize of one that does not run",
    path: "/containers/{}/resize?h=1&w=1",
    status: 409,
    message: /^container [0-9a-f]{64} is not running$/,
  },
  {
    what: "resize to nonsense",
    path: "/containers/{}/resize?h=x&w=1",
    status: 400,
    message: 'strconv.Atoi: parsing "x": invalid syntax',
  },
  {
    what: "wait for nonsense",
    path: "/containers/{}/wait?condition=foo",
    status: 400,
    message: 'invalid condition: "foo"',
  },
  {
    what: "logs of no stream",
    method: "GET",
    path: "/containers/{}/logs",
    status: 400,
    message: "Bad parameters: you must choose at least one stream",
  },
  {
    what: "logs since nonsense",
    method: "GET",
    path: "/containers/{}/logs?stdout=1&since=foo",
    status: 500,
    message: 'strconv.ParseInt: parsing "foo": invalid syntax',
  },
  {
    what: "exec in one that does not run",
    path: "/containers/{}/exec",
    body: { Cmd: ["true"] },
    status: 409,
    message: /^container [0-9a-f]{64} is not running$/,
  },
  {
    what: "exec of nothing",
    path: "/containers/{}/exec",
    body: {},
    status: 400,
    message: "No exec command specified",
  },
];

export interface BadStart {
  what: string;
  body: object;
  status: number;
  message: string | RegExp;
  /** The part of the message that the peer's has too. */
  shared?: RegExp;
}

/** Containers that can be created and not started. */
export const badStarts: readonly BadStart[] = [
  {
    what: "missing command",
    body: { Cmd: ["nosuch"] },
    status: 400,
    message: /exec: "nosuch": executable file not found in \$PATH: unknown$/,
    shared: /exec: "nosuch": executable file not found in \$PATH: unknown$/,
  },
  {
    what: "missing file",
    body: { Cmd: ["/nosuch"] },
    status: 400,
    message: /exec: "\/nosuch": stat \/nosuch: no such file or directory: unknown$/,
    shared: /exec: "\/nosuch": stat \/nosuch: no such file or directory: unknown$/,
  },
  {
    what: "directory",
    body: { Cmd: ["/etc"] },
    status: 400,
    message: /exec: "\/etc": is a directory: unknown: permission denied$/,
    shared: /exec: "\/etc": is a directory: unknown: permission denied$/,
  },
  {
    what: "file that is no program",
    body: { Cmd: ["/etc/passwd"] },
    status: 400,
    message: /exec: "\/etc\/passwd": permission denied: unknown$/,
    shared: /exec: "\/etc\/passwd": permission denied: unknown$/,
  },
  {
    what: "unknown user",
    body: { User: "nosuch" },
    status: 400,
    message: "unable to find user nosuch: no matching entries in passwd file",
    shared: /^unable to find user nosuch: no matching entries in passwd file$/,
  },
  {
    what: "unknown group",
    body: { User: "root:nosuch" },
    status: 400,
    message: "unable to find group nosuch: no matching entries in group file",
    shared: /^unable to find group nosuch: no matching entries in group file$/,
  },
  {
    what: "unknown network",
    body: { HostConfig: { NetworkMode: "nosuch" } },
    status: 404,
    message: "network nosuch not found",
    shared: /^network nosuch not found$/,
  },
  {
    what: "unknown network partner",
    body: { HostConfig: { NetworkMode: "container:nosuch" } },
    status: 404,
    message: "No such container: nosuch",
    shared: /No such container: nosuch$/,
  },
  {
    what: "working directory that is a file",
    body: { WorkingDir: "/etc/passwd" },
    status: 500,
    message: "Cannot mkdir: /etc/passwd is not a directory",
  },
  {
    what: "malformed seccomp profile",
    body: { HostConfig: { SecurityOpt: ["seccomp={bad"] } },
    status: 400,
    message: /^Decoding seccomp profile failed: /,
  },
  {
    what: "missing device",
    body: { HostConfig: { Devices: [{ PathOnHost: "/nosuch" }] } },
    status: 500,
    message:
      'error gathering device information while adding custom device "/nosuch": no such file or directory',
    shared:
      /error gathering device information while adding custom device "\/nosuch": no such file or directory$/,
  },
  {
    what: "file over a directory",
    body: { HostConfig: { Binds: ["/etc/os-release:/etc"] } },
    status: 400,
    message: /Are you trying to mount a directory onto a file/,
    shared: /Are you trying to mount a directory onto a file/,
  },
];
