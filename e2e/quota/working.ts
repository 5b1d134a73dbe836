// Where which quota drivers work on this machine, and what they can do here.
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quotaDrivers } from "@tsd/kernel-bindings";
import { describe, it } from "vitest";
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

/** Why a driver does not work here, by its name. */
const obstacles = new Map<string, string>();

/** Places for every driver that works here. Of the others their suites show as skipped, with the reason. */
export async function workingPlaces(): Promise<Place[]> {
  const places: Place[] = [];
  for (const driver of ["project", "btrfs", "ext4"]) {
    if (wanted && !wanted.includes(driver)) continue;
    let place = await trial(driver, ordinary());
    for (const type of driver === "project" && !place ? projectTypes : []) place ??= await projectPlace(type);
    if (place) places.push(place);
    else describe.skip(`${driver}: ${obstacles.get(driver)}`, () => it("works", () => undefined));
  }
  return places;
}

async function trial(driver: string, place: Omit<Place, "driver">): Promise<Place | undefined> {
  const found = quotaDrivers(place.directory, () => undefined).find(({ name }) => name === driver);
  const obstacle = await found?.obstacle();
  if (found && obstacle === undefined) return { ...place, driver };
  obstacles.set(driver, `not in ${place.directory}: ${obstacle}`);
  await place.remove();
  return undefined;
}

function ordinary(): Omit<Place, "driver"> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "tsd-quota-")));
  return { directory, remove: async () => rmSync(directory, { recursive: true, force: true }) };
}

/** How a file becomes a file system that keeps project quotas. */
const projectTypes = ["mkfs.xfs -q -f", "mke2fs -q -t ext4 -O project,quota -E quotatype=prjquota"];

/** A file system that keeps project quotas, where the kernel can. */
async function projectPlace(format: string): Promise<Place | undefined> {
  const { directory: outer, remove } = ordinary();
  const inner = join(outer, "mnt");
  const removeBoth = async (): Promise<void> => {
    await run("umount", [inner]);
    await remove();
  };
  mkdirSync(inner);
  const script = `truncate -s 1G ${outer}/disk && ${format} ${outer}/disk && mount -o loop,prjquota ${outer}/disk ${inner}`;
  const { status, stderr } = await run("sh", ["-c", script]);
  if (status === 0) return trial("project", { directory: inner, remove: removeBoth });
  const told = obstacles.get("project");
  obstacles.set("project", `${told}; no file system with project quotas after ${format}: ${stderr.trim()}`);
  await remove();
  return undefined;
}
