// Many running containers, a daemon that is killed, and one that takes them up; a connection through one of them goes on.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

const CONTAINERS = Number(process.env.TSD_ADOPTION_CONTAINERS ?? 400);

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("adoption");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop(), 120_000);

async function run(body: object): Promise<string> {
  const { text } = await daemon.api("POST", "/containers/create", { Image: "busybox", ...body });
  const { Id } = JSON.parse(text) as { Id: string };
  const { status, text: answer } = await daemon.api("POST", `/containers/${Id}/start`);
  expect(status, answer).toBe(204);
  return Id;
}

interface Summary {
  Id: string;
  State: string;
}
const list = async (): Promise<Summary[]> =>
  JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text) as Summary[];

describe(`${CONTAINERS} running containers`, () => {
  it("are taken up after kill -9, and a TCP stream through one of them is never interrupted", async () => {
    const server = await run({ Cmd: ["nc", "-ll", "-p", "7000", "-e", "cat"] });
    const address = (
      JSON.parse((await daemon.api("GET", `/containers/${server}/json`)).text) as {
        NetworkSettings: { IPAddress: string };
      }
    ).NetworkSettings.IPAddress;
    let left = CONTAINERS - 1;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (left-- > 0) await run({ Cmd: ["sleep", "100000"] });
      }),
    );
    // One connection, echoed line by line, from the daemon's own network namespace.
    const client = spawn("nsenter", [
      ...[`--net=/run/netns/${daemon.namespace}`, "busybox", "nc", address, "7000"],
    ]);
    let echoed = "";
    let closed = false;
    client.stdout.on("data", (chunk: Buffer) => {
      echoed += chunk.toString("utf8");
    });
    client.on("exit", () => {
      closed = true;
    });
    let sent = 0;
    const sending = setInterval(() => client.stdin.write(`${sent++}\n`), 5);
    await eventually("an echo", () => echoed.includes("10\n"));

    const before = (await list()).map(({ Id }) => Id).sort();
    for (let round = 0; round < 3; round++) {
      await daemon.end("SIGKILL");
      await daemon.launch();
      const now = await list();
      expect(now.map(({ Id }) => Id).sort()).toEqual(before);
      expect(now.every(({ State }) => State === "running")).toBe(true);
      expect(daemon.log).toContain(`"adopted":${CONTAINERS},`);
    }
    clearInterval(sending);
    const expected = Array.from({ length: sent }, (_, index) => `${index}\n`).join("");
    await eventually("the last echo", () => echoed === expected);
    expect(closed).toBe(false);
    client.kill();
    // They can still be used: an exec, a log, a stop.
    const [one = ""] = before;
    expect((await daemon.tsctl("exec", one, "echo", "here")).stdout).toBe("here\n");
    const children = readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, "utf8").trim();
    expect(children.split(" ").length).toBe(1); // the launcher: containers are nobody's children
  }, 120_000);
});
