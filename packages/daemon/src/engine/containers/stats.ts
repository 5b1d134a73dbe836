// What a container uses, as GET /containers/{id}/stats tells it.
import { availableParallelism, totalmem } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import {
  type BlockStatistic,
  type CgroupStatistics,
  type FileReader,
  KeptFiles,
  openedAnew,
} from "@tsd/kernel-bindings";
import type { Runtime } from "../../runtime/runtime.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import { now, zeroTime } from "../timestamps.ts";
import type { Container } from "./registry.ts";

const SECOND = 1000;
const NANOSECONDS_PER_TICK = 1e7;

export interface StatsSources {
  runtime: Runtime;
  layers: WritableLayers;
}

/** What the whole host has: its processors' time in nanoseconds, their number, and bytes of memory. */
interface Host {
  at: number;
  time: number;
  memory: number;
  processors: number;
}

export interface Sample {
  read: string;
  statistics: CgroupStatistics;
  host: Host;
  /** JSON of the fields of the processors' part but the host's, and of all other parts: the same for as long as nothing is done,
   * and text is nothing that a collection has to go through. */
  cpu: string;
  others: string;
}

/** The processors' time altogether: user, nice, system, idle, iowait, irq, softirq, steal (proc(5), /proc/stat). */
function processorTicks(text: string): { all: number } {
  const [, ...ticks] = (text.split("\n", 1)[0] ?? "").trim().split(/\s+/);
  return { all: ticks.slice(0, 8).reduce((sum, tick) => sum + Number(tick), 0) };
}

/** The kernel counts in ticks: for so many milliseconds one look is good for all. */
const SAME_TICK = 5;
const processors = new KeptFiles();
let looked: Host = { at: Number.NEGATIVE_INFINITY, time: 0, memory: 0, processors: 0 };

function host(): Host {
  const at = performance.now();
  if (at - looked.at < SAME_TICK) return looked;
  const time = processors.parsed("/proc/stat", processorTicks).all * NANOSECONDS_PER_TICK;
  looked = { at, time, memory: totalmem(), processors: availableParallelism() };
  return looked;
}

export interface InterfaceCounters {
  rx_bytes: number;
  rx_packets: number;
  rx_errors: number;
  rx_dropped: number;
  tx_bytes: number;
  tx_packets: number;
  tx_errors: number;
  tx_dropped: number;
}

export type Interfaces = Record<string, InterfaceCounters>;

/** Tunnels that some kernels put into each namespace have nothing to do with the container. */
function interfacesIn(text: string): Interfaces {
  const found: Interfaces = {};
  for (const [, name = "", counts = ""] of text.matchAll(/^ *(eth\d+): *(.*?) *$/gm)) {
    const at = counts.split(/ +/).map(Number);
    found[name] = {
      rx_bytes: at[0] ?? 0,
      rx_packets: at[1] ?? 0,
      rx_errors: at[2] ?? 0,
      rx_dropped: at[3] ?? 0,
      tx_bytes: at[8] ?? 0,
      tx_packets: at[9] ?? 0,
      tx_errors: at[10] ?? 0,
      tx_dropped: at[11] ?? 0,
    };
  }
  return found;
}

/** Counters of the interfaces in a process's network namespace but the loopback (proc(5), /proc/pid/net/dev); none of a process
 * that has just ended. A reader that keeps the file open keeps the namespace: it has to let go of it when the process ends. */
export function interfaceCounters(pid: number, reader: FileReader = openedAnew): Readonly<Interfaces> {
  try {
    return reader.parsed(`/proc/${pid}/net/dev`, interfacesIn);
  } catch (error) {
    if (["ESRCH", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "")) return {};
    throw error;
  }
}

/** JSON of an object's fields. */
const fields = (value: object): string => JSON.stringify(value).slice(1, -1);

const block = (entries: readonly BlockStatistic[]): object[] =>
  entries.map(({ major, minor, operation, value }) => ({ major, minor, op: operation, value }));

