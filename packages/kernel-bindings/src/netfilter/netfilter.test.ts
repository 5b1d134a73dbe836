// nf_tables messages as data: what the kernel is told is compared byte by byte, or by its attributes.
import { describe, expect, it } from "vitest";
import { parseAttributes, parseMessages } from "../netlink/message.ts";
import * as rule from "./expressions.ts";
import * as tables from "./tables.ts";

const table: tables.Table = { family: "ip", name: "t" };

describe("a batch", () => {
  it("is framed by messages that are not acknowledged", () => {
    const bytes = tables.batch([tables.newTable(table)]);
    expect(parseMessages(bytes).map(({ type }) => type)).toEqual([16, (10 << 8) | 0, 17]);
    expect(bytes.readUInt16LE(6) & 4).toBe(0);
    expect(bytes.readUInt16BE(18)).toBe(10);
  });
});

describe("sets", () => {
  it("pad each part of a key to whole registers", () => {
    expect(tables.concatenation(Buffer.from([6]), rule.network16(80)).toString("hex")).toBe(
      "0600000000500000",
    );
    expect(tables.concatenation(rule.network16(80)).toString("hex")).toBe("0050");
  });

  it("know the sizes of keys and data", () => {
    const [message] = parseMessages(
      tables.newSet(table, { name: "s", key: ["interface", "ether", "ipv4"], data: ["ipv4", "port"] }),
    );
    const attributes = parseAttributes(message?.body.subarray(4) ?? Buffer.alloc(0));
    expect(attributes.get(5)?.readUInt32BE()).toBe(16);
    expect(attributes.get(7)?.readUInt32BE()).toBe(8);
    expect(attributes.get(4)?.readUInt32BE()).toBe((20 << 12) | (9 << 6) | 7);
  });

  it("spread many elements over messages that fit", () => {
    const list = Array.from({ length: 1000 }, (_, index) => ({ key: rule.native32(index) }));
    const messages = tables.addElements(table, "s", list);
    expect(messages).toHaveLength(3);
    for (const message of messages) expect(message.length).toBeLessThan(65536);
  });
});

describe("rules", () => {
  it("hold their expressions in order, and a comment for nft(8)", () => {
    const bytes = tables.newRule(table, "c", [rule.meta("iif"), rule.verdict("drop")], "why");
    const attributes = parseAttributes(parseMessages(bytes)[0]?.body.subarray(4) ?? Buffer.alloc(0));
    const names = [...(attributes.get(4)?.toString("latin1") ?? "").matchAll(/meta|immediate/g)].map(String);
    expect(names).toEqual(["meta", "immediate"]);
    expect(attributes.get(7)?.toString("latin1")).toBe("\0\x04why\0");
  });
});
