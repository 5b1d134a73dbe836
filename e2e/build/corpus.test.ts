// Every Dockerfile of the corpus, built by this engine, and by dockerd's classic builder where TSD_PEER_DOCKER_HOST names one:
// equal output, configurations, histories, layers and files. Without it, what dockerd made is taken from its record.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasDocker, repository, TestDaemon } from "../harness/daemon.ts";
import { type Case, corpus, refusals } from "./corpus.ts";
import {
  BASE,
  build,
  contextsDirectory,
  type Docker,
  describeImage,
  dockerAt,
  filesOf,
  makeContext,
  type Outcome,
  removeImages,
} from "./outcome.ts";

const peer = process.env.TSD_PEER_DOCKER_HOST ?? "";
const hasPeer = hasDocker && existsSync(peer.replace("unix://", ""));
const recordFile = join(import.meta.dirname, "fixtures/dockerd.json");
const record = JSON.parse(readFileSync(recordFile, "utf8")) as Record<string, Outcome>;
/** Writes down anew what dockerd makes of the corpus. */
const recording = hasPeer && process.env.TSD_RECORD_BUILDS === "1";

interface Engine {
  docker: Docker;
  base: ReadonlySet<string>;
  made: string[];
}

let daemon: TestDaemon;
let ours: Engine;
let theirs: Engine | undefined;
const contexts = contextsDirectory();

async function engineAt(host: string): Promise<Engine> {
  const { importBusybox } = (await import(join(repository, "scripts/busybox.mjs"))) as {
    importBusybox(client: string, name: string, environment: NodeJS.ProcessEnv): void;
  };
  importBusybox("docker", BASE, { ...process.env, DOCKER_HOST: host });
  const docker = dockerAt(host);
  return { docker, base: await filesOf(docker, BASE), made: [] };
}

beforeAll(async () => {
  if (!hasDocker) return;
  daemon = await TestDaemon.start("build-corpus");
  ours = await engineAt(daemon.host);
  if (hasPeer) theirs = await engineAt(peer);
});
afterAll(async () => {
  contexts.remove();
  if (theirs) await removeImages(theirs.docker, [BASE, ...theirs.made]);
  if (recording) writeFileSync(recordFile, `${JSON.stringify(record, null, 1)}\n`);
  if (hasDocker) await daemon.stop();
});

async function outcome(engine: Engine, directory: string, tag: string, one: Case): Promise<Outcome> {
  const built = await build(engine.docker, directory, tag, one, engine.made);
  if (built.status !== 0) {
    // What failed leaves its container, to look into.
    const kept = await engine.docker("ps", "-aq", "--filter", "status=exited", "--filter", "status=created");
    if (engine === ours)
      for (const id of kept.stdout.split("\n").filter(Boolean)) await engine.docker("rm", id);
    return built;
  }
  engine.made.push(tag);
  return { ...built, ...(await describeImage(engine.docker, tag, engine.base)) };
}

async function compare(name: string, one: Case, good: boolean, more: readonly string[] = []): Promise<void> {
  const directory = await makeContext(contexts.path, one);
  const tag = `tsd-build-case:${Object.keys({ ...corpus, ...refusals }).indexOf(name)}`;
  const asked = { ...one, flags: [...(one.flags ?? []), ...more] };
  const got = await outcome(ours, directory, tag, asked);
  if (theirs) {
    const wanted = await outcome(theirs, directory, tag, asked);
    if (recording) record[name] = wanted;
    expect(got).toEqual(wanted);
  }
  expect(got).toEqual(record[name]);
  expect(got.status === 0).toBe(good);
}

describe.skipIf(!hasDocker)("docker build, as dockerd's classic builder", () => {
  it("the corpus covers every instruction, with forty Dockerfiles at least", () => {
    const all = Object.values(corpus)
      .map(({ dockerfile }) => dockerfile)
      .join("\n");
    for (const keyword of "FROM RUN COPY ADD ENV ARG LABEL CMD ENTRYPOINT WORKDIR USER EXPOSE VOLUME SHELL STOPSIGNAL HEALTHCHECK ONBUILD MAINTAINER".split(
      " ",
    ))
      expect(all).toMatch(new RegExp(`^(?:ONBUILD )?${keyword} `, "m"));
    expect(Object.keys(corpus).length).toBeGreaterThanOrEqual(40);
  });

  for (const [name, one] of Object.entries(corpus)) it(name, () => compare(name, one, true, ["--no-cache"]));
});

describe.skipIf(!hasDocker)("what is refused", () => {
  for (const [name, one] of Object.entries(refusals))
    it(name, () => compare(name, one, false, ["--no-cache", "--force-rm"]));
});

describe.skipIf(hasPeer)("live comparison", () => {
  it.skip("needs TSD_PEER_DOCKER_HOST, and compares with the record instead", () => undefined);
});
