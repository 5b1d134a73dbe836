// Images: pull and unpack from a registry on this machine, load, save, commit, builds, a list of 500.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layerTar, savedArchive } from "../harness/archives.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { Connection, type Engine, median, program } from "./engine.ts";
import { peerNamespace } from "./networks.ts";
import { add } from "./table.ts";

const ROUNDS = 3;
const MANY = 500;
const NAME = "127.0.0.1:5055/bench/image:1";

const middle = (values: number[]): number => median(values.sort((a, b) => a - b));

async function seconds(action: () => Promise<void>): Promise<number> {
  const begin = performance.now();
  await action();
  return (performance.now() - begin) / 1000;
}

/** Both engines in turns; the figures of each. */
async function inTurns(
  engines: readonly Engine[],
  action: (engine: Engine) => Promise<number>,
): Promise<[number, number | undefined]> {
  const figures: number[][] = engines.map(() => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, engine] of engines.entries()) figures[index]?.push(await action(engine));
  return [middle(figures[0] ?? []), figures[1] ? middle(figures[1]) : undefined];
}

const docker = (engine: Engine, ...words: string[]): Promise<void> =>
  program("docker", words, { DOCKER_HOST: `unix://${engine.socket}` });

/** A registry in each engine's own network namespace, over the same data. */
async function registries(
  namespaces: readonly (readonly string[])[],
  directory: string,
): Promise<ChildProcess[]> {
  mkdirSync(join(directory, "data"));
  const config = join(directory, "config.yml");
  writeFileSync(
    config,
    JSON.stringify({
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: join(directory, "data") } },
      http: { addr: "127.0.0.1:5055" },
    }),
  );
  const started = namespaces.map((words) =>
    spawn("nsenter", [...words, "docker-registry", "serve", config], { stdio: "ignore" }),
  );
  for (const words of namespaces)
    await eventually("the registry answers", async () =>
      output("nsenter", [...words, "curl", "-sf", "--noproxy", "*", "http://127.0.0.1:5055/v2/"]).then(
        () => true,
        () => false,
      ),
    );
  return started;
}

export async function measureImages(peerHost: string | undefined): Promise<void> {
  const daemon = await TestDaemon.start("bench-images");
  const engines: Engine[] = [{ name: "tsd", socket: daemon.socket }];
  if (peerHost) engines.push({ name: "dockerd", socket: peerHost.replace("unix://", "") });
  const connections = engines.map((engine) => new Connection(engine));
  try {
    await daemon.importBusybox();
    const namespaces = [[`--net=/run/netns/${daemon.namespace}`], ...(peerHost ? [peerNamespace()] : [])];
    await measure(engines, connections, namespaces);
  } finally {
    for (const connection of connections) connection.close();
    await daemon.stop();
  }
}

