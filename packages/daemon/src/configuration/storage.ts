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
