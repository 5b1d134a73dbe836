// Ways to limit the size of directory trees, the best first.
import { BtrfsQuota } from "./btrfs.ts";
import { Ext4Quota } from "./ext4.ts";
import type { QuotaDriver } from "./port.ts";
import { ProjectQuota } from "./project.ts";

export type { QuotaDriver, QuotaUsage } from "./port.ts";
export { QuotaError } from "./port.ts";

/** Every driver, with its files in `root`, a path without links. `report` hears what nobody waits for. */
export const quotaDrivers = (
  root: string,
  report: (problem: unknown, what: string) => void,
): QuotaDriver[] => [new ProjectQuota(root), new BtrfsQuota(root, report), new Ext4Quota(root, report)];
