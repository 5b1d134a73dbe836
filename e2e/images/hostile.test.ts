// Layers that a stranger might send: none touches anything outside, and each has its own refusal or safe result.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory } from "../harness/archives.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

/** What becomes of each: words of the refusal, or what the layer holds: paths, their kind (find's letters) and mode. */
const outcomes: Readonly<Record<string, RegExp | Readonly<Record<string, string>>>> = {
  // Names that climb, or begin at the root, are names below the layer's own root.
  climb: { "OUTSIDE/climbed": "f644" },
  absolute: { "OUTSIDE/absolute": "f644" },
  "climb-inside": { x: "f644" },
  "dot-dot-directory": {},
  slashes: { "OUTSIDE/slashes": "f644" },
  backslash: { "..\\..\\x": "f644" },
  // Links lead to where they would within the layer: nowhere.
  "link-absolute": /out\/through-link: Failed to create dir 'out'/,
  "link-relative": /out\/through-link: Failed to create dir 'out'/,
  "link-chain": /b\/chain: Failed to create dir 'b'/,
  "link-to-link": /l0\/many: .*Too many levels of symbolic links/,
  "link-loop": /a\/loop: .*Too many levels of symbolic links/,
  "link-over-directory": /d\/replaced: Failed to create dir 'd'/,
  "link-proc": /Failed to create dir 'p'/,
  "link-fd": /Failed to create dir 'p'/,
  "hard-outside": /h: Hard-link target '.*canary' does not exist/,
  "hard-absolute": /h: Hard-link target '.*canary' does not exist/,
  "hard-through-link": /h: Hard-link target 'o\/canary' does not exist/,
  "hard-to-self": {},
  "hard-to-directory": /h: Can't create 'h': Operation not permitted/,
  "whiteout-climb": /\.wh\.\.\.: hides nothing that a layer can have/,
  "whiteout-dot-dot": /a\/\.wh\.\.\.: hides nothing that a layer can have/,
  "whiteout-slash": { "OUTSIDE/canary": "c0" },
  "whiteout-link": /o\/canary: No such file or directory/,
  "opaque-link": /o: an opaque directory must be one/,
  "opaque-climb": { OUTSIDE: "d755" },
  "whiteout-empty": /\.wh\.: hides nothing that a layer can have/,
  "whiteout-own": { x: "c0" },
  // What an archive says of the overlay is not taken (its attributes are looked at below).
  "overlay-notes": { d: "d755" },
  "overlay-whiteout-device": { w: "c600" },
  // Devices may be in a layer; whether a container may open them is its device list's to say.
  "device-disk": { disk: "b666" },
  "device-memory": { mem: "c666", kmsg: "c666" },
  setuid: { su: "f4755", sg: "f2755", t: "d1777" },
  fifo: /f\/under-fifo: .*Not a directory/,
  twice: { x: "f644" },
  kinds: { x: "p644" },
  "file-as-directory": /x\/y: .*Not a directory/,
  "root-as-file": /an entry has no name/,
  "root-as-link": /the archive's root is no directory/,
  "negative-size": /Unrecognized archive format/,
  "binary-negative-size": /Tar entry has negative size/,
  "huge-size": /Truncated tar archive/,
  "size-beyond-end": /Truncated tar archive/,
  "bad-checksum": /Unrecognized archive format/,
  "no-end": { x: "f644" },
  "cut-header": /Unrecognized archive format/,
  empty: {},
  "only-zeros": {},
  noise: /Unrecognized archive format/,
  "name-long": /nnn: .*File name too long/,
  "path-long": /name too long/i,
  depth: { "d/d/d/d": "d775" },
  "name-control": { "a\nb\x1b[31m": "f644", "c\td": "f644" },
  "owner-huge": { x: "f644" },
  "time-huge": { x: "f644", y: "f644" },
  "pax-huge": /Special header too large/,
  "pax-bad": { x: "f644" },
  "gnu-long-name": /Special header too large/,
  bomb: /layer is larger than 104857600 bytes/,
  "bomb-twice": /layer is larger than 104857600 bytes/,
  "gzip-cut": /unexpected end of file/,
  "gzip-crc": /incorrect data check/,
  "sparse-huge": /s: Seek failed/,
};

const files = archiveDirectory();
const outside = join(files.path, "outside");
let daemon: TestDaemon;

/** All that is outside, as a text that any change shows in. */
const look = (): string =>
  readdirSync(outside)
    .sort()
    .map((name) => {
      const { mode, uid, size, mtimeMs, nlink } = statSync(join(outside, name));
      return [name, mode, uid, size, mtimeMs, nlink, readFileSync(join(outside, name), "utf8")].join(" ");
    })
    .join("\n");

describe("hostile layers", () => {
  let before: string;
  beforeAll(async () => {
    mkdirSync(outside);
    writeFileSync(join(outside, "canary"), "alive\n");
    mkdirSync(join(files.path, "corpus"));
    await output("python3", [join(import.meta.dirname, "hostile.py"), join(files.path, "corpus"), outside]);
    before = look();
    daemon = await TestDaemon.start("hostile", undefined, { flags: ["--max-layer-size", "100m"] });
  });
  afterAll(async () => {
    await daemon?.stop();
    files.remove();
  });

  it("the corpus is whole", () => {
    const corpus = readdirSync(join(files.path, "corpus")).map((name) => name.replace(/\.tar.*$/, ""));
    expect(corpus.sort()).toEqual(Object.keys(outcomes).sort());
  });

  it.each(Object.entries(outcomes))("%s", async (name, outcome) => {
    const archive = readdirSync(join(files.path, "corpus")).find(
      (file) => file.replace(/\.tar.*$/, "") === name,
    );
    const { status, stderr } = await daemon.tsctl(
      "import",
      join(files.path, "corpus", archive ?? ""),
      "hostile:1",
    );
    expect(look()).toBe(before);
    if (outcome instanceof RegExp) {
      expect(stderr).toMatch(outcome);
      expect(status).toBe(1);
    } else {
      expect(stderr + status).toBe("0");
      const [image] = JSON.parse((await daemon.tsctl("inspect", "hostile:1")).stdout) as {
        GraphDriver: { Data: { UpperDir: string } };
      }[];
      const top = image?.GraphDriver.Data.UpperDir ?? "";
      const listed = await output("find", [top, "-mindepth", "1", "-printf", "%P\\0%y%m\\0"]);
      const words = listed.split("\0");
      const found = new Map(
        words.flatMap((path, at) => (at % 2 === 0 ? [[path, words[at + 1] ?? ""] as const] : [])),
      );
      for (const [path, kind] of Object.entries(outcome))
        expect([path, found.get(path.replace("OUTSIDE", outside.slice(1)))]).toEqual([path, kind]);
      expect(
        await output("sh", ["-c", `getfattr -Rdm trusted.overlay.redirect ${top} 2>/dev/null || :`]),
      ).toBe("");
      await daemon.tsctl("rmi", "hostile:1");
    }
    const left = (): string[] =>
      ["layers", "blobs/sha256", "blobs/partial", "spool"].flatMap((kind) =>
        readdirSync(join(daemon.dataRoot, kind)),
      );
    await eventually("nothing is left of it", () => left().length === 0);
    expect(daemon.isRunning).toBe(true);
  });
});
