// What a control group has used: one vocabulary for versions 1 and 2.
import { keyedNumbers, numberIn, numbersIn } from "./files.ts";
import { type ReadNumber, type ReadText, readIfThere } from "./kept-files.ts";

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
    perProcessor: number[] | undefined;
    throttling: { periods: number; throttledPeriods: number; throttledTime: number };
  };
  memory: {
    usage: number;
    maximumUsage: number | undefined;
    failures: number | undefined;
    limit: number | undefined;
    details: Record<string, number>;
  };
  pids: { current: number; limit: number | undefined };
  block: { bytes: BlockStatistic[]; operations: BlockStatistic[] };
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

/** How usage is read: texts, and files that are one number. */
export interface UsageReader {
  read: ReadText;
  number: ReadNumber;
}
const anew: UsageReader = { read: readIfThere, number: (file) => numberIn(file) };

export function usageV1(
  directory: (controller: string) => string,
  { read, number }: UsageReader = anew,
): CgroupUsage {
  const block = blockV1(read(`${directory("blkio")}/blkio.throttle.io_service_bytes_recursive`));
  return {
    cpu: number(`${directory("cpuacct")}/cpuacct.usage`) ?? 0,
    memory: number(`${directory("memory")}/memory.usage_in_bytes`) ?? 0,
    processes: number(`${directory("pids")}/pids.current`) ?? 0,
    read: moved(block, "read"),
    written: moved(block, "write"),
  };
}

export function usageV2(directory: string, { read, number }: UsageReader = anew): CgroupUsage {
  const block = blockV2(read(`${directory}/io.stat`), { rbytes: "read", wbytes: "write" });
  return {
    cpu: (keyedNumbers(`${directory}/cpu.stat`, read).usage_usec ?? 0) * 1000,
    memory: number(`${directory}/memory.current`) ?? 0,
    processes: number(`${directory}/pids.current`) ?? 0,
    read: moved(block, "read"),
    written: moved(block, "write"),
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

/** `directory` finds a controller's directory of the group. */
export function statisticsV1(
  directory: (controller: string) => string,
  read: ReadText = readIfThere,
): CgroupStatistics {
  const file = (controller: string, name: string): string => `${directory(controller)}/${name}`;
  const ticks = keyedNumbers(file("cpuacct", "cpuacct.stat"), read);
  const throttling = keyedNumbers(file("cpu", "cpu.stat"), read);
  const limit = numberIn(file("memory", "memory.limit_in_bytes"), read);
  const perProcessor = read(file("cpuacct", "cpuacct.usage_percpu")).trim().split(" ").map(Number);
  return {
    cpu: {
      total: perProcessor.reduce((sum, time) => sum + time, 0), // what cpuacct.usage says
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
      usage: numberIn(file("memory", "memory.usage_in_bytes"), read) ?? 0,
      maximumUsage: numberIn(file("memory", "memory.max_usage_in_bytes"), read),
      failures: numberIn(file("memory", "memory.failcnt"), read),
      // Without a limit the file holds the largest multiple of a page.
      limit: limit !== undefined && limit < 2 ** 62 ? limit : undefined,
      details: keyedNumbers(file("memory", "memory.stat"), read),
    },
    pids: {
      current: numberIn(file("pids", "pids.current"), read) ?? 0,
      limit: numberIn(file("pids", "pids.max"), read),
    },
    block: {
      bytes: blockV1(read(file("blkio", "blkio.throttle.io_service_bytes_recursive"))),
      operations: blockV1(read(file("blkio", "blkio.throttle.io_serviced_recursive"))),
    },
  };
}

/** Lines of "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …" (version 2). */
function blockV2(text: string, kinds: Readonly<Record<string, string>>): BlockStatistic[] {
  return text.split("\n").flatMap((line) => {
    const [device = "", ...pairs] = line.split(" ");
    const [major, minor] = device.split(":").map(Number);
    return pairs.flatMap((pair) => {
      const [key = "", value] = pair.split("=");
      const operation = kinds[key];
      return operation && major !== undefined && minor !== undefined
        ? [{ major, minor, operation, value: Number(value) }]
        : [];
    });
  });
}

export function statisticsV2(directory: string, read: ReadText = readIfThere): CgroupStatistics {
  const file = (name: string): string => `${directory}/${name}`;
  const cpu = keyedNumbers(file("cpu.stat"), read);
  const io = read(file("io.stat"));
  const microseconds = (key: string): number => (cpu[key] ?? 0) * 1000;
  return {
    cpu: {
      total: microseconds("usage_usec"),
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
      usage: numberIn(file("memory.current"), read) ?? 0,
      maximumUsage: undefined,
      failures: undefined,
      limit: numberIn(file("memory.max"), read),
      details: keyedNumbers(file("memory.stat"), read),
    },
    pids: { current: numbersIn(file("pids.current"), read)[0] ?? 0, limit: numberIn(file("pids.max"), read) },
    block: {
      bytes: blockV2(io, { rbytes: "read", wbytes: "write" }),
      operations: blockV2(io, { rios: "read", wios: "write" }),
    },
  };
}
