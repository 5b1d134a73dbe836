// Devices of the host that a container is given, and the rules that let it use them.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { DeviceRule } from "@tsd/kernel-bindings";
import { SpecificationError } from "./errors.ts";
import type { DeviceSpec } from "./spec.ts";

export interface DeviceRequest {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

/** Making any node, using the harmless ones and terminals: what every container may do, as Docker's default. */
export const defaultDeviceRules: readonly DeviceRule[] = [
  "c *:* m",
  "b *:* m",
  "c 1:3 rwm",
  "c 1:5 rwm",
  "c 1:7 rwm",
  "c 1:8 rwm",
  "c 1:9 rwm",
  "c 5:0 rwm",
  "c 5:1 rwm",
  "c 5:2 rwm",
  "c 136:* rwm",
];

/** Whether a rule is one that control groups read, as Docker's own check has it. */
export const isDeviceRule = (rule: string): boolean => /^[acb] (?:\d+|\*):(?:\d+|\*) [rwm]{1,3}$/.test(rule);

/** The device at a path of the host's, or undefined if it is none. */
function deviceAt(path: string, target: string): DeviceSpec | undefined {
  const status = statSync(path);
  const type = status.isCharacterDevice() ? "c" : status.isBlockDevice() ? "b" : undefined;
  if (!type) return undefined;
  const device = status.rdev;
  return {
    path: target,
    source: path,
    type,
    major: (device >>> 8) & 0xfff,
    minor: (device & 0xff) | ((device >>> 12) & 0xfff00),
    mode: status.mode & 0o7777,
    group: status.gid,
  };
}

/** The numbers of a block device. Throws for a path that is none. */
export function blockDevice(path: string): { major: number; minor: number } {
  let device: DeviceSpec | undefined;
  try {
    device = deviceAt(path, path);
  } catch (error) {
    throw new SpecificationError("system", `stat ${path}: ${describeMissing(error)}`);
  }
  if (device?.type !== "b") throw new SpecificationError("system", `${path}: not a block device`);
  return { major: device.major, minor: device.minor };
}

const describeMissing = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file or directory" : (error as Error).message;

function* devicesBelow(directory: string, target: string): Generator<DeviceSpec> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    // These are file systems and files of each container's own.
    if (["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"].includes(entry.name))
      continue;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* devicesBelow(path, join(target, entry.name));
    else if (!entry.isSymbolicLink()) {
      const device = deviceAt(path, join(target, entry.name));
      if (device) yield device;
    }
  }
}

const defaultNames = new Set(
  ["null", "zero", "full", "random", "urandom", "tty", "ptmx"].map((name) => `/dev/${name}`),
);

/** All devices of the host, for a privileged container, but those every container has anyway. */
export const hostDevices = (): DeviceSpec[] =>
  [...devicesBelow("/dev", "/dev")].filter(({ path }) => !defaultNames.has(path));

/** The devices that were asked for, each a node or a directory of them, with their rules. */
export function requestedDevices(requests: readonly DeviceRequest[]): {
  devices: DeviceSpec[];
  rules: DeviceRule[];
} {
  const devices: DeviceSpec[] = [];
  const rules: DeviceRule[] = [];
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of requests) {
    const target = PathInContainer || PathOnHost;
    let found: DeviceSpec[];
    try {
      const single = deviceAt(PathOnHost, target);
      found = single ? [single] : [...devicesBelow(PathOnHost, target)];
    } catch (error) {
      const reason =
        (error as NodeJS.ErrnoException).code === "ENOENT"
          ? "no such file or directory"
          : "not a device node";
      throw new SpecificationError(
        "system",
        `error gathering device information while adding custom device "${PathOnHost}": ${reason}`,
      );
    }
    for (const device of found) {
      if (!defaultNames.has(device.path)) devices.push(device);
      rules.push(`${device.type} ${device.major}:${device.minor} ${CgroupPermissions || "rwm"}`);
    }
  }
  return { devices, rules };
}
