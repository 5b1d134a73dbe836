// What the daemon's own settings give containers: default limits, and devices by name (CDI).
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

describe("defaults of the daemon", () => {
  it("hold for containers that ask for nothing else", async () => {
    const flags = [
      "--default-pids-limit",
      "77",
      "--default-ulimit",
      "nofile=100:200",
      "--default-shm-size",
      "8m",
    ];
    const strict = await TestDaemon.start("defaults", undefined, { flags });
    try {
      await strict.importBusybox();
      const script = "ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1; sleep 60";
      const id = (await strict.tsctl("run", "-d", "busybox", "sh", "-c", script)).stdout.trim();
      await eventually("it has said so", async () =>
        (await strict.tsctl("logs", id)).stdout.includes("/dev/shm"),
      );
      expect((await strict.tsctl("logs", id)).stdout).toMatch(/^100\n200\n\S+ +8192 /);
      const stats = await strict.api("GET", `/containers/${id}/stats?stream=0&one-shot=1`);
      expect(JSON.parse(stats.text)).toMatchObject({ pids_stats: { limit: 77 } });
      const own = ["--pids-limit", "-1", "--ulimit", "nofile=50", "--shm-size", "4m"];
      const other = (await strict.tsctl("run", "-d", ...own, "busybox", "sh", "-c", script)).stdout.trim();
      await eventually("it has said so", async () =>
        (await strict.tsctl("logs", other)).stdout.includes("/dev/shm"),
      );
      expect((await strict.tsctl("logs", other)).stdout).toMatch(/^50\n50\n\S+ +4096 /);
      const asked = JSON.parse((await strict.api("GET", `/containers/${other}/json`)).text) as {
        HostConfig: { PidsLimit: number | null; ShmSize: number };
      };
      expect(asked.HostConfig).toMatchObject({ PidsLimit: null, ShmSize: 4 << 20 });
    } finally {
      await strict.stop();
    }
  });
});

describe("devices by name", () => {
  it("are given by their specifications, and by nothing else", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tsd-cdi-"));
    writeFileSync(
      join(folder, "vendor.json"),
      JSON.stringify({
        cdiVersion: "0.6.0",
        kind: "vendor.test/thing",
        devices: [
          {
            name: "one",
            containerEdits: {
              env: ["THING=one"],
              deviceNodes: [{ path: "/dev/thing", hostPath: "/dev/loop7", permissions: "r" }],
              mounts: [{ hostPath: folder, containerPath: "/thing", options: ["ro"] }],
            },
          },
        ],
      }),
    );
    const named = await TestDaemon.start("cdi", undefined, { flags: ["--cdi-spec-dir", folder] });
    try {
      await named.importBusybox();
      const script = "echo $THING; ls /thing; dd if=/dev/thing count=0 2>&1; dd of=/dev/thing count=0 2>&1";
      const words = ["run", "--rm", "--device", "vendor.test/thing=one", "busybox", "sh", "-c", script];
      for (const client of [named.tsctl(...words), ...(hasDocker ? [named.docker(...words)] : [])]) {
        const { stdout } = await client;
        expect(stdout).toMatch(/^one\nvendor\.json\n0\+0 records in\n0\+0 records out\ndd: can't open/);
      }
      const missing = await named.tsctl(
        "run",
        "--rm",
        "--device",
        "vendor.test/thing=two",
        "busybox",
        "true",
      );
      expect(missing.stderr).toContain("unresolvable CDI devices vendor.test/thing=two");
      const gpus = await named.tsctl("run", "--rm", "--gpus", "all", "busybox", "true");
      expect(gpus.stderr).toContain('could not select device driver "" with capabilities: [[gpu]]');
      const devices = [{ Source: "cdi", ID: "vendor.test/thing=one" }];
      expect(JSON.parse((await named.api("GET", "/info")).text)).toMatchObject({
        DiscoveredDevices: devices,
      });
      expect((await named.api("GET", "/v1.49/info")).text).not.toContain("DiscoveredDevices");
    } finally {
      await named.stop();
      rmSync(folder, { recursive: true });
    }
  });
});
