// Archives that nobody reads at once, and ends of every kind: a server stands in that answers on the descriptors it gets.
import { writeSync } from "node:fs";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ArchiveError, ArchiveJob } from "./archive-job.ts";

/** A process that has ended before its request returns. */
function ended(output: string, errors: string, status: number | undefined): ArchiveJob {
  const send = (_request: Uint8Array, [toStatus, , toOutput, toErrors]: readonly number[]): void => {
    writeSync(toOutput ?? -1, output);
    writeSync(toErrors ?? -1, errors);
    if (status !== undefined) writeSync(toStatus ?? -1, new Int32Array([status]));
  };
  return new ArchiveJob({ send }, ["pack-contents"], []);
}

describe("packing", () => {
  it("keeps what a process wrote that ended before anybody read", async () => {
    const job = ended("contents", "", 0);
    await delay(20);
    expect(await text(job.stdout)).toBe("contents");
    await job.done;
  });

  it.each([
    ["its own words", "no archive\n", 1 << 8, "no archive"],
    ["its status", "", 3 << 8, "archiver ended with status 3"],
    ["its signal", "", 9, "archiver ended with signal 9"],
    ["its server's end", "", undefined, "archiver ended with its server"],
  ])("fails with %s", async (_what, errors, status, message) => {
    const job = ended("", errors, status);
    job.stdout.resume();
    await expect(job.done).rejects.toThrow(new ArchiveError(message));
  });
});
