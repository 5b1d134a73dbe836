// A request's binds, mounts and tmpfs, read as Docker reads them.
import { posix } from "node:path";
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
} from "@tsd/kernel-bindings";
import { SpecificationError } from "./errors.ts";
import type { MountSpec } from "./spec.ts";

export type Propagation = "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared";

export type BindSpec = Extract<MountSpec, { type: "bind" }>;
/** What is opened on the host, and attached in the container. */
export type AttachedSpec = Exclude<MountSpec, { type: "tmpfs" }>;

/** A bind of just what is at a path of the host's, writable, but for what is said otherwise. */
export const plainBind = (source: string, target: string, more: Partial<BindSpec> = {}): BindSpec => ({
  type: "bind",
  source,
  namespace: "",
  target,
  readOnly: false,
  readOnlyRecursive: false,
  confined: false,
  subpath: "",
  recursive: false,
  propagation: "private",
  ...more,
});

/** A mount as it was asked for; `source` of a volume is its name, "" for an anonymous one; that of an image a reference to it. */
export interface RequestedMount {
  type: "bind" | "volume" | "image" | "tmpfs";
  source: string;
  target: string;
  readOnly: boolean;
  readOnlyRecursive: boolean;
  recursive: boolean;
  /** Undefined where nothing is asked for. */
  propagation: Propagation | undefined;
  /** The words after the second colon, as inspect shows them. */
  mode: string;
  /** A missing source directory is made: -v's way, not --mount's. */
  createSource: boolean;
  noCopy: boolean;
  tmpfsOptions: string;
  /** What of a volume or an image is mounted; "" for all of it. */
  subpath: string;
  /** Of a volume that is to be made. */
  driver: string;
  driverOptions: Record<string, string> | null;
  labels: Record<string, string> | null;
}

const propagations = new Set(["private", "rprivate", "slave", "rslave", "shared", "rshared"]);
const labels = new Set(["z", "Z"]);
const consistencies = new Set(["consistent", "cached", "delegated", "default"]);

/** An absolute, clean target that is not the root. `field` introduces the error. */
export function checkTarget(target: string, introduction = ""): string {
  if (!target.startsWith("/"))
    throw new SpecificationError(
      "invalid",
      `${introduction}invalid mount path: '${target}' mount path must be absolute`,
    );
  const clean = posix.normalize(target).replace(/(?<=.)\/$/, "");
  if (clean === "/")
    throw new SpecificationError("invalid", `${introduction}invalid specification: destination can't be '/'`);
  return clean;
}

/** One of HostConfig.Binds: source:target[:mode], or a lone target for an anonymous volume. */
export function parseBind(text: string): RequestedMount {
  const parts = text.split(":");
  const failure = (reason: string) =>
    new SpecificationError("system", `invalid volume specification: '${text}'${reason}`);
  if (parts.length > 3 || parts.some((part) => part === "")) throw failure("");
  const [first = "", second, mode = ""] = parts;
  const source = second === undefined ? "" : first;
  const words = mode ? mode.split(",") : [];
  const known = (word: string): boolean =>
    ["rw", "ro", "rro", "nocopy"].includes(word) ||
    propagations.has(word) ||
    labels.has(word) ||
    consistencies.has(word);
  const writes = words.filter((word) => ["rw", "ro", "rro"].includes(word));
  const ways = words.filter((word) => propagations.has(word));
  if (!words.every(known) || writes.length > 1 || ways.length > 1)
    throw new SpecificationError("system", `invalid mode: ${mode}`);
  const type = source.startsWith("/") ? "bind" : "volume";
  const introduction = `invalid volume specification: '${text}': invalid mount config for type "${type}": `;
  let target: string;
  try {
    target = checkTarget(second ?? first, introduction);
  } catch (error) {
    throw error instanceof SpecificationError ? new SpecificationError("system", error.message) : error;
  }
  return {
    type,
    source: type === "bind" ? posix.normalize(source) : source,
    target,
    readOnly: writes[0] === "ro" || writes[0] === "rro",
    readOnlyRecursive: true,
    recursive: true,
    propagation: ways[0] as Propagation | undefined,
    mode,
    createSource: true,
    noCopy: words.includes("nocopy"),
    tmpfsOptions: "",
    subpath: "",
    driver: "",
    driverOptions: null,
    labels: null,
  };
}

interface MountRequestLike {
  Type: string;
  Source: string;
  Target: string;
  ReadOnly: boolean;
  BindOptions?:
    | {
        Propagation: string;
        NonRecursive: boolean;
        CreateMountpoint: boolean;
        ReadOnlyNonRecursive: boolean;
        ReadOnlyForceRecursive: boolean;
      }
    | null
    | undefined;
  VolumeOptions?:
    | {
        NoCopy: boolean;
        Subpath: string;
        Labels: Record<string, string> | null;
        DriverConfig?: { Name: string; Options: Record<string, string> | null } | null | undefined;
      }
    | null
    | undefined;
  ImageOptions?: { Subpath: string } | null | undefined;
  TmpfsOptions?:
    | { SizeBytes: number; Mode: number; Options?: readonly (readonly string[])[] | null | undefined }
    | null
    | undefined;
}

const groups = {
  bind: "BindOptions",
  volume: "VolumeOptions",
  image: "ImageOptions",
  tmpfs: "TmpfsOptions",
} as const;
const isKind = (type: string): type is keyof typeof groups => Object.hasOwn(groups, type);

