// Docker's SDK for Python, unchanged: what scripts do with it all day (sdk.py), with the answers that dockerd 26.1 gives.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output, run } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

/** Debian's own, whichever python3 comes first in the path. */
const PYTHON = "/usr/bin/python3";
const hasSdk = (await run(PYTHON, ["-c", "import docker"]).catch(() => undefined))?.status === 0;

describe.skipIf(!hasSdk)("Docker's SDK for Python", () => {
  let daemon: TestDaemon;
  beforeAll(async () => {
    daemon = await TestDaemon.start("python");
    await daemon.importBusybox();
  });
  afterAll(async () => {
    await daemon.clear();
    const leaks = await daemon.lastingLeaks();
    await daemon.stop();
    expect(leaks).toEqual([]);
  });

  it("works as with dockerd", async () => {
    const directory = join(daemon.root, "bound");
    mkdirSync(directory);
    writeFileSync(join(directory, "note"), "noted\n");
    const script = join(import.meta.dirname, "sdk.py");
    const env = { DOCKER_HOST: daemon.host };
    expect(JSON.parse(await output(PYTHON, [script, directory], { env }))).toEqual({
      ping: true,
      version: true,
      info: "linux",
      run: "out\n",
      both: "out\nerr\n",
      failed: [3, "no\n"],
      missing: 404,
      lines: ["1\n", "2\n", "3\n"],
      status: "running",
      limits: [64 << 20, 500_000_000, 50],
      port: "127.0.0.1",
      exec: [0, "1\npy\n/tmp\n100\nnoted\n"],
      demultiplexed: [4, "o\n", "e\n"],
      typed: "typed\n",
      put: true,
      got: ["put", 3, "put"],
      diff: ["/data", "/host", "/sbin", "/sbin/docker-init", "/scratch"],
      stats: 64 << 20,
      top: true,
      paused: "paused",
      updated: 32 << 20,
      listed: ["py-other"],
      waited: 137,
      committed: ["py-image:1"],
      gone: 404,
      followed: "a\nb\n",
      tail: "b\n",
      stamped: 30,
      built: [{ by: "python" }, "built\n", true],
      tags: ["py-again:2", "py-built:1"],
      loaded: ["py-built:1"],
      history: true,
      name: "py-first",
      volumes: ["py-volume"],
      events: ["create", "start"],
      pruned: ["ContainersDeleted", "SpaceReclaimed"],
    });
  });
});
