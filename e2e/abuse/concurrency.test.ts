// Many clients do anything to the same few containers, volumes, networks and images at once: each is answered, by what Docker
// would say, and when they have gone everything can be removed and nothing is left.
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Answer } from "../harness/api.ts";
import { PATIENCE } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { repeatable } from "../harness/random.ts";

const SECONDS = Number(process.env.TSD_CONCURRENCY_SECONDS ?? 15);
const CLIENTS = 12;
/** Milliseconds within which anything is answered; what is stopped and waited for here takes a second or two. */
const LATE = 60_000 * PATIENCE;

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("concurrency");
  await daemon.importBusybox();
});
afterAll(() => daemon.stop());

// The clients take turns in it, which are not repeatable.
const random = repeatable(7);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
const often = (share: number): boolean => random() < share;

const container = (): string => pick(["a1", "b1", "c1", "d1"]);
const volume = (): string => pick(["v1", "v2"]);
const network = (): string => pick(["n1", "n2"]);
const image = (): string => pick(["busybox", "busybox", "made:one", "made:two"]);

type Request = [method: string, path: string, body?: object | undefined];
const command = () =>
  pick([["true"], ["true"], ["sleep", "1000"], ["sh", "-c", "sleep 0.1; exit 3"], ["/nonexistent"]]);
const create = (): Request => [
  "POST",
  `/containers/create?name=${container()}`,
  {
    Image: image(),
    Cmd: command(),
    HostConfig: {
      AutoRemove: often(0.3),
      Binds: often(0.5) ? [`${volume()}:/etc`] : [],
      NetworkMode: pick(["none", "bridge", network(), "host", `container:${container()}`]),
      PidMode: often(0.1) ? `container:${container()}` : "",
      RestartPolicy: { Name: often(0.1) ? "always" : "no" },
      StorageOpt: often(0.1) ? { size: "30m" } : {},
      PortBindings: often(0.2) ? { "80/tcp": [{ HostPort: "18080" }] } : {},
    },
  },
];
const of = (method: string, what: string, body?: () => object) => (): Request => [
  method,
  `/containers/${container()}${what}`,
  body?.(),
];
const all = encodeURIComponent('{"all":["1"]}');
const dangling = encodeURIComponent('{"dangling":["1"]}');

const requests: readonly (() => Request)[] = [
  ...[create, create, create],
  ...[of("POST", "/start"), of("POST", "/start"), of("POST", "/start")],
  ...[of("DELETE", "?force=1"), of("DELETE", "?force=1&v=1"), of("DELETE", "")],
  ...[
    of("POST", "/stop?t=0"),
    of("POST", "/restart?t=0"),
    of("POST", "/kill"),
    of("POST", "/kill?signal=TERM"),
  ],
  ...[of("POST", "/pause"), of("POST", "/unpause"), of("POST", "/update", () => ({ CpuShares: 512 }))],
  ...[of("GET", "/json?size=1"), of("GET", "/top"), of("GET", "/changes"), of("GET", "/stats?stream=0")],
  // What needs a container's root meets its starts and ends.
  ...Array.from({ length: 4 }, () => of("GET", "/archive?path=/etc")),
  ...[of("GET", "/export"), of("GET", "/logs?stdout=1")],
  () => ["POST", `/containers/${container()}/rename?name=${container()}`],
  () => ["POST", `/commit?container=${container()}&repo=made&tag=${pick(["one", "two"])}`],
  () => ["DELETE", `/images/${pick(["made:one", "made:two"])}`],
  () => ["GET", `/images/${image()}/get`],
  () => ["POST", `/images/prune?filters=${dangling}`],
  () => ["POST", "/volumes/create", { Name: volume() }],
  () => ["DELETE", `/volumes/${volume()}`],
  () => ["POST", `/volumes/prune?filters=${all}`],
  () => ["POST", "/networks/create", { Name: network() }],
  () => ["DELETE", `/networks/${network()}`],
  () => ["POST", `/networks/${network()}/connect`, { Container: container() }],
  () => ["POST", `/networks/${network()}/disconnect`, { Container: container(), Force: often(0.5) }],
  () => ["GET", "/system/df"],
  () => ["GET", "/containers/json?all=1&size=1"],
];

/** What Docker answers with 500, too, to what can't be done now. */
const usual =
  /is not paused|is not connected to (the )?network|failed to join PID namespace|driver failed programming external connectivity/;

async function ask([method, path, body]: Request): Promise<Answer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer to ${method} ${path}`)), LATE);
  });
  const answer = await Promise.race([daemon.api(method, path, body), late]);
  clearTimeout(timer);
  if (answer.status >= 500) expect(answer.text, `${method} ${path}`).toMatch(usual);
  return answer;
}

/** Creates an exec and starts it, if it can. */
async function execute(): Promise<void> {
  const { status, text } = await ask(["POST", `/containers/${container()}/exec`, { Cmd: ["true"] }]);
  if (status !== 201) return;
  const { Id } = JSON.parse(text) as { Id: string };
  await ask(["POST", `/exec/${Id}/start`, { Detach: true }]);
}

it("each is answered, and nothing is left", { timeout: SECONDS * 1000 + 2 * LATE }, async () => {
  const end = Date.now() + SECONDS * 1000;
  const client = async (): Promise<void> => {
    while (Date.now() < end)
      if (often(0.05)) await execute();
      else await ask(pick(requests)());
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  for (const { Id } of JSON.parse((await ask(["GET", "/containers/json?all=1"])).text) as { Id: string }[])
    expect([204, 404]).toContain((await ask(["DELETE", `/containers/${Id}?force=1&v=1`])).status);
  for (const name of ["n1", "n2"])
    expect([204, 404]).toContain((await ask(["DELETE", `/networks/${name}`])).status);
  await daemon.clear();
  expect(await daemon.lastingLeaks()).toEqual([]);
});
