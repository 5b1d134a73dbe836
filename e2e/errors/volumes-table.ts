// Requests about volumes that are wrong, and what is answered: status and message, the peer's where there is one.
import type { BadRequest, BadStart } from "./table.ts";

const V = "tsd-bad";

const creation = (what: string, body: object, status: number, message: string | RegExp): BadRequest => ({
  what: `volume: ${what}`,
  path: "/volumes/create",
  body,
  status,
  message,
});
const options = (what: string, DriverOpts: object, reason: string): BadRequest =>
  creation(what, { Name: V, DriverOpts }, 400, `create ${V}: ${reason}`);
const at = (what: string, method: string, path: string, status: number, message: string): BadRequest => ({
  what: `volume: ${what}`,
  method,
  path,
  status,
  message,
});
const filters = (value: object): string => `?filters=${encodeURIComponent(JSON.stringify(value))}`;
const container = (what: string, HostConfig: object, status: number, message: string): BadRequest => ({
  what: `volume of a container: ${what}`,
  body: { Image: "busybox", HostConfig },
  status,
  message,
});
const mount = (what: string, Mount: object, message: string, status = 400): BadRequest =>
  container(what, { Mounts: [{ Type: "volume", Target: "/x", ...Mount }] }, status, message);
const config = 'invalid mount config for type "volume": ';

export const badVolumeRequests: readonly BadRequest[] = [
  creation(
    "one letter",
    { Name: "x" },
    400,
    "create x: volume name is too short, names should be at least two alphanumeric characters",
  ),
  creation(
    "slash",
    { Name: "a/b" },
    400,
    'create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
  ),
  creation(
    "unknown driver",
    { Name: V, Driver: "foo" },
    404,
    `create ${V}: error looking up volume plugin foo: plugin "foo" not found`,
  ),
  creation("of a cluster", { Name: V, ClusterVolumeSpec: {} }, 503, /^This node is not a swarm manager\./),
  options("unknown option", { foo: "1" }, 'invalid option: "foo"'),
  options("no device", { type: "none" }, 'missing required option: "device"'),
  options("no type", { device: "/x" }, 'missing required option: "type"'),
  options("size that is none", { size: "x" }, "invalid size: 'x'"),
  {
    ...options("remount", { type: "none", device: "/x", o: "bind,remount" }, 'invalid option: o: "remount"'),
    differs: "dockerd would remount the host's file system",
  },
  at("removal of none", "DELETE", "/volumes/tsd-none", 404, "get tsd-none: no such volume"),
  at("inspect of none", "GET", "/volumes/tsd-none", 404, "get tsd-none: no such volume"),
  at(
    "update",
    "PUT",
    "/volumes/tsd-none",
    503,
    "volume update only valid for cluster volumes, but swarm is unavailable",
  ),
  at("unknown filter", "GET", `/volumes${filters({ foo: ["x"] })}`, 400, "invalid filter 'foo'"),
  at(
    "dangling maybe",
    "GET",
    `/volumes${filters({ dangling: ["tru"] })}`,
    400,
    "invalid filter 'dangling=[tru]'",
  ),
  at("prune until", "POST", `/volumes/prune${filters({ until: ["1h"] })}`, 400, "invalid filter 'until'"),
  at(
    "prune all maybe",
    "POST",
    `/volumes/prune${filters({ all: ["maybe"] })}`,
    400,
    `invalid filter 'all': strconv.ParseBool: parsing "maybe": invalid syntax`,
  ),
  mount(
    "subpath of an anonymous one",
    { VolumeOptions: { Subpath: "a" } },
    `${config}must not set Subpath when using anonymous volumes`,
  ),
  mount(
    "read-only anonymous one",
    { ReadOnly: true },
    `${config}must not set ReadOnly mode when using anonymous volumes`,
  ),
  ...["../a", "/a", "a/../../b"].map((Subpath) =>
    mount(
      `subpath ${Subpath}`,
      { Source: V, VolumeOptions: { Subpath } },
      `${config}subpath must be a relative path within the volume`,
    ),
  ),
  mount(
    "options of a bind",
    { Source: V, BindOptions: {} },
    'BindOptions must not be specified on mount type "volume"',
  ),
  mount(
    "options of a tmpfs",
    { Source: V, TmpfsOptions: {} },
    'TmpfsOptions must not be specified on mount type "volume"',
  ),
  mount(
    "unknown driver",
    { Source: V, VolumeOptions: { DriverConfig: { Name: "foo" } } },
    `create ${V}: error looking up volume plugin foo: plugin "foo" not found`,
    404,
  ),
  mount(
    "unknown option",
    { Source: V, VolumeOptions: { DriverConfig: { Options: { foo: "1" } } } },
    `create ${V}: invalid option: "foo"`,
  ),
  mount(
    "one letter",
    { Source: "p" },
    "create p: volume name is too short, names should be at least two alphanumeric characters",
  ),
  container(
    "unknown driver of a bind",
    { VolumeDriver: "foo", Binds: [`${V}:/x`] },
    404,
    `create ${V}: error looking up volume plugin foo: plugin "foo" not found`,
  ),
  container(
    "volumes from nobody",
    { VolumesFrom: [""] },
    400,
    "volumes-from specification cannot be an empty string",
  ),
  container("volumes from, mode", { VolumesFrom: ["tsd-none:foo"] }, 400, "invalid mode: foo"),
  container("volumes from, two modes", { VolumesFrom: ["tsd-none:b:c"] }, 400, "invalid mode: b:c"),
  container("volumes from none", { VolumesFrom: ["tsd-none"] }, 400, "No such container: tsd-none"),
  container(
    "twice at one place",
    { Binds: [`${V}-x:/x`], Tmpfs: { "/x": "" } },
    400,
    "Duplicate mount point: /x",
  ),
];

const withOptions = (name: string, Options: Record<string, string>): object => ({
  HostConfig: {
    Mounts: [{ Type: "volume", Source: name, Target: "/x", VolumeOptions: { DriverConfig: { Options } } }],
  },
});
const anonymous = (Options: Record<string, string>): object => withOptions("", Options);
const failed = (what: string): RegExp =>
  new RegExp(
    `^error while mounting volume '/.*/volumes/[0-9a-f]{64}/_data': failed to mount local volume: ${what}$`,
  );
const start = (what: string, body: object, message: RegExp): BadStart => ({
  what: `volume: ${what}`,
  body,
  status: 500,
  message,
  shared: message,
});

export const badVolumeStarts: readonly BadStart[] = [
  start(
    "a bind of what is not there",
    anonymous({ type: "none", device: "/nonexistent", o: "bind" }),
    failed("mount /nonexistent:/.*/_data, flags: 0x1000: no such file or directory"),
  ),
  start(
    "an unknown file system",
    anonymous({ type: "nope", device: "/x", o: "foo=1,nosuid" }),
    failed("mount /x:/.*/_data, flags: 0x2, data: foo=1: no such device"),
  ),
];