/** `namespaces` are the words by which nsenter gets to each engine's network. */
async function measure(
  engines: readonly Engine[],
  connections: readonly Connection[],
  namespaces: readonly (readonly string[])[],
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "tsd-bench-"));
  // Like a distribution's files: text and programs of the machine itself, four layers of some 50 MB.
  const tars: string[] = [];
  for (const part of [0, 1, 2, 3])
    tars.push(
      await layerTar(
        directory,
        `part${part}`,
        `find /usr/lib /usr/bin /usr/share -xdev -type f -size -2000k | LC_ALL=C sort | awk 'NR % 4 == ${part}' |
         while read -r file && [ "$(du -sm . | cut -f1)" -lt 50 ]; do for i in 1 2 3 4 5 6 7 8; do
           cp --parents "$file" . 2>/dev/null || :; read -r file || break; done; done`,
      ),
    );
  const archive = await savedArchive(directory, tars, [NAME]);
  const megabytes = tars.reduce((sum, tar) => sum + statSync(tar).size, 0) / 1e6;
  const started = await registries(namespaces, directory);
  const target = "> 1";
  try {
    const loads = await inTurns(engines, async (engine) => {
      await docker(engine, "rmi", "-f", NAME).catch(() => undefined);
      return megabytes / (await seconds(() => docker(engine, "load", "-q", "-i", archive)));
    });
    add(`load, ${Math.round(megabytes)} MB`, "MB/s", ...loads, target, true);
    const saves = await inTurns(engines, async (engine) => {
      const path = join(directory, "saved.tar");
      const time = await seconds(() => docker(engine, "save", "-o", path, NAME));
      rmSync(path);
      return megabytes / time;
    });
    add("save", "MB/s", ...saves, target, true);
    for (const engine of engines) await docker(engine, "push", "-q", NAME);
    const pulls = await inTurns(engines, async (engine) => {
      await docker(engine, "rmi", "-f", NAME);
      return megabytes / (await seconds(() => docker(engine, "pull", "-q", NAME)));
    });
    add("pull and unpack", "MB/s", ...pulls, "> 1.5", true);
    for (const engine of engines) {
      await docker(
        engine,
        "run",
        "--name",
        "bench-commit",
        "busybox",
        "sh",
        "-c",
        "head -c 50000000 /dev/urandom > /big",
      );
    }
    const commits = await inTurns(engines, async (engine) => {
      const time = await seconds(() => docker(engine, "commit", "bench-commit", "bench-committed:1"));
      await docker(engine, "rmi", "-f", "bench-committed:1");
      return time * 1000;
    });
    add("commit of 50 MB", "ms", ...commits, target);
    for (const engine of engines) await docker(engine, "rm", "-f", "bench-commit");
    await builds(engines, directory);
    await many(engines, connections);
    for (const engine of engines) await docker(engine, "rmi", "-f", NAME);
  } finally {
    for (const child of started) child.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A Dockerfile of 20 steps, as the classic builder's clients send it. */
async function builds(engines: readonly Engine[], directory: string): Promise<void> {
  const context = join(directory, "context");
  mkdirSync(context);
  for (let i = 0; i < 5; i++) writeFileSync(join(context, `file${i}`), String(i).repeat(100_000));
  const steps = Array.from({ length: 19 }, (_, index) =>
    index % 4 === 0
      ? `RUN echo ${index} > /made${index}`
      : index % 4 === 1
        ? `COPY file${index % 5} /copied${index}`
        : index % 4 === 2
          ? `ENV E${index}=${index}`
          : `LABEL l${index}=${index}`,
  );
  writeFileSync(join(context, "Dockerfile"), `FROM busybox\n${steps.join("\n")}\n`);
  const build = (engine: Engine, ...words: string[]): Promise<void> =>
    program("docker", ["build", "-q", "-t", "bench-built:1", ...words, context], {
      DOCKER_HOST: `unix://${engine.socket}`,
      DOCKER_BUILDKIT: "0",
    });
  const cold = await inTurns(
    engines,
    async (engine) => (await seconds(() => build(engine, "--no-cache"))) * 1000,
  );
  add("build of 20 steps, cold", "ms", ...cold, "> 1");
  for (const engine of engines) await build(engine);
  const cached = await inTurns(engines, async (engine) => (await seconds(() => build(engine))) * 1000);
  add("build of 20 steps, cached", "ms", ...cached, "> 1");
  for (const engine of engines) await docker(engine, "rmi", "-f", "bench-built:1");
}

async function many(engines: readonly Engine[], connections: readonly Connection[]): Promise<void> {
  for (const connection of connections) {
    const id = JSON.parse(
      await connection.send("POST", "/containers/create", { Image: "busybox", Cmd: ["true"] }),
    ) as { Id: string };
    for (let i = 0; i < MANY; i++)
      await connection.send("POST", `/commit?container=${id.Id}&repo=bench-many&tag=${i}&comment=${i}`);
    await connection.send("DELETE", `/containers/${id.Id}`);
  }
  const figures: number[][] = engines.map(() => []);
  for (let round = 0; round < 20; round++)
    for (const [index, connection] of connections.entries())
      figures[index]?.push(
        (await seconds(async () => void (await connection.send("GET", "/images/json")))) * 1000,
      );
  add(`images with ${MANY}`, "ms", middle(figures[0] ?? []), figures[1] && middle(figures[1]), "> 1");
  for (const connection of connections)
    for (let i = 0; i < MANY; i++) await connection.send("DELETE", `/images/bench-many:${i}?force=1`);
}
