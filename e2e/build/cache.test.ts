// The build cache: which steps are found again and which are not, as dockerd's classic builder has it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { hasDocker } from "../harness/daemon.ts";
import { type Engine, type Engines, Recording, startEngines } from "./engines.ts";
import { BASE, build, contextsDirectory, makeContext } from "./outcome.ts";

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
  if (hasDocker) engines = await startEngines("build-cache");
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
  const directory = await makeContext(contexts.path, { ...one, dockerfile: mark(one.dockerfile) });
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
    const outcome = async (engine: Engine): Promise<string[][]> => {
      const { docker, made } = engine;
      const directory = await makeContext(contexts.path, {
        context: "echo a > a",
        dockerfile: `FROM BASE\nENV A=1\nRUN echo ${Date.now()} > /when\nCOPY a /a\nCMD x\n`,
      });
      const one = async (...flags: string[]): Promise<string[]> => {
        const { lines, status, error } = await build(
          docker,
          directory,
          "tsd-build-from:2",
          { dockerfile: "", flags },
          made,
        );
        if (status !== 0) throw new Error(error);
        return lines.map((line) => line.replace(/echo \d+/, "echo TIME"));
      };
      await docker("build", "-t", "tsd-build-from:1", directory);
      // Saved, removed with all its steps, and loaded: only its history is left of how it was built.
      const archive = join(contexts.path, "saved.tar");
      const saved = await docker("save", "-o", archive, "tsd-build-from:1");
      if (saved.status !== 0) return [];
      await docker("rmi", "tsd-build-from:1");
      await docker("load", "-i", archive);
      const without = await one();
      await docker("rmi", "-f", "tsd-build-from:2");
      const withIt = await one("--cache-from", "tsd-build-from:1");
      made.push("tsd-build-from:1", "tsd-build-from:2");
      return [without, withIt];
    };
    const got = await outcome(engines.ours);
    if (engines.theirs) {
      const wanted = await outcome(engines.theirs);
      record.set("cache-from", wanted);
    }
    // Until this engine can save images there is nothing to load.
    if (got.length > 0) expect(got).toEqual(record.get("cache-from"));
  });
});
