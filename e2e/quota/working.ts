// Where which quota drivers work on this machine, and what they can do here.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quotaDrivers } from "@tsd/kernel-bindings";
import { run } from "../harness/command.ts";

/** CAP_SYS_RESOURCE, without which no process may grow a mounted ext4. */
export const canGrowExt4 =
  (BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`) & (1n << 24n)) !==
  0n;

/** TSD_QUOTA_DRIVERS=btrfs,ext4 takes some of them only. */
const wanted = process.env.TSD_QUOTA_DRIVERS?.split(",");

/** Bytes that everything in a directory takes, without what is mounted in it. */
export const bytesIn = async (directory: string): Promise<number> =>
  Number((await run("du", ["-sxB1", directory])).stdout.split("\t")[0]);

/** A driver, and an empty directory on a file system where it works. */
export interface Place {
  driver: string;
  directory: string;
  remove(): Promise<void>;
}

/** Places for every driver that works here; of the others is told why not. */
export async function workingPlaces(): Promise<Place[]> {
  const places: Place[] = [];
  for (const driver of ["project", "btrfs", "ext4"]) {
    if (wanted && !wanted.includes(driver)) continue;
    const place =
      (await trial(driver, ordinary())) ?? (driver === "project" ? await projectPlace() : undefined);
    if (place) places.push(place);
  }
  return places;
}

async function trial(driver: string, place: Omit<Place, "driver">): Promise<Place | undefined> {
  const found = quotaDrivers(place.directory, () => undefined).find(({ name }) => name === driver);
  const obstacle = await found?.obstacle();
  if (found && obstacle === undefined) return { ...place, driver };
  console.log(`quota driver ${driver}: not in ${place.directory}: ${obstacle}`);
  await place.remove();
  return undefined;
}

function ordinary(): Omit<Place, "driver"> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "tsd-quota-")));
  return { directory, remove: async () => rmSync(directory, { recursive: true, force: true }) };
}

/** An ext4 that keeps project quotas, where the kernel can. */
async function projectPlace(): Promise<Place | undefined> {
  const { directory: outer, remove } = ordinary();
  const inner = join(outer, "mnt");
  const removeBoth = async (): Promise<void> => {
    await run("umount", [inner]);
    await remove();
  };
  mkdirSync(inner);
  const script = `truncate -s 1G ${outer}/disk && mke2fs -q -t ext4 -O project,quota -E quotatype=prjquota ${outer}/disk && mount -o loop,prjquota ${outer}/disk ${inner}`;
  const { status, stderr } = await run("sh", ["-c", script]);
  if (status === 0) return trial("project", { directory: inner, remove: removeBoth });
  console.log(`quota driver project: no file system with project quotas can be mounted: ${stderr.trim()}`);
  await remove();
  return undefined;
}
