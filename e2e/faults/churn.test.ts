// Clients create, start, exec, log, stop and remove while the daemon is killed again and again: what a client was told is
// true afterwards, nothing that runs is stopped, no log line is lost or doubled, exit codes are right, nothing leaks.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Answer } from "../harness/api.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

/** How often the daemon is killed. */
const KILLS = Number(process.env.TSD_CHURN_KILLS ?? 200);
const CLIENTS = 4;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("churn");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

const delay = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Undefined when the daemon died before it answered. */
const ask = (method: string, path: string, body?: unknown): Promise<Answer | undefined> =>
  daemon.api(method, path, body).catch(() => undefined);

/** Asks until there is an answer: for questions, which may be asked twice. */
async function know(method: string, path: string): Promise<Answer> {
  for (;;) {
    const answer = await ask(method, path);
    if (answer) return answer;
    await delay(20);
  }
}

const json = <T>(answer: Answer): T => JSON.parse(answer.text) as T;

interface State {
  Status: string;
  Running: boolean;
  ExitCode: number;
  Pid: number;
}

const look = async (id: string): Promise<State> => {
  const answer = await know("GET", `/containers/${id}/json`);
  expect(answer.status, answer.text).toBe(200);
  return json<{ State: State }>(answer).State;
};

/** Counts up, a line each, until it is told to end. */
const counter = (exitCode: number): string[] => [
  "sh",
  "-c",
  `trap "exit ${exitCode}" TERM; i=0; while :; do echo $i; i=$((i+1)); sleep 0.02 & wait $!; done`,
];

/** Every other one has a name server and an ifb. */
const networked = {
  NetworkMode: "churning",
  NetworkShape: { Out: { Rate: 10e6 }, PacketsPerSecond: { Out: 1000, In: 1000 } },
};

async function create(name: string, exitCode: number): Promise<string> {
  for (;;) {
    const made = await ask("POST", `/containers/create?name=${name}`, {
      Image: "busybox",
      Cmd: counter(exitCode),
      HostConfig: exitCode % 2 === 0 ? networked : {},
    });
    if (made?.status === 201) return json<{ Id: string }>(made).Id;
    // An attempt whose answer was lost may have been carried out.
    const there = await know("GET", `/containers/${name}/json`);
    if (there.status === 200) return json<{ Id: string }>(there).Id;
    expect(made?.status ?? 404, made?.text).toBe(404);
  }
}

/** Does something until the daemon says that it is done; `accepted` are the statuses that say so. */
async function insist(method: string, path: string, accepted: readonly number[]): Promise<void> {
  for (;;) {
    const answer = await ask(method, path);
    if (!answer) {
      await delay(20);
      continue;
    }
    expect(accepted, `${method} ${path}: ${answer.text}`).toContain(answer.status);
    return;
  }
}

/** The lines of a container's log, which must be 0, 1, 2 and so on. */
async function countLines(id: string): Promise<number> {
  for (;;) {
    const answer = await ask("GET", `/containers/${id}/logs?stdout=1`);
    if (!answer) continue;
    expect(answer.status, answer.text).toBe(200);
    // The frames' headers hold no newline: lines this short have lengths below ten.
    const lines = answer.text.split("\n").slice(0, -1);
    const numbers = lines.map((line) => Number(line.slice(8)));
    expect(numbers).toEqual(numbers.map((_, index) => index));
    return numbers.length;
  }
}

async function executes(id: string, exitCode: number): Promise<void> {
  for (;;) {
    const made = await ask("POST", `/containers/${id}/exec`, {
      Cmd: ["sh", "-c", `sleep 0.05; exit ${exitCode}`],
      AttachStdout: true,
    });
    if (!made) continue;
    expect(made.status, made.text).toBe(201);
    const exec = json<{ Id: string }>(made).Id;
    for (;;) {
      // What was created is still known, whoever is the daemon by now; it may be started once.
      const begun = await ask("POST", `/exec/${exec}/start`, {});
      if (begun) expect([200, 409], begun.text).toContain(begun.status);
      const { Running, ExitCode } = json<{ Running: boolean; ExitCode: number | null }>(
        await know("GET", `/exec/${exec}/json`),
      );
      if (ExitCode !== null && !Running) {
        expect(ExitCode).toBe(exitCode);
        return;
      }
      await delay(10);
    }
  }
}

async function remove(id: string): Promise<void> {
  for (;;) {
    const answer = await ask("DELETE", `/containers/${id}`);
    if (answer) expect([204, 404, 409], answer.text).toContain(answer.status);
    const there = await know("GET", `/containers/${id}/json`);
    if (answer?.status === 204) expect(there.status).toBe(404);
    if (there.status === 404) return;
    await delay(10);
  }
}

/** One container's whole life under fire. */
async function life(name: string, exitCode: number): Promise<void> {
  const id = await create(name, exitCode);
  await insist("POST", `/containers/${id}/start`, [204, 304]);
  expect(await look(id)).toMatchObject({ Status: "running", Running: true });
  while ((await countLines(id)) === 0) await delay(10);
  await executes(id, exitCode % 7);
  expect(await look(id)).toMatchObject({ Status: "running" });
  await countLines(id);
  await insist("POST", `/containers/${id}/stop?t=20`, [204, 304]);
  expect(await look(id)).toMatchObject({ Status: "exited", ExitCode: exitCode, Pid: 0 });
  expect(json(await know("POST", `/containers/${id}/wait`))).toEqual({ StatusCode: exitCode });
  await countLines(id);
  await remove(id);
}

describe("a daemon that is killed at any moment", () => {
  it(
    `${KILLS} times, with ${CLIENTS} clients at work`,
    async () => {
      expect((await daemon.tsctl("network", "create", "churning")).status).toBe(0);
      const witnesses: { id: string; pid: number }[] = [];
      for (let index = 0; index < 3; index++) {
        const id = await create(`witness-${index}`, 0);
        await insist("POST", `/containers/${id}/start`, [204]);
        witnesses.push({ id, pid: (await look(id)).Pid });
      }
      let over = false;
      let lives = 0;
      const clients = Array.from({ length: CLIENTS }, async (_, client) => {
        for (let round = 0; !over; round++) {
          await life(`churn-${client}-${round}`, 10 + ((client * 31 + round) % 90));
          lives++;
        }
      });
      const killing = (async () => {
        for (let kill = 0; kill < KILLS; kill++) {
          await delay(Math.random() * 250);
          await daemon.end("SIGKILL");
          await daemon.launch();
        }
      })();
      await Promise.race([killing, ...clients]); // a client that failed ends the test at once
      over = true;
      await killing;
      await Promise.all(clients);
      for (const { id, pid } of witnesses) {
        expect(await look(id)).toMatchObject({ Status: "running", Pid: pid });
        expect(await countLines(id)).toBeGreaterThan(100);
      }
      // The witnesses' own, and nobody else's.
      const links = (kind: string): Promise<string> =>
        output("nsenter", [`--net=/run/netns/${daemon.namespace}`, "ip", "-o", "link", "show", "type", kind]);
      const count = async (kind: string): Promise<number> =>
        (await links(kind)).match(/^\d+:/gm)?.length ?? 0;
      await eventually("links of containers that are gone went with them", async () => {
        return (await count("ifb")) === witnesses.length && (await count("veth")) === witnesses.length;
      });
      expect(
        (await daemon.tsctl("exec", "witness-0", "nslookup", "witness-1", "127.0.0.11")).stdout,
      ).toContain("Name:");
      expect(lives).toBeGreaterThan(CLIENTS);
      console.log(`${lives} containers lived through ${KILLS} kills`);
    },
    20 * 60_000,
  );
});
