// Volume options as data: what is wrong with them, and the calls of mount(2) they become.
import { describe, expect, it } from "vitest";
import { checkDriverOptions, checkVolumeName, mountCalls, mountPlan, requestedLimit } from "./options.ts";

const RDONLY = 1;
const NOSUID = 2;
const REMOUNT = 0x20;
const BIND = 0x1000;
const REC = 0x4000;
const SHARED = 0x100000;

describe("a plan", () => {
  it("is none without a device", () => {
    expect(mountPlan(null)).toBeUndefined();
    expect(mountPlan({})).toBeUndefined();
    expect(mountPlan({ size: "10m" })).toBeUndefined();
  });
  it("tells flags from the file system's own options; the last word counts", () => {
    expect(mountPlan({ type: "tmpfs", device: "tmpfs", o: "size=1m,ro,nosuid,rw,uid=5,defaults" })).toEqual({
      source: "tmpfs",
      type: "tmpfs",
      flags: NOSUID,
      data: "size=1m,uid=5",
    });
    expect(mountPlan({ type: "nfs", device: ":/x", o: "addr=h,vers=4" })?.data).toBe("addr=h,vers=4");
  });
});

describe("its calls", () => {
  const flagsOf = (o: string): number[] => {
    const plan = mountPlan({ type: "none", device: "/x", o });
    return plan ? mountCalls(plan).map(({ flags }) => flags) : [];
  };
  it("are one for most", () => {
    expect(flagsOf("")).toEqual([0]);
    expect(flagsOf("bind")).toEqual([BIND]);
    expect(flagsOf("rbind")).toEqual([BIND | REC]);
    expect(flagsOf("ro,nosuid")).toEqual([RDONLY | NOSUID]);
  });
  it("are more for binds that become read-only, and for propagation", () => {
    expect(flagsOf("bind,ro")).toEqual([BIND | RDONLY, BIND | RDONLY | REMOUNT]);
    expect(flagsOf("rbind,ro,nosuid,rshared")).toEqual([
      BIND | REC | RDONLY | NOSUID,
      SHARED | REC,
      BIND | RDONLY | NOSUID | REMOUNT,
    ]);
  });
});

describe("refusals", () => {
  const refusal = (options: Record<string, string>): string => {
    try {
      checkDriverOptions("vol", options);
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  };
  it("name the option", () => {
    expect(refusal({ foo: "1", size: "x" })).toBe('create vol: invalid option: "foo"');
    expect(refusal({ size: "x" })).toBe("create vol: invalid size: 'x'");
    expect(refusal({ o: "bind" })).toBe('create vol: missing required option: "device"');
    expect(refusal({ device: "/x" })).toBe('create vol: missing required option: "type"');
    expect(refusal({ type: "none", device: "" })).toBe('create vol: missing required option: "device"');
    expect(refusal({ type: "none", device: "/x", o: "bind,remount" })).toContain("remount");
    expect(refusal({ type: "none", device: "/x\0" })).toContain("NUL");
    expect(refusal({ type: "tmpfs", device: "tmpfs", o: "size=1m" })).toBe("");
  });
  it("of names", () => {
    for (const name of ["x", "a/b", "-ab", ".ab", "é", "a".repeat(256), "a\n"])
      expect(() => checkVolumeName(name), name).toThrow(`create ${name}: `);
    for (const name of ["ab", "0_a.b-c", "A1"]) expect(() => checkVolumeName(name), name).not.toThrow();
  });
  it("a limit is that of a directory", () => {
    expect(requestedLimit({ size: "10m" })).toBe(10 << 20);
    expect(requestedLimit({ size: "0" })).toBeUndefined();
    expect(requestedLimit({ size: "10m", type: "tmpfs", device: "tmpfs" })).toBeUndefined();
    expect(requestedLimit(null)).toBeUndefined();
  });
});
