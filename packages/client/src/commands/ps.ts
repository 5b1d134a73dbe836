// tsctl ps.
import type { ContainerSummary } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { filtersJson, parseFlags, parseInteger } from "../flags.ts";
import { type Columns, printRows, type Row } from "../output/format.ts";
import { ellipsis, humanDuration, humanSize, shortId } from "../output/units.ts";

const columns: Columns = [
  ["ID", "CONTAINER ID"],
  ["Image", "IMAGE"],
  ["Command", "COMMAND"],
  ["RunningFor", "CREATED"],
  ["Status", "STATUS"],
  ["Ports", "PORTS"],
  ["Names", "NAMES"],
];

const port = (item: ContainerSummary["Ports"][number]): string =>
  item.PublicPort
    ? `${item.IP}:${item.PublicPort}->${item.PrivatePort}/${item.Type}`
    : `${item.PrivatePort}/${item.Type}`;

function row(container: ContainerSummary, whole: boolean): Row {
  const names = container.Names.map((name) => name.replace(/^\//, ""));
  const command = whole ? container.Command : ellipsis(container.Command, 20);
  const image = container.Image.startsWith("sha256:") && !whole ? shortId(container.Image) : container.Image;
  return {
    ID: whole ? container.Id : shortId(container.Id),
    Image: image,
    Command: JSON.stringify(command),
    CreatedAt: new Date(container.Created * 1000)
      .toISOString()
      .replace("T", " ")
      .replace(/\.\d+Z$/, " +0000 UTC"),
    RunningFor: `${humanDuration(Date.now() - container.Created * 1000)} ago`,
    Ports: container.Ports.map(port).join(", "),
    State: container.State,
    Status: container.Status,
    Size:
      container.SizeRw === undefined
        ? "0B"
        : `${humanSize(container.SizeRw)} (virtual ${humanSize(container.SizeRootFs ?? 0)})`,
    Names: names.join(","),
    Labels: Object.entries(container.Labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(","),
    Mounts: container.Mounts.map((mount) => ellipsis(mount.Name ?? mount.Source, whole ? 1000 : 15)).join(
      ",",
    ),
    LocalVolumes: String(container.Mounts.filter(({ Type }) => Type === "volume").length),
    Networks: Object.keys(container.NetworkSettings.Networks).join(","),
    Platform: "",
  };
}

export const ps: Command = async (words, context) => {
  const flags = parseFlags(words, {
    all: ["bool", "a"],
    filter: ["list", "f"],
    format: ["text"],
    last: ["text", "n"],
    latest: ["bool", "l"],
    "no-trunc": ["bool"],
    quiet: ["bool", "q"],
    size: ["bool", "s"],
  });
  const last = flags.has("last") ? parseInteger("last", flags.text("last") ?? "") : 0;
  const limit = flags.bool("latest") ? 1 : Math.max(0, last);
  const filters = filtersJson(flags.list("filter"));
  const containers = await context.client.containers.list({
    all: flags.bool("all"),
    size: flags.bool("size"),
    ...(limit > 0 ? { limit } : {}),
    ...(filters ? { filters } : {}),
  });
  const rows = containers.map((container) => row(container, flags.bool("no-trunc")));
  if (flags.bool("quiet") && !flags.has("format")) {
    for (const { ID } of rows) await print(String(ID));
    return 0;
  }
  await printRows(rows, columns, flags.text("format"));
  return 0;
};
