// Which volumes lists and prunes take.
import { describe, expect, it } from "vitest";
import { prunableVolumes, selectVolumes } from "./filters.ts";
import { ANONYMOUS_LABEL } from "./record.ts";
import { Volume } from "./volume.ts";

const volume = (
  name: string,
  labels: Record<string, string> | null = null,
  options: Record<string, string> | null = null,
): Volume => new Volume({ name, owner: "", created: "", labels, options, tree: "", confined: "" });

const volumes = [
  volume("web-data", { app: "web" }),
  volume("used", { app: "db" }),
  volume("f".repeat(64), { [ANONYMOUS_LABEL]: "" }),
  volume("mounted", null, { type: "tmpfs", device: "tmpfs" }),
];
const isUsed = ({ name }: Volume): boolean => name === "used";
const list = (filters: Record<string, string[]>): string[] =>
  selectVolumes(volumes, new Map(Object.entries(filters)), isUsed).map(({ name }) => name.slice(0, 8));
const prune = (filters: Record<string, string[]>, minor = 51): string[] =>
  prunableVolumes(volumes, new Map(Object.entries(filters)), minor, isUsed).map(({ name }) =>
    name.slice(0, 8),
  );

describe("a list", () => {
  it("by name as an expression, labels, driver, and use", () => {
    expect(list({})).toHaveLength(4);
    expect(list({ name: ["^web"] })).toEqual(["web-data"]);
    expect(list({ name: ["web", "used"] })).toEqual(["web-data", "used"]);
    expect(list({ name: ["["] })).toEqual([]);
    expect(list({ label: ["app=web"] })).toEqual(["web-data"]);
    expect(list({ label: ["app", "app=web"] })).toEqual(["web-data"]);
    expect(list({ driver: ["other"] })).toEqual([]);
    expect(list({ dangling: ["false"] })).toEqual(["used"]);
    expect(list({ dangling: ["1"] })).toHaveLength(3);
    expect(() => list({ dangling: ["maybe"] })).toThrow("invalid filter 'dangling=[maybe]'");
  });
});

describe("a prune", () => {
  it("takes those without a name; all of them if asked, or by an old client", () => {
    expect(prune({})).toEqual(["ffffffff"]);
    expect(prune({ all: ["true"] })).toEqual(["web-data", "ffffffff"]);
    expect(prune({ all: ["0"] })).toEqual(["ffffffff"]);
    expect(prune({}, 41)).toEqual(["web-data", "ffffffff"]);
    expect(prune({ all: ["1"], label: ["app"] })).toEqual(["web-data"]);
    expect(prune({ all: ["1"], "label!": ["app=web"] })).toEqual(["ffffffff"]);
    expect(() => prune({ all: ["maybe"] })).toThrow('strconv.ParseBool: parsing "maybe": invalid syntax');
  });
});
