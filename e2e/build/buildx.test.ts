// docker buildx with its docker-container driver, as far as it goes without BuildKit's image: a stand-in for buildkitd shows that
// the container is made, started, and talked to through exec.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Result, run } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

/** The plugin is a program of its own. */
const buildx = [
  process.env.TSD_DOCKER_BUILDX ?? "",
  "/usr/libexec/docker/cli-plugins/docker-buildx",
  "/usr/lib/docker/cli-plugins/docker-buildx",
].find((path) => path !== "" && existsSync(path));

let daemon: TestDaemon;
let scratch: string;
beforeAll(async () => {
  if (!buildx) return;
  scratch = mkdtempSync(join(tmpdir(), "tsd-buildx-"));
  daemon = await TestDaemon.start("buildx");
  await daemon.importBusybox();
  const program = (name: string, text: string): void =>
    writeFileSync(join(scratch, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  program("buildkitd", "exec sleep 100000");
  // Answers every word of the client's with the same: no BuildKit, but the way to one.
  program("buildctl", 'case "$*" in *dial-stdio*) exec cat ;; esac');
  const dockerfile = 'FROM busybox\nCOPY buildkitd buildctl /usr/bin/\nENTRYPOINT ["buildkitd"]\n';
  writeFileSync(join(scratch, "Dockerfile"), dockerfile);
  await daemon.tsctl("build", "-t", "stand-in:1", scratch);
});
afterAll(async () => {
  if (!buildx) return;
  await daemon.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const plugin = (...words: string[]): Promise<Result> =>
  run(buildx ?? "", words, { env: { DOCKER_HOST: daemon.host, BUILDX_CONFIG: join(scratch, "config") } });

describe.skipIf(!buildx)("docker buildx, docker-container driver", () => {
  it("makes its container, starts it, and talks to what runs in it", async () => {
    const driver = ["--driver", "docker-container", "--driver-opt", "image=stand-in:1"];
    expect((await plugin("create", "--name", "b", ...driver)).status).toBe(0);
    const { stdout, stderr } = await plugin("inspect", "--bootstrap", "b");
    expect(stderr).toContain("creating container buildx_buildkit_b0");
    // Its own first words came back: both directions of the stream are open.
    expect(stdout).toContain("error reading server preface: http2: frame too large");
    const inspected = JSON.parse((await daemon.api("GET", "/containers/buildx_buildkit_b0/json")).text);
    expect(inspected).toMatchObject({
      State: { Running: true },
      HostConfig: { Privileged: true },
      Mounts: [{ Destination: "/var/lib/buildkit", Type: "volume" }],
    });
    expect((await plugin("stop", "b")).status).toBe(0);
  });
});
