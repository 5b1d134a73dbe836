// What a control group has used: one vocabulary for versions 1 and 2.
import { keyedNumbers } from "./files.ts";
import { type FileReader, openedAnew } from "./kept-files.ts";

export interface BlockStatistic {
  major: number;
  minor: number;
  operation: string;
  value: number;
}

/** Times in nanoseconds, sizes in bytes; undefined where this kernel does not count it. */
export interface CgroupStatistics {
  cpu: {
    total: number;
    user: number;
    system: number;
    /** Version 1 only. */
    perProcessor: readonly number[] | undefined;
    throttling: { periods: number; throttledPeriods: number; throttledTime: number };
  };
  memory: {
    usage: number;
    maximumUsage: number | undefined;
    failures: number | undefined;
    limit: number | undefined;
    details: Readonly<Record<string, number>>;
  };
  pids: { current: number; limit: number | undefined };
  block: { readonly bytes: readonly BlockStatistic[]; readonly operations: readonly BlockStatistic[] };
}

/** What a group has used, in the least reads. */
export interface CgroupUsage {
  /** Nanoseconds. */
  cpu: number;
  /** Bytes. */
  memory: number;
  processes: number;
  read: number;
  written: number;
}

const moved = (block: readonly BlockStatistic[], wanted: string): number =>
  block.reduce((sum, { operation, value }) => sum + (operation === wanted ? value : 0), 0);

/** With `before`, which was read earlier: a group that has used no processor time since has done nothing else, and is not looked
 * at any further. What others do to it, such as taking its memory back, is not seen then. */
export function usageV1(
  directory: (controller: string) => string,
  reader: FileReader = openedAnew,
  before?: CgroupUsage,
): CgroupUsage {
  const cpu = reader.number(`${directory("cpuacct")}/cpuacct.usage`) ?? 0;
  if (cpu === before?.cpu) return before;
  const block = reader.parsed(`${directory("blkio")}/blkio.throttle.io_service_bytes_recursive`, blockV1);
  return {
    cpu,
    memory: reader.number(`${directory("memory")}/memory.usage_in_bytes`) ?? 0,
    processes: reader.number(`${directory("pids")}/pids.current`) ?? 0,
    read: moved(block, "read"),
    written: moved(block, "write"),
  };
}

/** `before` as in version 1. */
export function usageV2(
  directory: string,
  reader: FileReader = openedAnew,
  before?: CgroupUsage,
): CgroupUsage {
  const cpu = (reader.parsed(`${directory}/cpu.stat`, keyedNumbers).usage_usec ?? 0) * 1000;
  if (cpu === before?.cpu) return before;
  const { bytes } = reader.parsed(`${directory}/io.stat`, blockV2);
  return {
    cpu,
    memory: reader.number(`${directory}/memory.current`) ?? 0,
    processes: reader.number(`${directory}/pids.current`) ?? 0,
    read: moved(bytes, "read"),
    written: moved(bytes, "write"),
  };
}

const USER_HERTZ = 100;
const NANOSECONDS_PER_TICK = 1e9 / USER_HERTZ;

/** Lines of "8:0 Read 4096" (version 1). */
function blockV1(text: string): BlockStatistic[] {
  if (text === "" || text.startsWith("Total")) return [];
  return text.split("\n").flatMap((line) => {
    const match = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line);
    if (!match) return [];
    return [
      {
        major: Number(match[1]),
        minor: Number(match[2]),
        operation: (match[3] ?? "").toLowerCase(),
        value: Number(match[4]),
      },
    ];
  });
}

const numbersOf = (text: string): number[] => text.trim().split(" ").map(Number);