/** A path that leads nowhere but down, as Go's filepath.IsLocal has it. */
const isLocal = (path: string): boolean =>
  !path.startsWith("/") && !/^\.\.(\/|$)/.test(posix.normalize(path)) && !path.includes("\0");

const subpathOf = ({ VolumeOptions, ImageOptions }: MountRequestLike): string =>
  VolumeOptions?.Subpath || ImageOptions?.Subpath || "";

function checkVolumeMount(request: MountRequestLike, failure: (reason: string) => SpecificationError): void {
  const anonymous = request.Source === "";
  if (subpathOf(request) && anonymous) throw failure("must not set Subpath when using anonymous volumes");
  if (request.ReadOnly && anonymous) throw failure("must not set ReadOnly mode when using anonymous volumes");
}

/** size, mode and further options, each a flag or a key with its value. */
function tmpfsWords(request: MountRequestLike): string[] {
  const { SizeBytes, Mode, Options } = request.TmpfsOptions ?? { SizeBytes: 0, Mode: 0 };
  return [
    ...(SizeBytes > 0 ? [`size=${SizeBytes}`] : []),
    ...(Mode ? [`mode=${Mode.toString(8)}`] : []),
    ...(Options ?? []).map((words) => words.join("=")),
    ...(request.ReadOnly ? ["ro"] : []),
  ];
}

/** One of HostConfig.Mounts. */
export function parseMount(request: MountRequestLike): RequestedMount {
  const introduction = `invalid mount config for type "${request.Type}": `;
  const failure = (reason: string) => new SpecificationError("invalid", `${introduction}${reason}`);
  if (!isKind(request.Type)) throw new SpecificationError("invalid", `mount type unknown: "${request.Type}"`);
  for (const [type, group] of Object.entries(groups))
    if (type !== request.Type && request[group])
      throw new SpecificationError(
        "invalid",
        `${group} must not be specified on mount type ${JSON.stringify(request.Type)}`,
      );
  if (!request.Target) throw failure("field Target must not be empty");
  const target = checkTarget(request.Target, introduction);
  if ((request.Type === "bind" || request.Type === "image") && !request.Source)
    throw failure("field Source must not be empty");
  if (request.Type === "bind" && !request.Source.startsWith("/"))
    throw failure(`invalid mount path: '${request.Source}' mount path must be absolute`);
  if (request.Type === "tmpfs" && request.Source) throw failure("field Source must not be specified");
  const propagation = request.BindOptions?.Propagation || undefined;
  if (propagation && !propagations.has(propagation))
    throw failure(`invalid propagation mode: ${propagation}`);
  if (request.BindOptions?.ReadOnlyNonRecursive && request.BindOptions.ReadOnlyForceRecursive)
    throw failure("mount options conflict: ReadOnlyNonRecursive and ReadOnlyForceRecursive");
  if (request.Type === "volume") checkVolumeMount(request, failure);
  const subpath = subpathOf(request);
  if (subpath && !isLocal(subpath)) throw failure("subpath must be a relative path within the volume");
  const driver = request.VolumeOptions?.DriverConfig;
  return {
    type: request.Type,
    source: request.Type === "bind" ? posix.normalize(request.Source) : request.Source,
    target,
    readOnly: request.ReadOnly || request.Type === "image",
    readOnlyRecursive: !request.BindOptions?.ReadOnlyNonRecursive,
    recursive: !request.BindOptions?.NonRecursive,
    propagation: propagation as Propagation | undefined,
    mode: "",
    createSource: request.BindOptions?.CreateMountpoint ?? false,
    noCopy: request.VolumeOptions?.NoCopy ?? false,
    tmpfsOptions: tmpfsWords(request).join(","),
    subpath,
    driver: driver?.Name ?? "",
    driverOptions: driver?.Options ?? null,
    labels: request.VolumeOptions?.Labels ?? null,
  };
}

const tmpfsValues = new Set(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"]);
const tmpfsFlags: Readonly<Record<string, number>> = {
  ro: MOUNT_ATTR_RDONLY,
  nosuid: MOUNT_ATTR_NOSUID,
  nodev: MOUNT_ATTR_NODEV,
  noexec: MOUNT_ATTR_NOEXEC,
};
const tmpfsOpposites: Readonly<Record<string, number>> = {
  rw: MOUNT_ATTR_RDONLY,
  suid: MOUNT_ATTR_NOSUID,
  dev: MOUNT_ATTR_NODEV,
  exec: MOUNT_ATTR_NOEXEC,
};

/** A tmpfs's options: its own as key=value, the rest as mount attributes; the safe ones are on unless unsaid. */
export function parseTmpfs(text: string): { options: string[]; attributes: number } {
  const options: string[] = [];
  let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  for (const word of text ? text.split(",") : []) {
    const [key = ""] = word.split("=");
    if (word.includes("=") && tmpfsValues.has(key)) options.push(word);
    else if (word in tmpfsFlags) attributes |= tmpfsFlags[word] ?? 0;
    else if (word in tmpfsOpposites) attributes &= ~(tmpfsOpposites[word] ?? 0);
    else throw new SpecificationError("invalid", `invalid tmpfs option "${word}"`);
  }
  return { options, attributes };
}
