// tsctl stats: what containers use, once or each second, or in the last minutes.
import type { ContainerStats } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { parseFlags } from "../flags.ts";
import { type Columns, printRows, type Row } from "../output/format.ts";
import { humanSize, shortId } from "../output/units.ts";
import { printHistory } from "./stats-history.ts";

const columns: Columns = [
  ["ID", "CONTAINER ID"],
  ["Name", "NAME"],
  ["CPUPerc", "CPU %"],
  ["MemUsage", "MEM USAGE / LIMIT"],
  ["MemPerc", "MEM %"],
  ["NetIO", "NET I/O"],
  ["BlockIO", "BLOCK I/O"],
  ["PIDs", "PIDS"],
];

const binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** 64 MiB as docker's stats prints it: binary units, four significant digits. */
function binarySize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < binary.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${binary[unit]}`;
}

const percent = (value: number): string => `${value.toFixed(2)}%`;

/** Processor time used between two samples, where 100 % is one processor. */
function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStats): number {
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const passed = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  return passed > 0 && used > 0 ? (used / passed) * (now.online_cpus ?? 1) * 100 : 0;
}

/** What the container needs: the page cache that could be dropped does not count. */
function usedMemory({ memory_stats: memory }: ContainerStats): number {
  const usage = memory.usage ?? 0;
  const inactive = memory.stats?.total_inactive_file ?? memory.stats?.inactive_file ?? 0;
  return inactive < usage ? usage - inactive : usage;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function row(stats: ContainerStats, whole: boolean): Row {
  const used = usedMemory(stats);
  const limit = stats.memory_stats.limit ?? 0;
  const links = Object.values(stats.networks ?? {});
  const blocks = stats.blkio_stats.io_service_bytes_recursive ?? [];
  const moved = (operation: string): number =>
    sum(blocks.filter(({ op }) => op.toLowerCase() === operation).map(({ value }) => value));
  return {
    Container: stats.id,
    ID: whole ? stats.id : shortId(stats.id),
    Name: stats.name.replace(/^\//, ""),
    CPUPerc: percent(cpuPercent(stats)),
    MemUsage: `${binarySize(used)} / ${binarySize(limit)}`,
    MemPerc: percent(limit > 0 ? (used / limit) * 100 : 0),
    NetIO: `${humanSize(sum(links.map((link) => link.rx_bytes)))} / ${humanSize(sum(links.map((link) => link.tx_bytes)))}`,
    BlockIO: `${humanSize(moved("read"))} / ${humanSize(moved("write"))}`,
    PIDs: String(stats.pids_stats.current ?? 0),
  };
}

const CLEAR = "\u001b[H\u001b[2J";

export const stats: Command = async (words, context) => {
  const flags = parseFlags(words, {
    all: ["bool", "a"],
    format: ["text"],
    "no-stream": ["bool"],
    "no-trunc": ["bool"],
    history: ["bool"],
  });
  if (flags.bool("history")) {
    await printHistory(context.client, flags.args);
    return 0;
  }
  const { containers } = context.client;
  const whole = flags.bool("no-trunc");
  const format = flags.text("format");
  const named = async (): Promise<string[]> =>
    flags.args.length > 0
      ? flags.args
      : (await containers.list({ all: flags.bool("all") })).map(({ Id }) => Id);
  for (;;) {
    const ids = await named();
    const samples = await Promise.all(ids.map((id) => containers.stats(id)));
    if (!flags.bool("no-stream") && format === undefined) await print(CLEAR);
    await printRows(
      samples.map((sample) => row(sample, whole)),
      columns,
      format,
    );
    if (flags.bool("no-stream")) return 0;
  }
};