/** `directory` finds a controller's directory of the group; `before` as with its usage. */
export function statisticsV1(
  directory: (controller: string) => string,
  reader: FileReader = openedAnew,
  before?: CgroupStatistics,
): CgroupStatistics {
  const file = (controller: string, name: string): string => `${directory(controller)}/${name}`;
  const perProcessor = reader.parsed(file("cpuacct", "cpuacct.usage_percpu"), numbersOf);
  const total = perProcessor.reduce((sum, time) => sum + time, 0); // what cpuacct.usage says
  if (total === before?.cpu.total) return before;
  const ticks = reader.parsed(file("cpuacct", "cpuacct.stat"), keyedNumbers);
  const throttling = reader.parsed(file("cpu", "cpu.stat"), keyedNumbers);
  const limit = reader.number(file("memory", "memory.limit_in_bytes"));
  return {
    cpu: {
      total,
      user: (ticks.user ?? 0) * NANOSECONDS_PER_TICK,
      system: (ticks.system ?? 0) * NANOSECONDS_PER_TICK,
      perProcessor,
      throttling: {
        periods: throttling.nr_periods ?? 0,
        throttledPeriods: throttling.nr_throttled ?? 0,
        throttledTime: throttling.throttled_time ?? 0,
      },
    },
    memory: {
      usage: reader.number(file("memory", "memory.usage_in_bytes")) ?? 0,
      maximumUsage: reader.number(file("memory", "memory.max_usage_in_bytes")),
      failures: reader.number(file("memory", "memory.failcnt")),
      // Without a limit the file holds the largest multiple of a page.
      limit: limit !== undefined && limit < 2 ** 62 ? limit : undefined,
      details: reader.parsed(file("memory", "memory.stat"), keyedNumbers),
    },
    pids: {
      current: reader.number(file("pids", "pids.current")) ?? 0,
      limit: reader.number(file("pids", "pids.max")),
    },
    block: {
      bytes: reader.parsed(file("blkio", "blkio.throttle.io_service_bytes_recursive"), blockV1),
      operations: reader.parsed(file("blkio", "blkio.throttle.io_serviced_recursive"), blockV1),
    },
  };
}

/** Lines of "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …" (version 2). */
function blockV2(text: string): CgroupStatistics["block"] {
  const block: { bytes: BlockStatistic[]; operations: BlockStatistic[] } = { bytes: [], operations: [] };
  const kinds: Readonly<Record<string, [BlockStatistic[], string]>> = {
    rbytes: [block.bytes, "read"],
    wbytes: [block.bytes, "write"],
    rios: [block.operations, "read"],
    wios: [block.operations, "write"],
  };
  for (const line of text.split("\n")) {
    const [device = "", ...pairs] = line.split(" ");
    const [major, minor] = device.split(":").map(Number);
    if (major === undefined || minor === undefined) continue;
    for (const pair of pairs) {
      const [key = "", value] = pair.split("=");
      const [list, operation] = kinds[key] ?? [];
      if (list && operation) list.push({ major, minor, operation, value: Number(value) });
    }
  }
  return block;
}

export function statisticsV2(
  directory: string,
  reader: FileReader = openedAnew,
  before?: CgroupStatistics,
): CgroupStatistics {
  const file = (name: string): string => `${directory}/${name}`;
  const cpu = reader.parsed(file("cpu.stat"), keyedNumbers);
  const microseconds = (key: string): number => (cpu[key] ?? 0) * 1000;
  const total = microseconds("usage_usec");
  if (total === before?.cpu.total) return before;
  return {
    cpu: {
      total,
      user: microseconds("user_usec"),
      system: microseconds("system_usec"),
      perProcessor: undefined,
      throttling: {
        periods: cpu.nr_periods ?? 0,
        throttledPeriods: cpu.nr_throttled ?? 0,
        throttledTime: microseconds("throttled_usec"),
      },
    },
    memory: {
      usage: reader.number(file("memory.current")) ?? 0,
      maximumUsage: undefined,
      failures: undefined,
      limit: reader.number(file("memory.max")),
      details: reader.parsed(file("memory.stat"), keyedNumbers),
    },
    pids: { current: reader.number(file("pids.current")) ?? 0, limit: reader.number(file("pids.max")) },
    block: reader.parsed(file("io.stat"), blockV2),
  };
}
