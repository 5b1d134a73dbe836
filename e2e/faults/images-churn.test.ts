// The daemon is killed in the middle of pulls, loads, commits, saves, pushes and prunes: every image that is there is whole,
// nothing is half there, and the disk comes back.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory, layerTar, savedArchive } from "../harness/archives.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { repeatable } from "../harness/random.ts";
import { hasRegistry, TestRegistry } from "../harness/registry.ts";

/** How often the daemon is killed. */
const KILLS = Number(process.env.TSD_IMAGE_KILLS ?? 24);
const REGISTRY = "127.0.0.1:5000";

const files = archiveDirectory();
let daemon: TestDaemon;
let registry: TestRegistry;

const random = repeatable(1);

const names = (directory: string): string[] => readdirSync(join(daemon.dataRoot, directory)).sort();

interface Summary {
  Id: string;
  RepoTags: string[];
}
const images = async (): Promise<Summary[]> =>
  JSON.parse((await daemon.api("GET", "/images/json?all=1")).text) as Summary[];

describe.skipIf(!hasRegistry)("images under kill -9", () => {
  let archive: string;
  beforeAll(async () => {
    daemon = await TestDaemon.start("image-churn");
    registry = await TestRegistry.start(daemon.namespace, { address: "127.0.0.1", port: 5000 });
    await daemon.importBusybox();
    const tars: string[] = [];
    for (const name of ["one", "two", "three"])
      tars.push(
        await layerTar(
          files.path,
          name,
          `head -c 6000000 /dev/urandom > ${name}; mkdir ${name}-dir; for i in $(seq 200); do echo $i > ${name}-dir/$i; done`,
        ),
      );
    archive = await savedArchive(files.path, tars, [`${REGISTRY}/churn:1`]);
    const loaded = await daemon.tsctl("load", "-q", "-i", archive);
    expect(loaded.stderr).toBe("");
    await output("env", [
      `TSD_HOST=${daemon.host}`,
      "packages/client/bin/tsctl",
      "push",
      "-q",
      `${REGISTRY}/churn:1`,
    ]);
    await daemon.tsctl(
      "create",
      "--name",
      "changed",
      "busybox",
      "sh",
      "-c",
      "head -c 5000000 /dev/urandom > /big",
    );
    await daemon.tsctl("start", "changed");
    await daemon.tsctl("wait", "changed");
  });
  afterAll(async () => {
    await registry?.stop();
    await daemon?.stop();
    files.remove();
  });

  it(`${KILLS} times`, async () => {
    const operations: Readonly<Record<string, () => Promise<unknown>>> = {
      pull: () => daemon.tsctl("pull", "-q", `${REGISTRY}/churn:1`),
      load: () => daemon.tsctl("load", "-q", "-i", archive),
      commit: () => daemon.tsctl("commit", "changed", "committed:1"),
      save: () => daemon.tsctl("save", "-o", join(files.path, "saved.tar"), "busybox", `${REGISTRY}/churn:1`),
      push: () => daemon.tsctl("push", "-q", `${REGISTRY}/churn:1`),
      prune: () => daemon.tsctl("image", "prune", "-a", "-f"),
    };
    const kinds = Object.keys(operations);
    for (let kill = 0; kill < KILLS; kill++) {
      const kind = kinds[kill % kinds.length] ?? "pull";
      // Without an image there is nothing to save, and with it nothing to pull.
      if (kind === "pull" || kind === "load") await daemon.tsctl("rmi", "-f", `${REGISTRY}/churn:1`);
      else if (kind !== "commit") await daemon.tsctl("load", "-q", "-i", archive);
      const running = operations[kind]?.();
      await new Promise((resolve) => setTimeout(resolve, 20 + random() * 350));
      await daemon.end("SIGKILL");
      await running;
      await daemon.launch();
      for (const { Id } of await images()) {
        const examined = await daemon.tsctl("image", "verify", Id);
        expect(examined.stdout + examined.stderr, `after a kill in ${kind}`).toContain("intact");
        expect(examined.status).toBe(0);
      }
      expect([kind, ...names("layers").filter((name) => name.startsWith("new-"))]).toEqual([kind]);
      expect([kind, ...names("spool")]).toEqual([kind]);
      expect([
        kind,
        ...readdirSync(files.path).filter(
          (name) => name === "saved.tar" && statSync(join(files.path, name)).size === 0,
        ),
      ]).toEqual([kind]);
    }
  }, 600_000);

  it("the store is emptied by what empties it", async () => {
    await daemon.tsctl("rm", "changed");
    await daemon.tsctl("image", "prune", "-a", "-f");
    await eventually(
      "layers and blobs are gone",
      () => names("layers").length + names("blobs/sha256").length === 0,
    );
  });
});
