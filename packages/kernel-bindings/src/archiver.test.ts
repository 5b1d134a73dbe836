// Archives that nobody reads at once: a program stands in for the archiver.
import { chmodSync, closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Archiver } from "./archiver.ts";

describe("packing", () => {
  it("keeps what a process wrote that ended before anybody read", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tsd-archiver-"));
    const program = join(directory, "program");
    writeFileSync(program, "#!/bin/sh\nprintf contents\n");
    chmodSync(program, 0o755);
    const root = openSync(directory, "r");
    const { stream, done } = new Archiver(program).packContents({ root, directory: root });
    closeSync(root);
    await done.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    let text = "";
    for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString("utf8");
    expect(text).toBe("contents");
    rmSync(directory, { recursive: true, force: true });
  });
});
