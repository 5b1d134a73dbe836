// Every resource flag of docker run and docker update, against this engine and a real dockerd (TSD_PEER_DOCKER_HOST): the same
// fields in inspect, the same refusals.
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

const peer = process.env.TSD_PEER_DOCKER_HOST ?? "";
const hasPeer = hasDocker && existsSync(peer.replace("unix://", ""));

let daemon: TestDaemon;
beforeAll(async () => {
  if (!hasPeer) return;
  daemon = await TestDaemon.start("resources");
  await daemon.importBusybox();
});
afterAll(async () => {
  if (hasPeer) await daemon.stop();
});

const fields = [
  "CpuShares",
  "Memory",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpusetCpus",
  "CpusetMems",
  "Devices",
  "DeviceCgroupRules",
  "DeviceRequests",
  "MemoryReservation",
  "MemorySwap",
  "MemorySwappiness",
  "OomKillDisable",
  "OomScoreAdj",
  "PidsLimit",
  "Ulimits",
  "ShmSize",
  "BlkioDeviceReadBps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteIOps",
];

/** Go tells nothing, none and no limit apart in ways that no client reads. */
const plain = (value: unknown): unknown =>
  value === null || value === 0 || value === false || (Array.isArray(value) && value.length === 0)
    ? null
    : value;

const creates: readonly string[] = [
  "-c 512",
  "-m 64m",
  "-m 64m --memory-swap 96m",
  "-m 64m --memory-swap -1",
  "-m 64m --memory-reservation 32m --memory-swappiness 10",
  "--cpus 0.5",
  "--cpu-period 50000 --cpu-quota 20000",
  "--cpuset-cpus 0 --cpuset-mems 0",
  "--pids-limit 50",
  "--pids-limit -1",
  "--oom-score-adj 500",
  "-m 64m --oom-kill-disable",
  "--shm-size 8m",
  "--ulimit nofile=100:200 --ulimit nproc=50",
  "--device /dev/null:/dev/xnull:r --device /dev/zero",
  "--device-cgroup-rule 'c 1:3 rwm'",
  "--device-read-bps /dev/loop0:1mb --device-write-bps /dev/loop0:2mb",
  "--device-read-iops /dev/loop0:100 --device-write-iops /dev/loop0:200",
  "--gpus all",
  "--gpus 2",
  `--gpus '"device=0,1"'`,
  "--device vendor.test/class=name",
  "--kernel-memory 50m",
  "--cpu-count 2 --cpu-percent 50",
  // Refused.
  "-m 1m",
  "-m 64m --memory-swap 32m",
  "--memory-swap 64m",
  "-m 64m --memory-reservation 128m",
  "-m 64m --memory-swappiness 101",
  "--cpus 200",
  "--cpus 0.5 --cpu-quota 1000",
  "--cpu-period 10",
  "--cpu-quota 10",
  "--cpuset-cpus 99",
  "--cpuset-cpus x",
  "--oom-score-adj 2000",
  "--device-cgroup-rule nonsense",
  "--io-maxbandwidth 1m",
  "--io-maxiops 10",
  "--device-write-bps /dev/nosuch:1mb",
];
const updates: readonly string[] = [
  "-c 300",
  "-m 128m --memory-swap 256m",
  "--cpus 1",
  "--cpuset-cpus 1",
  "--pids-limit 70",
  "--memory-reservation 32m",
  "--restart on-failure:3",
  "-m 1m",
  "--cpus 100",
  "--cpuset-cpus 77",
  "--cpu-quota 10",
];

async function outcome(
  host: string,
  script: string,
): Promise<{ view: Record<string, unknown>; said: string }> {
  const env = { DOCKER_HOST: host };
  const full = `id=$(docker create ${script.includes("&&") ? "" : script} busybox sleep 60 2>/tmp/said.$$) || { cat /tmp/said.$$; rm /tmp/said.$$; exit 0; }
${script.includes("&&") ? script.replace("&&", "") : ""}
docker inspect -f '{{json .HostConfig}}' $id; cat /tmp/said.$$ | head -0; rm -f /tmp/said.$$; docker rm -f $id >/dev/null`;
  const { stdout, stderr } = await run("sh", ["-c", full], { env });
  const line = stdout.split("\n").find((one) => one.startsWith("{"));
  const config = line ? (JSON.parse(line) as Record<string, unknown>) : {};
  const said = `${stdout.replace(line ?? "", "")}${stderr}`
    .replace(/[0-9a-f]{64}/g, "ID")
    .replace(/WARNING.*\n/g, "");
  return {
    view: Object.fromEntries(fields.map((field) => [field, plain(config[field])])),
    said: said.trim(),
  };
}

describe.skipIf(!hasPeer)("resource flags against both", () => {
  for (const flags of creates)
    it(`docker create ${flags}`, async () => {
      const [ours, theirs] = [await outcome(daemon.host, flags), await outcome(peer, flags)];
      expect(ours).toEqual(theirs);
    });
  for (const flags of updates)
    it(`docker update ${flags}`, async () => {
      const script = `&& docker update ${flags} $id`;
      const [ours, theirs] = [await outcome(daemon.host, script), await outcome(peer, script)];
      expect(ours).toEqual(theirs);
    });
});
