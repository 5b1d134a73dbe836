// The build cache: which steps are found again and which are not, as dockerd's classic builder has it.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { hasDocker } from "../harness/daemon.ts";
import { type Engine, type Engines, Recording, startEngines } from "./engines.ts";
import { build, contextsDirectory, makeContext } from "./outcome.ts";

const BASE = "tsd-build-base:2";

interface Build {
  /** A shell script that changes the context before it. */
  change?: string;
  dockerfile?: string;
  flags?: readonly string[];
}

interface Scenario {
  context?: string;
  dockerfile: string;
  builds: readonly Build[];
}

const again: Build = {};

const scenarios: Readonly<Record<string, Scenario>> = {
  "the same again": {
    context: "echo a > a",
    dockerfile:
      "FROM BASE\nARG A=1\nENV B=2\nRUN echo one\nCOPY a /a\nWORKDIR /w\nADD a /b\nLABEL x=y\nCMD true\n",
    builds: [again, again, { flags: ["--no-cache"] }, again],
  },
  "a changed line, and all after it": {
    dockerfile: "FROM BASE\nENV A=1\nRUN echo one\nRUN echo two\nCMD x\n",
    builds: [
      again,
      { dockerfile: "FROM BASE\nENV A=1\nRUN echo 1\nRUN echo two\nCMD x\n" },
      { dockerfile: "FROM BASE\nENV A=2\nRUN echo one\nRUN echo two\nCMD x\n" },
      again,
    ],
  },
  "contents, not times": {
    context: "mkdir d; echo f > d/f; echo g > g",
    dockerfile: "FROM BASE\nCOPY d /d\nCOPY g /g\nRUN true\n",
    builds: [
      again,
      { change: "touch d/f g" },
      { change: "echo more >> g" },
      { change: "chmod 600 d/f" },
      { change: "mv d/f d/h" },
      { change: "mv d/h d/f; chmod 644 d/f" },
      { change: "ln -s f d/l" },
    ],
  },
  "files that nothing copies": {
    context: "echo a > a; echo b > b",
    dockerfile: "FROM BASE\nCOPY a /\n",
    builds: [again, { change: "echo more >> b" }, { change: "echo c > c" }],
  },
  "build arguments": {
    dockerfile: "FROM BASE\nENV E=1\nARG A\nARG B=b\nRUN echo one\nENV F=$B\n",
    builds: [
      again,
      { flags: ["--build-arg", "A=1"] },
      { flags: ["--build-arg", "A=2"] },
      { flags: ["--build-arg", "A=1"] },
      { flags: ["--build-arg", "B=c"] },
      { flags: ["--build-arg", "NOBODY=1"] },
      { flags: ["--build-arg", "HTTP_PROXY=http://a"] },
      { flags: ["--build-arg", "HTTP_PROXY=http://b"] },
    ],
  },
  "stages, each for itself": {
    context: "echo a > a; echo b > b",
    dockerfile:
      "FROM BASE AS one\nCOPY a /\nRUN cat /a > /out\nFROM BASE AS two\nCOPY b /\nFROM BASE\nCOPY --from=one /out /1\nCOPY --from=two /b /2\n",
    builds: [
      again,
      { change: "echo more >> b" },
      { change: "echo more >> a" },
      { flags: ["--target", "one"] },
    ],
  },
  "labels of the command line": {
    dockerfile: "FROM BASE\nRUN true\n",
    builds: [
      again,
      { flags: ["--label", "a=1"] },
      { flags: ["--label", "a=2"] },
      { flags: ["--label", "a=1"] },
    ],
  },
  "the way the base was built": {
    dockerfile: "FROM BASE\nRUN echo same\n",
    builds: [
      again,
      { dockerfile: "FROM BASE AS b\nENV X=1\nFROM b\nRUN echo same\n" },
      { dockerfile: "FROM BASE AS b\nENV X=2\nFROM b\nRUN echo same\n" },
      { dockerfile: "FROM BASE AS b\nENV X=1\nFROM b\nRUN echo same\n" },
    ],
  },
  "owners of copies": {
    context: "echo a > a",
    dockerfile: "FROM BASE\nARG O=1\nCOPY --chown=$O a /a\n",
    builds: [again, { flags: ["--build-arg", "O=2"] }, again],
  },
};

let engines: Engines;
const contexts = contextsDirectory();
const record = new Recording<string[][]>("dockerd-cache");
beforeAll(async () => {
  if (hasDocker) engines = await startEngines("build-cache", BASE);
});
afterAll(async () => {
  contexts.remove();
  record.save();
  if (hasDocker) await engines.stop();
});

