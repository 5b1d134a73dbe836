// Archives there and back with a real dockerd, where TSD_PEER_DOCKER_HOST names its socket: the same images, by their digests, on
// both sides.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

const peer = process.env.TSD_PEER_DOCKER_HOST ?? "";
const hasPeer = hasDocker && peer !== "" && existsSync(peer.replace("unix://", ""));
const NAME = "tsd-there-and-back";
const identity = "{{.Id}} {{json .RootFS.Layers}} {{json .Config.Cmd}} {{json .Config.Env}}";

describe.skipIf(!hasPeer)("a real dockerd", () => {
  let daemon: TestDaemon;
  const on = (host: string, ...words: string[]): Promise<string> =>
    output("docker", words, { env: { DOCKER_HOST: host } });

  /** Three layers on top of busybox, with what archives can lose: owners, modes, links, times. */
  async function make(host: string): Promise<void> {
    const script =
      "mkdir -p /d && echo x > /d/f && chown 12:34 /d/f && chmod 4751 /d/f && ln /d/f /d/hard && ln -s f /d/soft && touch -d '2001-02-03 04:05:06' /d/f && rm /bin/vi";
    await on(host, "run", "--name", NAME, "busybox", "sh", "-c", script);
    await on(host, "commit", "-c", "CMD ls -ln /d", "-c", "ENV MADE=yes", NAME, `${NAME}:1`);
    await on(host, "rm", "-f", NAME);
  }

  beforeAll(async () => {
    daemon = await TestDaemon.start("peer-images");
    await daemon.importBusybox();
  });
  afterAll(async () => {
    await on(peer, "rmi", "-f", `${NAME}:1`).catch(() => "");
    await daemon.clear();
    const leaks = await daemon.lastingLeaks();
    await daemon.stop();
    expect(leaks).toEqual([]);
  });

  it.each([
    ["what this engine made is there as it was", true],
    ["what it made is here as it was", false],
  ])("%s", async (_what, ours) => {
    const [from, to] = ours ? [daemon.host, peer] : [peer, daemon.host];
    const archive = join(daemon.root, "image.tar");
    await make(from);
    await on(from, "save", "-o", archive, `${NAME}:1`);
    const made = await on(from, "inspect", "-f", identity, `${NAME}:1`);
    const listed = await on(from, "run", "--rm", `${NAME}:1`);
    await on(from, "rmi", "-f", `${NAME}:1`);
    await on(to, "load", "-i", archive);
    expect(await on(to, "inspect", "-f", identity, `${NAME}:1`)).toBe(made);
    expect(await on(to, "run", "--rm", `${NAME}:1`)).toBe(listed);
    expect(listed).toContain("-rwsr-x--x    2 12       34");
    await on(to, "rmi", "-f", `${NAME}:1`);
  });
});
