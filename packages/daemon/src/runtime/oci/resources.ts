// Limits and device rules as an OCI configuration has them.
import type { BlockThrottle, CgroupLimits, DeviceRule } from "@tsd/kernel-bindings";
import type { OciDeviceRule, OciResources } from "../../api/oci-config.ts";

/** "c 1:3 rwm", read. */
function deviceRule(rule: DeviceRule): OciDeviceRule {
  const [type = "a", numbers = "*:*", access = "rwm"] = rule.split(" ");
  const [major, minor] = numbers.split(":").map((word) => (word === "*" ? undefined : Number(word)));
  return {
    allow: true,
    type,
    ...(major === undefined ? {} : { major }),
    ...(minor === undefined ? {} : { minor }),
    access,
  };
}

const deviceRules = (rules: readonly DeviceRule[] | "all"): OciDeviceRule[] =>
  rules === "all"
    ? [{ allow: true, access: "rwm" }]
    : [{ allow: false, access: "rwm" }, ...rules.map(deviceRule)];

/** The object without what is undefined; undefined when nothing is left. */
function filled<T extends object>(value: T): T | undefined {
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return entries.length > 0 ? (Object.fromEntries(entries) as T) : undefined;
}

function throttled(
  throttles: readonly BlockThrottle[],
  direction: BlockThrottle["direction"],
  unit: BlockThrottle["unit"],
): { major: number; minor: number; rate: number }[] | undefined {
  const found = throttles.filter((one) => one.direction === direction && one.unit === unit);
  return found.length > 0 ? found.map(({ major, minor, rate }) => ({ major, minor, rate })) : undefined;
}

export function ociResources(limits: CgroupLimits, rules: readonly DeviceRule[] | "all"): OciResources {
  const throttles = limits.blockThrottles ?? [];
  const weights = limits.blockWeights ?? [];
  return {
    devices: deviceRules(rules),
    ...filled({
      memory: filled({
        limit: limits.memory,
        swap: limits.memorySwap,
        reservation: limits.memoryReservation,
        swappiness: limits.memorySwappiness,
        kernelTCP: limits.tcpMemory,
        disableOOMKiller: limits.oomKillDisable || undefined,
      }),
      cpu: filled({
        shares: limits.cpuShares,
        quota: limits.cpuQuota,
        period: limits.cpuPeriod,
        realtimePeriod: limits.realtimePeriod,
        realtimeRuntime: limits.realtimeRuntime,
        cpus: limits.cpusetCpus,
        mems: limits.cpusetMems,
      }),
      hugepageLimits: limits.hugePages?.length
        ? limits.hugePages.map(({ size, limit }) => ({ pageSize: size, limit }))
        : undefined,
      network: filled({
        classID: limits.networkClass,
        priorities: limits.networkPriorities?.length ? [...limits.networkPriorities] : undefined,
      }),
      pids: limits.pids === undefined ? undefined : { limit: limits.pids },
      blockIO: filled({
        weight: limits.blockWeight,
        weightDevice:
          weights.length > 0
            ? weights.map(({ major, minor, weight }) => ({ major, minor, weight }))
            : undefined,
        throttleReadBpsDevice: throttled(throttles, "read", "bps"),
        throttleWriteBpsDevice: throttled(throttles, "write", "bps"),
        throttleReadIOPSDevice: throttled(throttles, "read", "iops"),
        throttleWriteIOPSDevice: throttled(throttles, "write", "iops"),
      }),
    }),
  };
}
