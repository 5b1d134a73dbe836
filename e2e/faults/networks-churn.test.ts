// The daemon is killed while networks are made and removed: what a client was told is true afterwards, and each link that is
// there is a network's.
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Answer } from "../harness/api.ts";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

/** How often the daemon is killed. */
const KILLS = Number(process.env.TSD_NETWORK_KILLS ?? 10);
/** How many networks are made at a time. */
const AT_ONCE = 5;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("network-churn");
});
afterAll(() => daemon.stop());

/** Undefined when the daemon died before it answered. */
const ask = (method: string, path: string, body?: object): Promise<Answer | undefined> =>
  daemon.api(method, path, body).catch(() => undefined);

async function networks(): Promise<{ Id: string; Name: string }[]> {
  const filters = encodeURIComponent('{"type":["custom"]}');
  return JSON.parse((await daemon.api("GET", `/networks?filters=${filters}`)).text);
}
async function links(): Promise<string[]> {
  const text = await output("nsenter", [
    `--net=/run/netns/${daemon.namespace}`,
    ...["ip", "-o", "link", "show", "type", "bridge"],
  ]);
  return [...text.matchAll(/^\d+: (br-[0-9a-f]+)/gm)].map(([, name = ""]) => name).sort();
}

it(`${KILLS} kills leave the networks that clients were told of, and no link besides`, async () => {
  for (let round = 0; round < KILLS; round++) {
    const before = await networks();
    const made = Array.from({ length: AT_ONCE }, async (_, at) => {
      const Name = `made-${round}-${at}`;
      return { Name, answer: await ask("POST", "/networks/create", { Name }) };
    });
    const removed = before.map(async ({ Name }) => ({
      Name,
      answer: await ask("DELETE", `/networks/${Name}`),
    }));
    await delay(3 + ((round * 7) % 40));
    await daemon.end("SIGKILL");
    const [news, olds] = await Promise.all([Promise.all(made), Promise.all(removed)]);
    await daemon.launch();
    const after = await networks();
    const names = after.map(({ Name }) => Name);
    const told = (answer: Answer): unknown[] => [answer.status, answer.text.replace(/^{"Id.*/, "")];
    for (const { Name, answer } of news)
      if (answer) expect([...told(answer), names.includes(Name)]).toEqual([201, "", true]);
    for (const { Name, answer } of olds)
      if (answer) expect([...told(answer), names.includes(Name)]).toEqual([204, "", false]);
    expect(await links()).toEqual(after.map(({ Id }) => `br-${Id.slice(0, 12)}`).sort());
    // There are subnets for thirty only.
    for (const { Id } of after.slice(AT_ONCE)) await ask("DELETE", `/networks/${Id}`);
  }
  for (const { Id } of await networks()) expect((await ask("DELETE", `/networks/${Id}`))?.status).toBe(204);
  expect(await links()).toEqual([]);
});
