// Sizes, storage options, and the choice of a quota driver, with drivers that are none.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { QuotaDriver } from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { parseSize } from "../../api/sizes.ts";
import { parseStorageOptions } from "../../configuration/storage.ts";
import { requestedSize } from "./options.ts";
import { WritableLayers } from "./writable-layers.ts";

describe("sizes", () => {
  it("are read as docker writes them", () => {
    expect(["120m", "1.5g", "4096", "10 MiB", "2kb", "7B", "1T"].map(parseSize)).toEqual([
      125829120, 1610612736, 4096, 10485760, 2048, 7, 1099511627776,
    ]);
    expect(["", "m", "-1m", "1x", "1e3", "99999999p"].map(parseSize)).toEqual(Array(6).fill(undefined));
  });

  it("of containers: options there are none of are refused", () => {
    expect(requestedSize({ size: "1m" })).toBe(1 << 20);
    expect(requestedSize({ SIZE: "1m" })).toBe(1 << 20);
    expect(requestedSize({})).toBeUndefined();
    expect(() => requestedSize({ size: "x" })).toThrow("invalid size: 'x'");
    expect(() => requestedSize({ inodes: "1" })).toThrow("unknown option inodes");
  });

  it("of the daemon", () => {
    expect(parseStorageOptions(["size=5g", "quota-driver=ext4"])).toEqual({
      defaultSize: "5g",
      quotaDriver: "ext4",
    });
    for (const wrong of ["size=", "size=0", "size", "quota-driver=zfs", "dm.basesize=1g"])
      expect(() => parseStorageOptions([wrong]), wrong).toThrow(`--storage-opt ${wrong}: `);
  });
});

/** A driver that keeps its trees in a map. */
function pretended(name: QuotaDriver["name"], faults: { obstacle?: string; open?: string } = {}) {
  const trees = new Map<string, number>();
  const directory = mkdtempSync(join(tmpdir(), "tsd-layers-"));
  const driver: QuotaDriver = {
    name,
    title: `pretended ${name}`,
    minimum: 100,
    obstacle: async () => faults.obstacle,
    recover: async () => undefined,
    open: async () => {
      if (faults.open) throw new Error(faults.open);
    },
    names: () => [...trees.keys()],
    directory: () => directory,
    make: async (tree, limit) => void trees.set(tree, limit),
    limit: async (tree, limit) => void trees.set(tree, limit),
    makeRoom: async (tree) => {
      const limit = trees.get(tree) ?? 0;
      if (limit > 500) return undefined;
      trees.set(tree, limit + 100);
      return async () => void trees.set(tree, limit);
    },
    usage: async (tree) => ({ usage: 500, limit: trees.get(tree) ?? 0 }),
    remove: async (tree) => void trees.delete(tree),
    close: async () => rmSync(directory, { recursive: true, force: true }),
  };
  return { driver, trees };
}

async function layers(drivers: QuotaDriver[], settings: { wanted?: string; defaultSize?: string } = {}) {
  const problems: string[] = [];
  const made = new WritableLayers({
    root: "/nowhere",
    drivers,
    wanted: settings.wanted,
    defaultSize: settings.defaultSize,
    report: (_, what) => problems.push(what),
  });
  await made.open();
  return { layers: made, problems };
}
const id = "a".repeat(64);

describe("quota drivers", () => {
  it("the first without an obstacle is chosen; one that is asked for must have none", async () => {
    const first = pretended("project", { obstacle: "no such thing" });
    const second = pretended("btrfs");
    const chosen = await layers([first.driver, second.driver]);
    expect(chosen.layers.description).toBe("pretended btrfs");
    await expect(layers([first.driver], { wanted: "project" })).rejects.toThrow("project: no such thing");
    await expect(layers([first.driver], { defaultSize: "1g" })).rejects.toThrow("no quota driver");
    await expect(layers([second.driver], { defaultSize: "99" })).rejects.toThrow(
      "must be 100 bytes at least",
    );
    const none = await layers([first.driver]);
    expect(none.layers.description).toBe("none (project: no such thing)");
    expect(() => none.layers.check(1000)).toThrow("no quota driver on this machine: project: no such thing");
    await chosen.layers.close(() => false);
  });

  it("one that turns out not to work is given up for the next", async () => {
    const broken = pretended("btrfs", { open: "it was a trick" });
    const next = pretended("ext4");
    const { layers: made, problems } = await layers([broken.driver, next.driver]);
    await made.make(id, 1000);
    expect(made.description).toBe("pretended ext4");
    expect([...next.trees]).toEqual([[id, 1000]]);
    expect(problems).toEqual(["pretended btrfs: given up for pretended ext4"]);
    await made.close(() => false);
  });

  it("limits change within what is in use and possible; the record's word counts at the next start", async () => {
    const { driver, trees } = pretended("btrfs");
    const { layers: made } = await layers([driver]);
    await made.make(id, 1000);
    await expect(made.resize(id, 400)).rejects.toThrow("less than the 500 in use");
    await expect(made.resize(id, 50)).rejects.toThrow("must be 100 at least");
    await expect(made.resize("b".repeat(64), 4000)).rejects.toThrow("created without StorageOpt.size");
    const takeBack = await made.resize(id, 2000);
    expect(trees.get(id)).toBe(2000);
    await takeBack();
    expect(trees.get(id)).toBe(1000);
    await made.reconcile(id, 3000);
    expect(trees.get(id)).toBe(3000);
    await made.close(() => false);
  });

  it("a full tree has room for its mount, and for nothing else", async () => {
    const { driver, trees } = pretended("btrfs");
    const { layers: made } = await layers([driver]);
    const limitMeanwhile = (limit: number): Promise<number | undefined> => {
      trees.set(id, limit);
      return made.withRoom(id, async () => trees.get(id));
    };
    await made.make(id, 1000);
    expect(await limitMeanwhile(1000)).toBe(1000);
    expect(await limitMeanwhile(500)).toBe(600);
    expect(trees.get(id)).toBe(500);
    await expect(made.withRoom(id, () => Promise.reject(new Error("no mount")))).rejects.toThrow("no mount");
    expect(trees.get(id)).toBe(500);
    await made.close(() => false);
  });

  it("trees of no container are swept, others' are left alone", async () => {
    const { driver, trees } = pretended("btrfs");
    const stray = "c".repeat(64);
    for (const tree of [id, stray, "v-volume"]) trees.set(tree, 1);
    const { layers: made } = await layers([driver]);
    expect(made.sweep((known) => known === id)).toBe(1);
    await made.close(() => false);
    expect([...trees.keys()]).toEqual([id, "v-volume"]);
  });
});
