// What a kernel lacks is said by name: judged by what the real one answers to what it does not have.
import { describe, expect, it } from "vitest";
import { KernelError } from "../errors.ts";
import { message, NLM_F_CREATE, NLM_F_EXCL } from "./message.ts";
import { netlinkRequest } from "./socket.ts";
import { classFilter, createIfb, missingInKernel, redirectIngress, tokenBucket } from "./traffic-control.ts";

const [RTM_NEWLINK, RTM_NEWQDISC, ENOENT, EEXIST, EOPNOTSUPP] = [16, 36, 2, 17, 95];

function refused(bytes: Buffer): string {
  try {
    netlinkRequest(bytes, "test");
  } catch (error) {
    if (error instanceof KernelError) return error.message;
    throw error;
  }
  throw new Error("was not refused");
}

describe("what this kernel lacks is named", () => {
  it.skipIf(process.getuid?.() !== 0)("links", () => {
    const unknown = message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, Buffer.alloc(16), [
      [3, { string: "tsd-unknown" }],
      [18, { nested: [[1, { string: "tsd-nonesuch" }]] }],
    ]);
    expect(refused(unknown)).toContain("this kernel has no links of kind tsd-nonesuch");
  });
  it.skipIf(process.getuid?.() !== 0)("queueing disciplines", () => {
    const header = Buffer.alloc(20);
    header.writeInt32LE(1, 4); // lo
    header.writeUInt32LE(0x10000, 8);
    header.writeUInt32LE(0xffffffff, 12);
    const unknown = message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, header, [
      [1, { string: "tsdnonesuch" }],
    ]);
    expect(refused(unknown)).toContain("this kernel has no queueing discipline tsdnonesuch");
  });
  it("among ours, and nothing else is taken for it", () => {
    const bucket = tokenBucket(5, { rate: 8e6, burst: 16_000, limit: 32_000, ceiling: undefined });
    const keys = [{ offset: 0, mask: 0, value: 0 }];
    const filter = classFilter(5, { priority: 1, etherType: 0x0800, keys, number: 16 });
    expect(missingInKernel(bucket, ENOENT)).toContain("tbf (module sch_tbf)");
    expect(missingInKernel(createIfb({ name: "ifb0", index: 9 }), EOPNOTSUPP)).toContain("of kind ifb");
    expect(missingInKernel(filter, ENOENT)).toContain("traffic filter u32");
    expect(missingInKernel(redirectIngress(5, 9), ENOENT)).toContain("act_mirred");
    expect(missingInKernel(bucket, EEXIST)).toBeUndefined();
    expect(missingInKernel(createIfb({ name: "ifb0", index: 9 }), EEXIST)).toBeUndefined();
  });
});
