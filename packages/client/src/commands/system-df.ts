// tsctl system df: what images, containers and volumes take on disk, and how much of it could be had back.
import type { DiskUsage } from "@tsd/daemon/api";
import type { Command } from "../context.ts";
import { parseFlags } from "../flags.ts";
import { type Columns, printRows, type Row } from "../output/format.ts";
import { humanSize } from "../output/units.ts";

const columns: Columns = [
  ["Type", "TYPE"],
  ["TotalCount", "TOTAL"],
  ["Active", "ACTIVE"],
  ["Size", "SIZE"],
  ["Reclaimable", "RECLAIMABLE"],
];

/** docker shows one digit more here than in its lists. */
const size4 = (bytes: number): string => humanSize(bytes, 4);
const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + Math.max(0, value), 0);

function row(type: string, total: number, active: number, size: number, reclaimable: number): Row {
  const share = size > 0 ? ` (${Math.trunc((reclaimable * 100) / size)}%)` : "";
  return {
    Type: type,
    TotalCount: String(total),
    Active: String(active),
    Size: size4(size),
    Reclaimable: `${size4(reclaimable)}${share}`,
  };
}

function rows({ LayersSize, Images, Containers, Volumes, BuildCache }: DiskUsage): Row[] {
  const [images, containers, volumes] = [Images ?? [], Containers ?? [], Volumes ?? []];
  const used = images.filter((image) => image.Containers > 0);
  const running = containers.filter(({ State }) => ["running", "paused", "restarting"].includes(State));
  const idle = containers.filter((container) => !running.includes(container));
  const free = volumes.filter(({ UsageData }) => UsageData.RefCount === 0);
  const sizeOf = (list: typeof volumes): number => sum(list.map(({ UsageData }) => UsageData.Size));
  const own = (list: typeof containers): number => sum(list.map(({ SizeRw }) => SizeRw ?? 0));
  const kept = sum(used.map(({ Size, SharedSize }) => Size - SharedSize));
  return [
    row("Images", images.length, used.length, LayersSize, Math.max(0, LayersSize - kept)),
    row("Containers", containers.length, running.length, own(containers), own(idle)),
    row("Local Volumes", volumes.length, volumes.length - free.length, sizeOf(volumes), sizeOf(free)),
    row("Build Cache", BuildCache?.length ?? 0, 0, 0, 0),
  ];
}

export const df: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text"] });
  await printRows(rows(await context.client.diskUsage()), columns, flags.text("format"));
  return 0;
};
