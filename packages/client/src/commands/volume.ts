// tsctl volume create, ls, inspect, rm, prune.
import type { VolumeInspect } from "@tsd/daemon/api";
import { type Command, forEachArgument, print } from "../context.ts";
import { keyValues } from "../create/environment.ts";
import { expectArguments, filtersJson, parseFlags, UsageError } from "../flags.ts";
import { type Columns, printRows, type Row } from "../output/format.ts";
import { compileTemplate } from "../output/template.ts";
import { humanSize } from "../output/units.ts";
import { confirmed } from "./operations.ts";

/** What was not said is not sent: inspect shows the difference. */
const given = (list: readonly string[]): Record<string, string> | undefined =>
  list.length > 0 ? keyValues(list) : undefined;

export const create: Command = async (words, context) => {
  const flags = parseFlags(words, {
    driver: ["text", "d"],
    label: ["list"],
    name: ["text"],
    opt: ["list", "o"],
  });
  expectArguments(flags, "volume create", 0, 1);
  const [argument] = flags.args;
  const name = flags.text("name");
  if (argument !== undefined && name !== undefined)
    throw new UsageError(
      "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
      1,
    );
  const { Name } = await context.client.volumes.create({
    Name: argument ?? name ?? "",
    Driver: flags.text("driver") ?? "local",
    DriverOpts: given(flags.list("opt")),
    Labels: given(flags.list("label")),
  });
  await print(Name);
  return 0;
};

const columns: Columns = [
  ["Driver", "DRIVER"],
  ["Name", "VOLUME NAME"],
];
const missing = "N/A";

const row = (volume: VolumeInspect): Row => ({
  Availability: missing,
  Driver: volume.Driver,
  Group: missing,
  Labels: Object.entries(volume.Labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(","),
  Links: missing,
  Mountpoint: volume.Mountpoint,
  Name: volume.Name,
  Scope: volume.Scope,
  Size: missing,
  Status: missing,
});

export const ls: Command = async (words, context) => {
  const flags = parseFlags(words, { filter: ["list", "f"], format: ["text"], quiet: ["bool", "q"] });
  expectArguments(flags, "volume ls", 0, 0);
  const filters = filtersJson(flags.list("filter"));
  const volumes = await context.client.volumes.list(filters ? { filters } : {});
  const rows = volumes.sort((a, b) => (a.Name < b.Name ? -1 : 1)).map(row);
  if (flags.bool("quiet") && !flags.has("format")) for (const { Name } of rows) await print(String(Name));
  else await printRows(rows, columns, flags.text("format"));
  return 0;
};

export const inspect: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  expectArguments(flags, "volume inspect", 1);
  const found: VolumeInspect[] = [];
  const status = await forEachArgument(flags.args, context, async (name) => {
    found.push(await context.client.volumes.inspect(name));
    return undefined;
  });
  const format = flags.text("format");
  if (format === undefined || format === "json")
    await print(JSON.stringify(found, null, format === "json" ? undefined : 4));
  else for (const item of found) await print(`${compileTemplate(format)(item)}\n`);
  return status;
};

export const rm: Command = (words, context) => {
  const flags = parseFlags(words, { force: ["bool", "f"] });
  expectArguments(flags, "volume rm", 1);
  return forEachArgument(flags.args, context, async (name) => {
    await context.client.volumes.remove(name, { force: flags.bool("force") });
    return name;
  });
};

export const prune: Command = async (words, context) => {
  const flags = parseFlags(words, { all: ["bool", "a"], force: ["bool", "f"], filter: ["list"] });
  expectArguments(flags, "volume prune", 0, 0);
  const filters = flags.list("filter");
  if (flags.bool("all") && filters.some((filter) => filter.startsWith("all=")))
    throw new UsageError(
      `conflicting options: cannot specify both --all and --filter ${filters.find((filter) => filter.startsWith("all="))}`,
      1,
    );
  const kind = flags.bool("all") ? "all" : "anonymous";
  const question = `WARNING! This will remove ${kind} local volumes not used by at least one container.`;
  if (!flags.bool("force") && !(await confirmed(question))) return 1;
  const asked = filtersJson([...filters, ...(flags.bool("all") ? ["all=true"] : [])]);
  const { VolumesDeleted, SpaceReclaimed } = await context.client.volumes.prune(asked);
  if (VolumesDeleted?.length) await print(`Deleted Volumes:\n${VolumesDeleted.join("\n")}\n\n`);
  await print(`Total reclaimed space: ${humanSize(SpaceReclaimed, 4)}`);
  return 0;
};
