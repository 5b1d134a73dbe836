// Chunked bodies of upgrade requests.
import { describe, expect, it } from "vitest";
import { parseChunks } from "./hijack.ts";

describe("chunks", () => {
  it("are put together, and what follows them is left", () => {
    const bytes = Buffer.from("4\r\nWiki\r\n6;x=y\r\npedia \r\n0\r\n\r\nrest");
    const found = parseChunks(bytes);
    expect(found?.body.toString()).toBe("Wikipedia ");
    expect(bytes.subarray(found?.end).toString()).toBe("rest");
  });
  it("are waited for while they are not whole", () => {
    const bytes = Buffer.from("4\r\nWiki\r\n0\r\n\r\n");
    for (let length = 0; length < bytes.length; length++)
      expect(parseChunks(bytes.subarray(0, length))).toBeUndefined();
    expect(parseChunks(bytes)?.end).toBe(bytes.length);
  });
  it("that are none are refused", () => {
    expect(() => parseChunks(Buffer.from("nonsense\r\n"))).toThrow("malformed chunk");
    expect(() => parseChunks(Buffer.from("fffffffff\r\n"))).toThrow("malformed chunk");
  });
});
