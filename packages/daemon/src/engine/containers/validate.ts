// What dockerd checks of a create request before anything is made, with its words.
import { existsSync } from "node:fs";
import { availableParallelism, uptime } from "node:os";
import type { ContainerCreate, HostConfig } from "../../api/schemas/container-create.ts";
import { ambientCapabilities, containerCapabilities } from "../../runtime/capabilities.ts";
import { isDeviceRule } from "../../runtime/devices.ts";
import { SpecificationError } from "../../runtime/errors.ts";
import { parseSecurityOptions } from "../../runtime/security.ts";
import { EngineError, invalid } from "../errors.ts";
import { signalNumber } from "../signals.ts";
import { validateHealthcheck } from "./health.ts";

export const logDrivers = ["json-file", "local", "syslog", "journald", "none"];

const MINIMUM_MEMORY = 6 << 20;

/** Runs a check of the runtime's, turning its refusal into the engine's. */
export function specifying<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof SpecificationError)
      throw new EngineError(error.kind, error.message, { cause: error });
    throw error;
  }
}

function checkMode(kind: string, mode: string, words: readonly string[]): void {
  if (words.includes(mode) || /^container:./.test(mode)) return;
  throw invalid(`invalid ${kind} mode: ${mode}`);
}

/** Numbers in a list such as "0-2,4", or undefined when it is malformed. */
export function parseNumberList(text: string): number[] | undefined {
  const numbers: number[] = [];
  for (const part of text.split(",")) {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (!range) return undefined;
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    if (last < first || last > 8191) return undefined;
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers;
}

function checkCpuset(kind: "cpus" | "mems", requested: string, available: string): void {
  if (!requested) return;
  const numbers = parseNumberList(requested);
  if (!numbers) throw invalid(`Invalid value ${requested} for cpuset ${kind}: invalid format: ${requested}`);
  const there = new Set(parseNumberList(available) ?? []);
  const name = kind === "cpus" ? "CPUs" : "memory nodes";
  if (numbers.some((number) => !there.has(number)))
    throw invalid(`Requested ${name} are not available - requested ${requested}, available: ${available}`);
}

const throttleFields = [
  "BlkioDeviceReadBps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteIOps",
] as const;

/** Throws for limits that can't be, or not together. */
export function checkResources(host: HostConfig): void {
  const cpus = availableParallelism();
  if (host.Memory !== 0 && host.Memory < MINIMUM_MEMORY) throw invalid("Minimum memory limit allowed is 6MB");
  if (host.Memory > 0 && host.MemorySwap > 0 && host.MemorySwap < host.Memory)
    throw invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (host.Memory === 0 && host.MemorySwap > 0)
    throw invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (host.MemorySwappiness !== null && (host.MemorySwappiness < -1 || host.MemorySwappiness > 100))
    throw invalid(`Invalid value: ${host.MemorySwappiness}, valid memory swappiness range is 0-100`);
  if (host.MemoryReservation > 0 && host.MemoryReservation < MINIMUM_MEMORY)
    throw invalid("Minimum memory reservation allowed is 6MB");
  if (host.Memory > 0 && host.MemoryReservation > host.Memory)
    throw invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
  if (host.BlkioWeight !== 0 && (host.BlkioWeight < 10 || host.BlkioWeight > 1000))
    throw invalid("Range of blkio weight is from 10 to 1000");
  for (const { Path, Weight } of host.BlkioWeightDevice ?? [])
    if (Weight < 10 || Weight > 1000)
      throw invalid(`BlkioWeightDevice ${Path}: range of blkio weight is from 10 to 1000`);
  for (const field of throttleFields)
    for (const { Path, Rate } of host[field] ?? [])
      if (Rate < 0) throw invalid(`${field} ${Path}: a rate can't be less than 0`);
  if (host.CpuRealtimePeriod !== 0 && host.CpuRealtimeRuntime > host.CpuRealtimePeriod)
    throw invalid("cpu real-time runtime cannot be higher than cpu real-time period");
  if (host.NanoCpus > 0 && (host.CpuPeriod > 0 || host.CpuQuota > 0))
    throw invalid(
      `Conflicting options: Nano CPUs and CPU ${host.CpuPeriod > 0 ? "Period" : "Quota"} cannot both be set`,
    );
  if (host.NanoCpus < 0 || host.NanoCpus > cpus * 1e9)
    throw invalid(`Range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  if (host.CpuPeriod !== 0 && (host.CpuPeriod < 1000 || host.CpuPeriod > 1_000_000))
    throw invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (host.CpuQuota > 0 && host.CpuQuota < 1000)
    throw invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  checkCpuset("cpus", host.CpusetCpus, cpus > 1 ? `0-${cpus - 1}` : "0");
  checkCpuset("mems", host.CpusetMems, "0");
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000)
    throw invalid(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  if (host.ShmSize < 0) throw invalid("SHM size can not be less than 0");
}

const restartPolicies = ["", "no", "always", "on-failure", "unless-stopped"];

/** Throws for a restart policy that there is none of, or that contradicts itself. */
export function checkRestartPolicy(host: HostConfig): void {
  const { Name, MaximumRetryCount } = host.RestartPolicy;
  if (!restartPolicies.includes(Name))
    throw invalid(
      `invalid restart policy: unknown policy '${Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  if (MaximumRetryCount < 0) throw invalid("invalid restart policy: maximum retry count cannot be negative");
  if (MaximumRetryCount > 0 && Name !== "on-failure")
    throw invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'");
  if (host.AutoRemove && Name !== "" && Name !== "no")
    throw invalid("can't create 'AutoRemove' container with restart policy");
}

/** Throws what dockerd answers for a request that is wrong in itself. */
export function validateCreate(request: ContainerCreate): void {
  const host = request.HostConfig;
  if (request.WorkingDir && !request.WorkingDir.startsWith("/"))
    throw invalid(
      `the working directory '${request.WorkingDir}' is invalid, it needs to be an absolute path`,
    );
  for (const variable of request.Env ?? [])
    if (variable === "" || variable.startsWith("="))
      throw invalid(`invalid environment variable: ${variable}`);
  for (const text of [...(request.Env ?? []), ...(request.Cmd ?? []), ...(request.Entrypoint ?? [])])
    if (text.includes("\0")) throw invalid("invalid argument: a string contains NUL");
  if (request.StopSignal) signalNumber(request.StopSignal);
  if (request.StopTimeout !== null && request.StopTimeout < -1)
    throw invalid(`invalid StopTimeout: ${request.StopTimeout}`);
  if (host.LogConfig.Type && !logDrivers.includes(host.LogConfig.Type))
    throw invalid(
      `error looking up logging plugin ${host.LogConfig.Type}: plugin "${host.LogConfig.Type}" not found`,
    );
  checkMode("PID", host.PidMode, ["", "host"]);
  checkMode("IPC", host.IpcMode, ["", "private", "shareable", "host", "none"]);
  if (!["", "host"].includes(host.UTSMode)) throw invalid(`invalid UTS mode: ${host.UTSMode}`);
  if (!["", "private", "host"].includes(host.CgroupnsMode))
    throw invalid(`invalid cgroup namespace mode: ${host.CgroupnsMode}`);
  if ("" in host.Annotations)
    throw invalid("invalid Annotations: the empty string is not permitted as an annotation key");
  checkTimeOffset(host.TimeOffset);
  if (!["", "application", "system"].includes(host.Type))
    throw invalid(`invalid HostConfig.Type: ${host.Type}: neither application nor system`);
  validateHealthcheck(request.Healthcheck);
  checkResources(host);
  checkRestartPolicy(host);
  specifying(() => {
    ambientCapabilities(
      host.CapAmbient ?? [],
      containerCapabilities({
        privileged: host.Privileged,
        add: host.CapAdd ?? [],
        drop: host.CapDrop ?? [],
      }),
    );
    parseSecurityOptions(host.SecurityOpt ?? [], host.Privileged);
  });
  checkSysctls(host);
  checkDeviceRules(host.DeviceCgroupRules ?? []);
}

/** Throws for a rule that is none. */
export function checkDeviceRules(rules: readonly string[]): void {
  for (const rule of rules)
    if (!isDeviceRule(rule)) throw invalid(`invalid device cgroup rule format: '${rule}'`);
}

/** What the kernel takes is far more; nobody is ahead by more than a century. */
const MAXIMUM_OFFSET = 100 * 366 * 86_400;

function checkTimeOffset(offset: HostConfig["TimeOffset"]): void {
  if (!offset) return;
  if (!existsSync("/proc/self/ns/time")) throw invalid("TimeOffset: this kernel has no time namespaces");
  for (const [clock, seconds] of Object.entries(offset))
    if (seconds > MAXIMUM_OFFSET || seconds < -uptime())
      throw invalid(
        `invalid TimeOffset.${clock}: ${seconds}: from -${Math.floor(uptime())} (a clock can't be before its start) to ${MAXIMUM_OFFSET} seconds`,
      );
}

const ipcSysctls = [
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
];

/** Only what a namespace of the container's own holds may be set. */
function checkSysctls(host: HostConfig): void {
  for (const name of Object.keys(host.Sysctls)) {
    const ipc = ipcSysctls.includes(name) || name.startsWith("fs.mqueue.");
    const network = name.startsWith("net.");
    if (!/^[a-z0-9_.-]+$/i.test(name) || name.includes("..") || (!ipc && !network))
      throw invalid(`sysctl "${name}" is not in a separate kernel namespace`);
    if (ipc && host.IpcMode === "host") throw invalid(`sysctl "${name}" not allowed in host ipc namespace`);
    if (network && host.NetworkMode === "host")
      throw invalid(`sysctl "${name}" not allowed in host network namespace`);
  }
}