function cpuFields({ cpu }: CgroupStatistics): string {
  return fields({
    cpu_usage: {
      total_usage: cpu.total,
      ...(cpu.perProcessor ? { percpu_usage: cpu.perProcessor } : {}),
      usage_in_kernelmode: cpu.system,
      usage_in_usermode: cpu.user,
    },
    throttling_data: {
      periods: cpu.throttling.periods,
      throttled_periods: cpu.throttling.throttledPeriods,
      throttled_time: cpu.throttling.throttledTime,
    },
  });
}

/** Of a container that does not run. */
const noCpu = JSON.stringify({
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
});
const cpuText = (taken: Sample | undefined): string =>
  taken
    ? `{${taken.cpu},"system_cpu_usage":${taken.host.time},"online_cpus":${taken.host.processors}}`
    : noCpu;

const noOthers = fields({
  pids_stats: {},
  blkio_stats: {
    io_service_bytes_recursive: null,
    io_serviced_recursive: null,
    io_queue_recursive: null,
    io_service_time_recursive: null,
    io_wait_time_recursive: null,
    io_merged_recursive: null,
    io_time_recursive: null,
    sectors_recursive: null,
  },
  num_procs: 0,
  storage_stats: {},
  memory_stats: {},
});

/** What a container uses now; undefined of one that does not run. `reader` and `before` are for those who ask again and again: a
 * container that has used no processor time since `before` is not looked at any further (Cgroups). */
export async function sample(
  container: Container,
  { runtime, layers }: StatsSources,
  reader?: FileReader,
  before?: Sample,
): Promise<Sample | undefined> {
  if (!container.alive) return undefined;
  const { definition, state } = container.record;
  const cgroup = runtime.cgroupOf(container.id, definition.hostConfig.CgroupParent);
  const statistics = runtime.cgroups.statistics(cgroup, reader, before?.statistics);
  const read = now();
  if (before?.statistics === statistics)
    return { read, statistics, host: host(), cpu: before.cpu, others: before.others };
  const storage = await layers.usage(container.id);
  const { memory, pids } = statistics;
  const own = !["host", "none"].includes(definition.hostConfig.NetworkMode);
  const others = {
    pids_stats: { current: pids.current, ...(pids.limit === undefined ? {} : { limit: pids.limit }) },
    blkio_stats: {
      io_service_bytes_recursive: block(statistics.block.bytes),
      io_serviced_recursive: block(statistics.block.operations),
      io_queue_recursive: [],
      io_service_time_recursive: [],
      io_wait_time_recursive: [],
      io_merged_recursive: [],
      io_time_recursive: [],
      sectors_recursive: [],
    },
    num_procs: 0,
    storage_stats: storage ?? {},
    memory_stats: {
      usage: memory.usage,
      ...(memory.maximumUsage === undefined ? {} : { max_usage: memory.maximumUsage }),
      stats: memory.details,
      ...(memory.failures ? { failcnt: memory.failures } : {}),
      limit: memory.limit ?? host().memory,
    },
    ...(own ? { networks: interfaceCounters(state.pid, reader) } : {}),
  };
  return { read, statistics, host: host(), cpu: cpuFields(statistics), others: fields(others) };
}

/** The body, as JSON: names and times have nothing in them that it would write otherwise. */
export function statsText(
  container: Container,
  present: Sample | undefined,
  previous: Sample | undefined,
): string {
  const times = `"read":"${present?.read ?? zeroTime}","preread":"${previous?.read ?? zeroTime}"`;
  const cpu = `"cpu_stats":${cpuText(present)},"precpu_stats":${cpuText(previous)}`;
  return `{${times},${cpu},${present?.others ?? noOthers},"name":"/${container.name}","id":"${container.id}"}`;
}

/** One sample; after two of them, a second apart, unless `oneShot`. */
export async function singleStats(
  container: Container,
  sources: StatsSources,
  oneShot: boolean,
): Promise<string> {
  const first = await sample(container, sources);
  if (oneShot || !first) return statsText(container, first, undefined);
  await delay(SECOND);
  return statsText(container, await sample(container, sources), first);
}
