// Staging and committing: all of it or none; and what a process that died in between left. The lock likewise.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { commit, stageDirectory, stageFile, sweep } from "./files.ts";
import { withLock } from "./lock.ts";
import { everything, permissions, temporaryDirectory } from "./test-support.ts";

describe("commit", () => {
  it("replaces files and directories, with their modes", () => {
    const directory = temporaryDirectory();
    const [file, folder] = [join(directory, "file"), join(directory, "folder")];
    writeFileSync(file, "old");
    mkdirSync(folder);
    writeFileSync(join(folder, "gone"), "old");
    commit([
      stageFile(file, "new", 0o444),
      stageDirectory(folder, [{ name: "key", text: "k", mode: 0o400 }]),
    ]);
    expect(everything(directory)).toEqual(["file", "folder", "folder/key"]);
    expect(readFileSync(file, "utf8")).toBe("new");
    expect([permissions(file), permissions(folder), permissions(join(folder, "key"))]).toEqual([
      "444",
      "700",
      "400",
    ]);
  });

  it("puts everything back when one cannot be placed", () => {
    const directory = temporaryDirectory();
    const [file, folder] = [join(directory, "file"), join(directory, "folder")];
    writeFileSync(file, "old");
    mkdirSync(folder);
    writeFileSync(join(folder, "inside"), "old");
    const staged = [
      stageFile(file, "new", 0o444),
      stageDirectory(folder, []),
      stageFile(join(directory, "fresh"), "new", 0o444),
      stageFile(join(directory, "last"), "new", 0o444),
    ];
    rmSync(staged[2]?.path ?? "");
    expect(() => commit(staged)).toThrow(/ENOENT/);
    expect(everything(directory)).toEqual(["file", "folder", "folder/inside"]);
    expect(readFileSync(file, "utf8")).toBe("old");
  });

  it("leaves nothing of a directory that could not be staged", () => {
    const directory = temporaryDirectory();
    const files = ["same", "same"].map((name) => ({ name, text: "", mode: 0o400 }));
    expect(() => stageDirectory(join(directory, "folder"), files)).toThrow(/EEXIST/);
    expect(everything(directory)).toEqual([]);
  });
});

describe("sweep", () => {
  it("removes what was staged, and restores what was moved away and not replaced", () => {
    const directory = temporaryDirectory();
    for (const name of [".a.tmp-0123456789ab", ".b.old-0123456789ab", ".c.old-0123456789ab", "c", ".other"])
      writeFileSync(join(directory, name), name);
    sweep(directory);
    expect(everything(directory)).toEqual([".other", "b", "c"]);
    expect(readFileSync(join(directory, "c"), "utf8")).toBe("c");
    sweep(join(directory, "missing"));
  });
});

describe("the lock", () => {
  it("is gone afterwards, also after a failure", async () => {
    const directory = temporaryDirectory();
    expect(await withLock(directory, () => existsSync(join(directory, ".lock")))).toBe(true);
    await expect(
      withLock(directory, () => {
        throw new Error("failed");
      }),
    ).rejects.toThrow("failed");
    expect(everything(directory)).toEqual([]);
  });

  it("is taken over from a dead process, also when another has its id now", async () => {
    const directory = temporaryDirectory();
    const { pid } = spawnSync("true");
    for (const holder of [`${pid} 12345\n`, `${process.pid} 1\n`]) {
      writeFileSync(join(directory, ".lock"), holder);
      expect(await withLock(directory, () => "done")).toBe("done");
    }
  });

  it("is waited for while its holder lives", async () => {
    const directory = temporaryDirectory();
    const path = join(directory, ".lock");
    let mark = "";
    await withLock(directory, () => {
      mark = readFileSync(path, "utf8");
    });
    writeFileSync(path, mark);
    let done = false;
    const waiting = withLock(directory, () => {
      done = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(done).toBe(false);
    rmSync(path);
    await waiting;
    expect(done).toBe(true);
  });
});
