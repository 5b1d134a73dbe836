// The networks' own names.
import { describe, expect, it } from "vitest";
import { buildAnswer } from "./answers.ts";
import type { NameDirectory } from "./directory.ts";
import { localRecords, reversedAddress, shuffled } from "./local.ts";
import { query, read } from "./samples.ts";

const directory: NameDirectory = {
  lookup: (id, name) =>
    id === "c" && name === "web.net" ? { ipv4: ["10.0.0.2", "10.0.0.3"], ipv6: ["fd00::2"] } : undefined,
  reverse: (_id, address) => (["10.0.0.2", "fd00::2"].includes(address) ? ["web.net", "web"] : undefined),
  resolvers: () => ({ servers: [], forward: true }),
};
const ask = (
  name: string,
  type: "A" | "AAAA" | "PTR" | "TXT" | "ANY" = "A",
  id = "c",
): unknown[] | undefined => {
  const asked = query(name, { type });
  const records = localRecords(directory, id, asked.question);
  return (
    records &&
    read(buildAnswer(asked, 0, records, 4096)).answers?.map((answer) => (answer as { data: unknown }).data)
  );
};

describe("a name of ours", () => {
  it("has its addresses of the family that is asked for, and no other records", () => {
    expect(ask("Web.Net.")?.toSorted()).toEqual(["10.0.0.2", "10.0.0.3"]);
    expect(ask("web.net", "AAAA")).toEqual(["fd00::2"]);
    expect(ask("web.net", "ANY")).toHaveLength(3);
    expect(ask("web.net", "TXT")).toEqual([]);
    expect(ask("web.net", "PTR")).toEqual([]);
  });

  it("is asked for in the container's sight", () => {
    expect(ask("web.net", "A", "other")).toBeUndefined();
    expect(ask("nobody")).toBeUndefined();
  });

  it("is not one of another class", () => {
    const asked = query("web.net").question;
    expect(localRecords(directory, "c", { ...asked, class: 3 })).toBeUndefined();
  });

  it("of an address is found in both families", () => {
    expect(ask("2.0.0.10.in-addr.arpa", "PTR")).toEqual(["web.net", "web"]);
    const zeros = "0.".repeat(27);
    expect(ask(`2.${zeros}0.0.d.f.ip6.arpa`, "PTR")).toEqual(["web.net", "web"]);
    expect(ask("2.0.0.10.in-addr.arpa", "A")).toEqual([]);
    expect(ask("9.0.0.10.in-addr.arpa", "PTR")).toBeUndefined();
  });
});

describe("reversed names", () => {
  it("are read whole or not at all", () => {
    expect(reversedAddress("4.3.2.1.in-addr.arpa")).toBe("1.2.3.4");
    expect(reversedAddress("3.2.1.in-addr.arpa")).toBeUndefined();
    expect(reversedAddress("300.3.2.1.in-addr.arpa")).toBeUndefined();
    expect(reversedAddress("004.3.2.1.in-addr.arpa")).toBe("1.2.3.4");
    expect(reversedAddress("1.0.ip6.arpa")).toBeUndefined();
    const nibbles = (address: string): string => `${[...address].reverse().join(".")}.ip6.arpa`;
    expect(reversedAddress(nibbles("20010db8000000000001000000000001"))).toBe("2001:db8::1:0:0:1");
    expect(reversedAddress(nibbles("00000000000000000000000000000001"))).toBe("::1");
    expect(reversedAddress(nibbles("fe800000000000000000000000000000"))).toBe("fe80::");
    expect(reversedAddress(nibbles("20010db8000100020003000400050006"))).toBe("2001:db8:1:2:3:4:5:6");
  });
});

describe("several addresses", () => {
  it("are each the first as often as the others", () => {
    const first = new Map<number, number>();
    for (let round = 0; round < 3000; round++) {
      const [head = -1] = shuffled([0, 1, 2]);
      first.set(head, (first.get(head) ?? 0) + 1);
    }
    for (const count of first.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
    expect(shuffled([1])).toEqual([1]);
  });
});
