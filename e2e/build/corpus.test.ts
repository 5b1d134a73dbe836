// Every Dockerfile of the corpus, built by this engine, and by dockerd's classic builder where TSD_PEER_DOCKER_HOST names one:
// equal output, configurations, histories, layers and files. Without it, what dockerd made is taken from its record.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasDocker } from "../harness/daemon.ts";
import { type Case, corpus, refusals } from "./corpus.ts";
import { type Engine, type Engines, hasPeer, Recording, startEngines } from "./engines.ts";
import {
  BASE,
  build,
  contextsDirectory,
  describeImage,
  filesOf,
  makeContext,
  type Outcome,
} from "./outcome.ts";

const record = new Recording<Outcome>("dockerd");
const contexts = contextsDirectory();
const bases = new Map<Engine, ReadonlySet<string>>();
const numbers = new Map(Object.keys({ ...corpus, ...refusals }).map((name, index) => [name, index]));
let engines: Engines;

beforeAll(async () => {
  if (!hasDocker) return;
  engines = await startEngines("build-corpus");
  for (const engine of [engines.ours, engines.theirs])
    if (engine) bases.set(engine, await filesOf(engine.docker, BASE));
});
afterAll(async () => {
  contexts.remove();
  record.save();
  if (hasDocker) await engines.stop();
});

async function outcome(engine: Engine, directory: string, tag: string, one: Case): Promise<Outcome> {
  const built = await build(engine.docker, directory, tag, one, engine.made);
  if (built.status !== 0) return built;
  engine.made.push(tag);
  return { ...built, ...(await describeImage(engine.docker, tag, bases.get(engine) ?? new Set())) };
}

async function compare(name: string, one: Case, good: boolean, more: readonly string[]): Promise<void> {
  const directory = await makeContext(contexts.path, one);
  const tag = `tsd-build-case:${numbers.get(name)}`;
  const asked = { ...one, flags: [...(one.flags ?? []), ...more] };
  const got = await outcome(engines.ours, directory, tag, asked);
  if (engines.theirs) {
    const wanted = await outcome(engines.theirs, directory, tag, asked);
    record.set(name, wanted);
    expect(got).toEqual(wanted);
  }
  expect(got).toEqual(record.get(name));
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
