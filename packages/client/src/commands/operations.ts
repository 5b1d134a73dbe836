// tsctl rename, update, pause, unpause, top, diff, export, commit, container prune, system shutdown.
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { type Command, forEachArgument, print } from "../context.ts";
import { keyValues } from "../create/environment.ts";
import { cpus, rareLimits, restartPolicy } from "../create/resources.ts";
import { networkShape, shapeFlags } from "../create/shape.ts";
import {
  expectArguments,
  type FlagTable,
  filtersJson,
  parseBytes,
  parseFlags,
  parseInteger,
  UsageError,
} from "../flags.ts";
import { humanSize } from "../output/units.ts";

export const rename: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "rename", 2, 2);
  const [id = "", name = ""] = flags.args;
  await context.client.containers.rename(id, name.trim());
  return 0;
};

const freezing =
  (name: "pause" | "unpause"): Command =>
  async (words, context) => {
    const flags = parseFlags(words, {});
    expectArguments(flags, name, 1);
    return forEachArgument(flags.args, context, async (id) => {
      await context.client.containers[name](id);
      return id;
    });
  };
export const pause = freezing("pause");
export const unpause = freezing("unpause");

const updateFlags: FlagTable = {
  "blkio-weight": ["text"],
  "cpu-period": ["text"],
  "cpu-quota": ["text"],
  "cpu-rt-period": ["text"],
  "cpu-rt-runtime": ["text"],
  "cpu-shares": ["text", "c"],
  cpus: ["text"],
  "cpuset-cpus": ["text"],
  "cpuset-mems": ["text"],
  memory: ["text", "m"],
  "memory-reservation": ["text"],
  "memory-swap": ["text"],
  "device-cgroup-rule": ["list"],
  "hugetlb-limit": ["list"],
  "net-cls-id": ["text"],
  "net-prio": ["list"],
  "pids-limit": ["text"],
  restart: ["text"],
  "storage-opt": ["list"],
  ...shapeFlags,
};

export const update: Command = async (words, context) => {
  const flags = parseFlags(words, updateFlags);
  expectArguments(flags, "update", 1);
  if (!Object.keys(updateFlags).some((name) => flags.has(name)))
    throw new UsageError("you must provide one or more flags when using this command", 1);
  const text = (name: string): string => flags.text(name) ?? "";
  const integer = (name: string): number => (flags.has(name) ? parseInteger(name, text(name)) : 0);
  const bytes = (name: string): number => (flags.has(name) ? parseBytes(name, text(name)) : 0);
  const shape = networkShape(flags);
  const body = {
    BlkioWeight: integer("blkio-weight"),
    CpuPeriod: integer("cpu-period"),
    CpuQuota: integer("cpu-quota"),
    CpuRealtimePeriod: integer("cpu-rt-period"),
    CpuRealtimeRuntime: integer("cpu-rt-runtime"),
    CpuShares: integer("cpu-shares"),
    NanoCpus: flags.has("cpus") ? cpus(text("cpus")) : 0,
    CpusetCpus: text("cpuset-cpus"),
    CpusetMems: text("cpuset-mems"),
    Memory: bytes("memory"),
    MemoryReservation: bytes("memory-reservation"),
    MemorySwap: text("memory-swap") === "-1" ? -1 : bytes("memory-swap"),
    ...(shape ? { NetworkShape: shape } : {}),
    ...rareLimits(flags),
    ...(flags.has("device-cgroup-rule") ? { DeviceCgroupRules: flags.list("device-cgroup-rule") } : {}),
    ...(flags.has("pids-limit") ? { PidsLimit: integer("pids-limit") } : {}),
    ...(flags.has("storage-opt") ? { StorageOpt: keyValues(flags.list("storage-opt")) } : {}),
    ...(flags.has("restart") ? { RestartPolicy: restartPolicy(text("restart")) } : {}),
  };
  return forEachArgument(flags.args, context, async (id) => {
    const { Warnings } = await context.client.containers.update(id, body);
    for (const warning of Warnings ?? []) context.fail(`WARNING: ${warning}`);
    return id;
  });
};

/** docker's columns for top: twenty wide at least, one space apart. */
const TOP_WIDTH = 20;

export const top: Command = async (words, context) => {
  const flags = parseFlags(words, {}, true);
  expectArguments(flags, "top", 1);
  const [id = "", ...psArguments] = flags.args;
  const { Titles, Processes } = await context.client.containers.top(id, psArguments.join(" "));
  const rows = [Titles, ...Processes];
  const widths = Titles.map((_, column) =>
    Math.max(TOP_WIDTH, ...rows.map((row) => (row[column] ?? "").length + 1)),
  );
  for (const row of rows)
    await print(
      row
        .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
        .join(""),
    );
  return 0;
};

const kinds = ["C", "A", "D"];

export const diff: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "diff", 1, 1);
  const [id = ""] = flags.args;
  for (const { Path, Kind } of await context.client.containers.changes(id))
    await print(`${kinds[Kind] ?? "?"} ${Path}`);
  return 0;
};

export const exportContainer: Command = async (words, context) => {
  const flags = parseFlags(words, { output: ["text", "o"] });
  expectArguments(flags, "export", 1, 1);
  const [id = ""] = flags.args;
  const output = flags.text("output");
  if (!output && process.stdout.isTTY)
    throw new UsageError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 1);
  const archive = await context.client.containers.export(id);
  if (output) await pipeline(archive, createWriteStream(output, { mode: 0o600 }));
  else await pipeline(archive, process.stdout, { end: false });
  return 0;
};

export const commit: Command = async (words, context) => {
  const flags = parseFlags(words, {
    author: ["text", "a"],
    change: ["list", "c"],
    message: ["text", "m"],
    pause: ["bool", "p"],
  });
  expectArguments(flags, "commit", 1, 2);
  const [container = "", reference = ""] = flags.args;
  const match = /^(.*?)(?::([^:/]+))?$/.exec(reference);
  const { Id } = await context.client.containers.commit({
    container,
    repo: match?.[1] ?? "",
    tag: match?.[2] ?? "",
    author: flags.text("author") ?? "",
    comment: flags.text("message") ?? "",
    changes: flags.list("change"),
    pause: flags.has("pause") && !flags.bool("pause") ? "0" : "1",
  });
  await print(Id);
  return 0;
};

/** Asks on the terminal; anything but y is no. */
export async function confirmed(question: string): Promise<boolean> {
  process.stdout.write(`${question}\nAre you sure you want to continue? [y/N] `);
  for await (const chunk of process.stdin as AsyncIterable<Buffer>)
    return chunk.toString("utf8").trim().toLowerCase() === "y";
  return false;
}

export const prune: Command = async (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"], filter: ["list"] });
  expectArguments(flags, "container prune", 0, 0);
  const question = "WARNING! This will remove all stopped containers.";
  if (!flags.bool("force") && !(await confirmed(question))) return 1;
  const { ContainersDeleted, SpaceReclaimed } = await context.client.containers.prune(
    filtersJson(flags.list("filter")),
  );
  if (ContainersDeleted?.length) await print(`Deleted Containers:\n${ContainersDeleted.join("\n")}\n`);
  await print(`Total reclaimed space: ${humanSize(SpaceReclaimed)}`);
  return 0;
};

export const shutdown: Command = async (words, context) => {
  const flags = parseFlags(words, { "stop-containers": ["bool"] });
  expectArguments(flags, "system shutdown", 0, 0);
  await context.client.shutdown(flags.bool("stop-containers"));
  return 0;
};
