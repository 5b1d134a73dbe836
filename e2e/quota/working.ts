// Which quota drivers work on this machine, and what they can do here.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quotaDrivers } from "@tsd/kernel-bindings";

/** CAP_SYS_RESOURCE, without which no process may grow a mounted ext4. */
export const canGrowExt4 =
  (BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`) & (1n << 24n)) !==
  0n;

/** TSD_QUOTA_DRIVERS=btrfs,ext4 takes some of them only. */
const wanted = process.env.TSD_QUOTA_DRIVERS?.split(",");

/** Names of those without an obstacle; others are told of, with their reason. */
export async function workingDrivers(): Promise<string[]> {
  const place = mkdtempSync(join(tmpdir(), "tsd-quota-trial-"));
  const working: string[] = [];
  for (const driver of quotaDrivers(place, () => undefined)) {
    if (wanted && !wanted.includes(driver.name)) continue;
    const obstacle = await driver.obstacle();
    if (obstacle === undefined) working.push(driver.name);
    else console.log(`quota driver ${driver.name}: not here: ${obstacle}`);
  }
  rmSync(place, { recursive: true, force: true });
  return working;
}
