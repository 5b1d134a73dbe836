// kill -9 in the middle of builds: the next daemon finds nothing half there, and builds on what was whole.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

const KILLS = Number(process.env.TSD_BUILD_KILLS ?? 10);
/** Milliseconds within which a daemon is killed after its builds began. */
const WINDOW = 500;

let daemon: TestDaemon;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-build-crash-"));
  daemon = await TestDaemon.start("build-crash");
  await daemon.importBusybox();
  await output("sh", [
    "-euc",
    `cd "$0"; mkdir d; for i in $(seq 300); do echo $i > d/$i; done; head -c 3000000 /dev/zero > d/big
     cat > Dockerfile <<'E'
FROM busybox AS one
ARG SALT
RUN echo $SALT > /salt && for i in $(seq 200); do echo $i > /f$i; done
COPY d /d
WORKDIR /made/here
RUN --mount=type=secret,id=s --mount=type=cache,target=/cache --mount=target=/ctx sleep 0.1; cp -r /ctx/d /e
FROM busybox
COPY --from=one /d /d
COPY --from=one /salt /
RUN ls /d | wc -l > /count
E`,
    scratch,
  ]);
});
afterAll(async () => {
  await daemon.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const build = (salt: string, tag: string) =>
  daemon.tsctl("build", "-t", tag, "--build-arg", `SALT=${salt}`, "--secret", "id=s,env=HOME", scratch);

/** What no build may leave. */
async function leftovers(): Promise<string[]> {
  const containers = JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as { Id: string }[];
  return [
    ...containers.map(({ Id }) => `container ${Id}`),
    ...readdirSync(join(daemon.dataRoot, "build/work")).map((name) => `context ${name}`),
    ...readdirSync(join(daemon.root, "run/build")).map((name) => `secrets ${name}`),
    ...readdirSync(join(daemon.dataRoot, "layers"))
      .filter((name) => name.startsWith("new-"))
      .map((name) => `layer ${name}`),
    ...(await daemon.lastingLeaks()),
  ];
}

/** Every image there is, with every layer that it says it has. */
async function checkImages(): Promise<void> {
  const images = JSON.parse((await daemon.api("GET", "/images/json?all=1")).text) as { Id: string }[];
  for (const { Id } of images) {
    const created = await daemon.api("POST", "/containers/create", { Image: Id, Cmd: ["true"] });
    expect(created.status).toBe(201);
    const { Id: container } = JSON.parse(created.text) as { Id: string };
    const exported = await daemon.api("GET", `/containers/${container}/export`);
    expect(exported.status).toBe(200);
    await daemon.api("DELETE", `/containers/${container}`);
  }
}

describe("a daemon that is killed while it builds", () => {
  it(
    `leaves nothing half there, ${KILLS} times`,
    async () => {
      for (let kill = 0; kill < KILLS; kill++) {
        const building = [build(`${kill}a`, "crash:a"), build(`${kill}b`, "crash:b")];
        await delay((WINDOW * (kill + 0.5)) / KILLS);
        await daemon.end("SIGKILL");
        await Promise.all(building);
        await daemon.launch();
        expect(await leftovers()).toEqual([]);
      }
      await checkImages();
      // What was whole is used, what was not is done again: the outcome is the same.
      for (const salt of [`${KILLS - 1}a`, `${KILLS - 1}b`]) {
        const { status, stderr } = await build(salt, "crash:last");
        expect([status, stderr]).toEqual([0, ""]);
        const { stdout } = await daemon.docker("run", "--rm", "crash:last", "cat", "/salt", "/count");
        expect(stdout).toBe(`${salt}\n301\n`);
      }
      expect(await leftovers()).toEqual([]);
    },
    KILLS * 20_000,
  );
});
