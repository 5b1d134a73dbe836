// --mount and --volume.
import { resolve } from "node:path";
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { type ParsedFlags, parseBool, UsageError } from "../flags.ts";
import { commaFields, pairs, parseBytes, splitPair } from "../values.ts";

type Mount = NonNullable<NonNullable<ContainerCreateRequest["HostConfig"]>["Mounts"]>[number];

/** The engine knows no working directory of ours. */
const absolute = (path: string): string => (/^\.{1,2}(\/|$)/.test(path) ? resolve(path) : path);

const mayStandAlone = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive"]);

interface Draft {
  Type: string;
  Source?: string;
  Target?: string;
  ReadOnly?: boolean;
  Consistency?: string;
  bind: Record<string, unknown>;
  volume: Record<string, unknown>;
  tmpfs: Record<string, unknown>;
  image: Record<string, unknown>;
  /** volume-opt and volume-label, to be told apart at the end. */
  driver?: string;
  driverOptions: string[];
  labels: string[];
}

function boolean(key: string, value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new Error(`invalid value for ${key}: ${value}`);
  }
}

function recursion(draft: Draft, value: string): void {
  const option = {
    enabled: undefined,
    disabled: "NonRecursive",
    writable: "ReadOnlyNonRecursive",
    readonly: "ReadOnlyForceRecursive",
  };
  if (!(value in option))
    throw new Error(
      `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
    );
  const name = option[value as keyof typeof option];
  if (name) draft.bind[name] = true;
}

function setField(draft: Draft, key: string, value: string, field: string): void {
  switch (key) {
    case "type":
      draft.Type = value.toLowerCase();
      break;
    case "source":
    case "src":
      draft.Source = absolute(value);
      break;
    case "target":
    case "dst":
    case "destination":
      draft.Target = value;
      break;
    case "readonly":
    case "ro":
      draft.ReadOnly = boolean(key, value);
      break;
    case "consistency":
      draft.Consistency = value.toLowerCase();
      break;
    case "bind-propagation":
      draft.bind.Propagation = value.toLowerCase();
      break;
    case "bind-nonrecursive":
      draft.bind.NonRecursive = boolean(key, value);
      break;
    case "bind-recursive":
      recursion(draft, value);
      break;
    case "volume-nocopy":
      draft.volume.NoCopy = boolean(key, value);
      break;
    case "volume-subpath":
      draft.volume.Subpath = value;
      break;
    case "volume-driver":
      draft.driver = value;
      break;
    case "volume-opt":
      draft.driverOptions.push(value);
      break;
    case "volume-label":
      draft.labels.push(value);
      break;
    case "image-subpath":
      draft.image.Subpath = value;
      break;
    case "tmpfs-size":
      draft.tmpfs.SizeBytes = parseBytes(value);
      break;
    case "tmpfs-mode":
      if (!/^[0-7]+$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
      draft.tmpfs.Mode = Number.parseInt(value, 8);
      break;
    default:
      throw new Error(`unexpected key '${key}' in '${field}'`);
  }
}

const filled = (options: object): boolean => Object.keys(options).length > 0;

/** Reads one --mount. Throws Error with docker's words. */
export function parseMount(text: string): Mount {
  const draft: Draft = {
    Type: "volume",
    bind: {},
    volume: {},
    tmpfs: {},
    image: {},
    driverOptions: [],
    labels: [],
  };
  for (const field of commaFields(text)) {
    const [name, value] = splitPair(field);
    const key = name.toLowerCase();
    if (field.includes("=")) setField(draft, key, value, field);
    else if (mayStandAlone.has(key)) setField(draft, key, "true", field);
    else throw new Error(`invalid field '${field}' must be a key=value pair`);
  }
  const { Type, bind, volume, tmpfs, image, driver, driverOptions, labels, ...plain } = draft;
  if (!Type) throw new Error("type is required");
  if (!plain.Target) throw new Error("target is required");
  if (driver || driverOptions.length > 0)
    volume.DriverConfig = { ...(driver ? { Name: driver } : {}), Options: pairs(driverOptions) };
  if (labels.length > 0) volume.Labels = pairs(labels);
  for (const [name, options] of Object.entries({ volume, bind, tmpfs, image }))
    if (filled(options) && Type !== name)
      throw new Error(`cannot mix '${name}-*' options with mount type '${Type}'`);
  if (bind.ReadOnlyNonRecursive && !plain.ReadOnly)
    throw new Error("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  if (bind.ReadOnlyForceRecursive) {
    if (!plain.ReadOnly)
      throw new Error("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
    if (bind.Propagation !== "rprivate")
      throw new Error(
        "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
      );
  }
  return {
    Type,
    ...plain,
    ...(filled(bind) ? { BindOptions: bind } : {}),
    ...(filled(volume) ? { VolumeOptions: volume } : {}),
    ...(filled(tmpfs) ? { TmpfsOptions: tmpfs } : {}),
    ...(filled(image) ? { ImageOptions: image } : {}),
  };
}

/** --volume: binds have a source; a path alone is an anonymous volume. */
export function volumes(flags: ParsedFlags): { binds: string[]; anonymous: string[] } {
  const binds: string[] = [];
  const anonymous: string[] = [];
  for (const spec of flags.list("volume")) {
    const [source = "", ...rest] = spec.split(":");
    if (rest.length > 2) throw new UsageError(`invalid spec: ${spec}: too many colons`);
    if (rest.length === 0) anonymous.push(spec);
    else binds.push([absolute(source), ...rest].join(":"));
  }
  return { binds, anonymous };
}
