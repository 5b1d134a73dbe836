// What goes by itself: images that no container uses, after a time or on a full disk, and what pulls left.
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon | undefined;
afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
});

const names = async (of: TestDaemon): Promise<string[]> =>
  (await of.tsctl("images", "--format", "{{.Repository}}:{{.Tag}}")).stdout
    .split("\n")
    .filter(Boolean)
    .sort();

/** A daemon with an image that a container uses and one that nobody does, started anew. */
async function startedAnew(...flags: string[]): Promise<TestDaemon> {
  const made = await TestDaemon.start("collection", undefined, { flags });
  daemon = made;
  await made.importBusybox();
  await made.tsctl("create", "--name", "user", "busybox", "true");
  await made.tsctl("create", "--name", "other", "busybox", "touch", "/x");
  await made.tsctl("start", "other");
  await made.tsctl("wait", "other");
  await made.tsctl("commit", "other", "unused:1");
  await made.tsctl("rm", "other");
  expect(await names(made)).toEqual(["busybox:latest", "unused:1"]);
  const partial = join(made.dataRoot, "blobs/partial");
  mkdirSync(partial, { recursive: true });
  for (const [name, days] of [
    ["old", 8],
    ["new", 6],
  ] as const) {
    writeFileSync(join(partial, name), "half");
    const time = Date.now() / 1000 - days * 24 * 3600;
    utimesSync(join(partial, name), time, time);
  }
  await made.end();
  await made.launch();
  expect(readdirSync(partial)).toEqual(["new"]);
  return made;
}

describe("images that nobody uses", () => {
  it("stay where nothing is said", async () => {
    const made = await startedAnew();
    expect(await names(made)).toEqual(["busybox:latest", "unused:1"]);
  });

  it.each(["age=0m", "disk=0"])("go with --image-gc %s, and those that are used stay", async (rule) => {
    const made = await startedAnew("--image-gc", rule);
    await eventually("it is gone", async () => (await names(made)).length === 1);
    expect(await names(made)).toEqual(["busybox:latest"]);
    expect((await made.tsctl("start", "user")).status).toBe(0);
  });

  it("stay while they are not old enough, or the disk is not full enough", async () => {
    const made = await startedAnew("--image-gc", "age=1h", "--image-gc", "disk=99");
    expect(await names(made)).toEqual(["busybox:latest", "unused:1"]);
  });
});