/** Of each build, its steps, marked where they were found. */
async function steps(engine: Engine, name: string, { builds, ...one }: Scenario): Promise<string[][]> {
  // A line of its own in front of each engine's first build, so that nothing of an earlier run is found.
  const unique = `${name} ${Date.now()} ${engine.host}`;
  const withMark = (text: string): string => text.replace("FROM BASE", `ARG MARK\nFROM BASE`);
  const mark = (text: string): string =>
    withMark(text).replaceAll(/^(FROM BASE.*)$/gm, `$1\nLABEL mark="${unique}"`);
  const directory = await makeContext(contexts.path, { ...one, dockerfile: mark(one.dockerfile) }, BASE);
  const found: string[][] = [];
  for (const { change, dockerfile, flags = [] } of builds) {
    if (change) await output("sh", ["-euc", `cd "$0"; ${change}`, directory]);
    writeFileSync(join(directory, "Dockerfile"), mark(dockerfile ?? one.dockerfile).replaceAll("BASE", BASE));
    const { lines, status, error } = await build(
      engine.docker,
      directory,
      "tsd-build-cached:1",
      { dockerfile: "", flags: [...flags] },
      engine.made,
    );
    if (status !== 0) throw new Error(error);
    const marked = lines.flatMap((line, index) => {
      const step = /^Step \d+\/\d+ : (.*)$/.exec(line)?.[1];
      if (step === undefined || /^(?:FROM|LABEL mark|ARG MARK)/.test(step)) return [];
      return [`${lines[index + 1] === " ---> Using cache" ? "found" : "done"} ${step}`];
    });
    found.push(marked);
  }
  engine.made.push("tsd-build-cached:1");
  return found;
}

describe.skipIf(!hasDocker)("the cache, as dockerd's classic builder", () => {
  for (const [name, scenario] of Object.entries(scenarios))
    it(name, async () => {
      const got = await steps(engines.ours, name, scenario);
      if (engines.theirs) {
        const wanted = await steps(engines.theirs, name, scenario);
        record.set(name, wanted);
        expect(got).toEqual(wanted);
      }
      expect(got).toEqual(record.get(name));
    });

  it("--cache-from: the steps of an image that came from elsewhere", async () => {
    const { ours, daemon } = engines;
    const base = JSON.parse((await daemon.api("GET", `/images/${BASE}/json`)).text) as {
      Created: string;
      Comment: string;
      Architecture: string;
      RootFS: { Layers: string[] };
    };
    // An image as another engine would have made it, known here by its history alone: its steps made no layer.
    const created = "2024-01-02T03:04:05Z";
    const steps = ["/bin/sh -c #(nop)  ENV A=1", "/bin/sh -c echo elsewhere", '/bin/sh -c #(nop)  CMD ["x"]'];
    const config = JSON.stringify({
      architecture: base.Architecture,
      os: "linux",
      created,
      config: { Env: ["A=1"], Cmd: ["x"] },
      rootfs: { type: "layers", diff_ids: base.RootFS.Layers },
      history: [
        { created: base.Created, comment: base.Comment },
        ...steps.map((created_by) => ({ created, created_by, empty_layer: true })),
      ],
    });
    const root = join(contexts.path, "elsewhere");
    mkdirSync(root);
    writeFileSync(join(root, "config.json"), config);
    writeFileSync(
      join(root, "manifest.json"),
      JSON.stringify([{ Config: "config.json", RepoTags: ["tsd-build-elsewhere:1"], Layers: ["none"] }]),
    );
    await output("tar", ["-C", root, "-cf", `${root}.tar`, "."]);
    expect((await ours.docker("load", "-i", `${root}.tar`)).status).toBe(0);
    const directory = await makeContext(
      contexts.path,
      {
        dockerfile: 'FROM BASE\nENV A=1\nRUN echo elsewhere\nCMD ["x"]\nLABEL own=1\n',
      },
      BASE,
    );
    const found = async (...flags: string[]): Promise<number> => {
      const one = { dockerfile: "", flags };
      const { lines, error } = await build(ours.docker, directory, "tsd-build-from:1", one, ours.made);
      expect(error).toBe("");
      return lines.filter((line) => line === " ---> Using cache").length;
    };
    expect(await found("--cache-from", "tsd-build-elsewhere:1")).toBe(3);
    expect(await found("--cache-from", "tsd-build-elsewhere:1", "--no-cache")).toBe(0);
    // Only steps of what was named count, whatever else there is.
    expect(await found("--cache-from", BASE)).toBe(0);
    expect(await found()).toBe(4);
  });
});
