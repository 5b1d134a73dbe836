// --storage-opt: the default limit of what a container writes, and what limits are kept by.
import { parseSize } from "../api/sizes.ts";

const drivers = ["project", "btrfs", "ext4"] as const;

export interface StorageSettings {
  /** As it was given; undefined for no limit. */
  defaultSize: string | undefined;
  /** Undefined for the first that works. */
  quotaDriver: (typeof drivers)[number] | undefined;
}

/** Throws for what is no option, naming it. */
export function parseStorageOptions(given: readonly string[]): StorageSettings {
  const settings: StorageSettings = { defaultSize: undefined, quotaDriver: undefined };
  for (const option of given) {
    const wrong = (reason: string): Error => new Error(`--storage-opt ${option}: ${reason}`);
    const [key = "", value] = option.split(/=(.*)/s);
    if (value === undefined) throw wrong("not key=value");
    if (key === "size" || key === "overlay2.size") {
      if (!parseSize(value)) throw wrong("not a size");
      settings.defaultSize = value;
    } else if (key === "quota-driver") {
      settings.quotaDriver = drivers.find((driver) => driver === value);
      if (!settings.quotaDriver) throw wrong(`not one of ${drivers.join(", ")}`);
    } else throw wrong("there is no such option");
  }
  return settings;
}

/** When unused images go by themselves. */
export interface CollectionSettings {
  /** Milliseconds. */
  unusedFor: number | undefined;
  /** Per cent. */
  fullerThan: number | undefined;
}

const HOUR = 3600_000;
const durations: Readonly<Record<string, number>> = { m: 60_000, h: HOUR, d: 24 * HOUR };

/** --image-gc. Throws for what is no rule, naming it. */
export function parseCollection(given: readonly string[]): CollectionSettings {
  const settings: CollectionSettings = { unusedFor: undefined, fullerThan: undefined };
  for (const rule of given) {
    const [, age, unit = "", disk] = /^(?:age=(\d+)([mhd])|disk=(\d{1,2})%?)$/.exec(rule) ?? [];
    if (age !== undefined) settings.unusedFor = Number(age) * (durations[unit] ?? 0);
    else if (disk !== undefined) settings.fullerThan = Number(disk);
    else throw new Error(`--image-gc ${rule}: neither age=DURATION, such as 720h, nor disk=PERCENT`);
  }
  return settings;
}
