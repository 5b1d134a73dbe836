// --mount and -v.
import { resolve } from "node:path";
import type { ContainerCreateRequest } from "@tsd/daemon/api";
import { parseBytes, UsageError } from "../flags.ts";

type HostConfig = NonNullable<ContainerCreateRequest["HostConfig"]>;

/** One --mount: comma-separated key=value pairs. */
export function mount(text: string): NonNullable<HostConfig["Mounts"]>[number] {
  const result: Record<string, unknown> = { Type: "volume" };
  const options = (group: string): Record<string, unknown> => {
    result[group] ??= {};
    return result[group] as Record<string, unknown>;
  };
  const driver = (): Record<string, unknown> => {
    const volume = options("VolumeOptions");
    volume.DriverConfig ??= {};
    return volume.DriverConfig as Record<string, unknown>;
  };
  for (const field of fields(text)) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    const value = at < 0 ? "true" : field.slice(at + 1);
    if (key === "type") result.Type = value.toLowerCase();
    else if (key === "source" || key === "src")
      result.Source = /^\.{1,2}(\/|$)/.test(value) ? resolve(value) : value;
    else if (["target", "dst", "destination"].includes(key)) result.Target = value;
    else if (key === "readonly" || key === "ro") result.ReadOnly = value === "true" || value === "1";
    else if (key === "consistency") result.Consistency = value;
    else if (key === "bind-propagation") options("BindOptions").Propagation = value;
    else if (key === "bind-nonrecursive") options("BindOptions").NonRecursive = value === "true";
    else if (key === "bind-recursive") bindRecursive(options("BindOptions"), value, text);
    else if (key === "volume-nocopy") options("VolumeOptions").NoCopy = value === "true";
    else if (key === "volume-subpath") options("VolumeOptions").Subpath = value;
    else if (key === "image-subpath") options("ImageOptions").Subpath = value;
    else if (key === "volume-driver") driver().Name = value;
    else if (key === "volume-opt") setPair(driver(), "Options", value);
    else if (key === "volume-label") setPair(options("VolumeOptions"), "Labels", value);
    else if (key === "tmpfs-size") options("TmpfsOptions").SizeBytes = parseBytes("mount", value);
    else if (key === "tmpfs-mode") options("TmpfsOptions").Mode = Number.parseInt(value, 8);
    else
      throw new UsageError(
        `invalid argument "${text}" for "--mount" flag: unexpected key '${key}' in '${field}'`,
      );
  }
  if (!result.Target)
    throw new UsageError(`invalid argument "${text}" for "--mount" flag: target is required`);
  return result as NonNullable<HostConfig["Mounts"]>[number];
}

/** Comma-separated fields, as in CSV: one in double quotes may hold commas, and two quotes for one. */
function fields(text: string): string[] {
  return [...text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"(?=,|$)|([^,]*))/g)].map(
    ([, quoted, plain = ""]) => quoted?.replaceAll('""', '"') ?? plain,
  );
}

/** Adds key=value to a group of them. */
function setPair(group: Record<string, unknown>, name: string, pair: string): void {
  const at = pair.indexOf("=");
  const [key, value] = at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
  group[name] = { ...(group[name] as object | undefined), [key]: value };
}

function bindRecursive(bindOptions: Record<string, unknown>, value: string, text: string): void {
  if (value === "disabled") bindOptions.NonRecursive = true;
  else if (value === "writable") bindOptions.ReadOnlyNonRecursive = true;
  else if (value === "readonly") bindOptions.ReadOnlyForceRecursive = true;
  else if (value !== "enabled")
    throw new UsageError(
      `invalid argument "${text}" for "--mount" flag: invalid value for bind-recursive: ${value}`,
    );
}

/** Source paths are made absolute, as the engine knows no working directory of ours. */
export function bind(text: string): string {
  const [source = "", ...rest] = text.split(":");
  return rest.length > 0 && /^\.{1,2}(\/|$)/.test(source) ? [resolve(source), ...rest].join(":") : text;
}
