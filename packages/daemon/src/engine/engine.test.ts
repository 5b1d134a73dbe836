// The engine's pure parts: references, changes, detach keys, addresses, times, filters, signals.
import { describe, expect, it } from "vitest";
import { DetachDetector, parseDetachKeys } from "./containers/detach-keys.ts";
import { parseFilters } from "./containers/list.ts";
import { encodeLogLine } from "./containers/log-encoding.ts";
import { logSettings, parseSize } from "./containers/log-settings.ts";
import { humanDuration } from "./containers/view.ts";
import { applyChanges } from "./images/changes.ts";
import { parseReference, taggedName } from "./images/reference.ts";
import { signalNumber } from "./signals.ts";
import { formatNanoseconds, parseTime } from "./timestamps.ts";

describe("references", () => {
  it("take names apart, in their familiar form", () => {
    expect(taggedName(parseReference("busybox"))).toBe("busybox:latest");
    expect(parseReference("localhost:5000/a/b:t")).toEqual({
      name: "localhost:5000/a/b",
      tag: "t",
      digest: undefined,
    });
    const digest = `sha256:${"a".repeat(64)}`;
    expect(parseReference(`x@${digest}`)).toEqual({ name: "x", tag: undefined, digest });
  });
  it("refuse what is none", () => {
    for (const bad of ["", "a:b:c", "-x", "a//b", "x:", "x@sha256:12"])
      expect(() => parseReference(bad)).toThrow("invalid reference format");
    expect(() => parseReference("Upper")).toThrow("must be lowercase");
    expect(() => parseReference("a".repeat(64))).toThrow("cannot specify 64-byte hexadecimal strings");
  });
});

describe("changes", () => {
  it("apply in order and leave the base alone", () => {
    const base = { Env: ["A=1"] };
    expect(
      applyChanges(base, [
        "ENV A=2 B='x y'",
        "CMD echo hi",
        'ENTRYPOINT ["a"]',
        "HEALTHCHECK --interval=1m30s CMD true",
      ]),
    ).toEqual({
      Env: ["A=2", "B=x y"],
      Cmd: ["/bin/sh", "-c", "echo hi"],
      Entrypoint: ["a"],
      Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 90e9 },
    });
    expect(base).toEqual({ Env: ["A=1"] });
  });
  it("refuse other instructions", () => {
    expect(() => applyChanges({}, ["RUN x"])).toThrow("run is not a valid change command");
    expect(() => applyChanges({}, ["ENV"])).toThrow("ENV requires at least one argument");
  });
});

describe("detach keys", () => {
  const through = (keys: string, ...chunks: string[]): { passed: string; detached: boolean } => {
    const detector = new DetachDetector(parseDetachKeys(keys));
    let detached = false;
    detector.on("detach", () => {
      detached = true;
    });
    for (const chunk of chunks) detector.write(Buffer.from(chunk));
    detector.end();
    return { passed: (detector.read() as Buffer | null)?.toString() ?? "", detached };
  };
  it("are Ctrl-P Ctrl-Q unless told otherwise, also in pieces", () => {
    expect(through("", "ab\u0010", "\u0011cd")).toEqual({ passed: "ab", detached: true });
    expect(through("x,y", "axbxxy")).toEqual({ passed: "axbx", detached: true });
  });
  it("pass on what only began like them", () => {
    expect(through("", "\u0010x\u0010")).toEqual({ passed: "\u0010x\u0010", detached: false });
  });
  it("refuse what is no key", () => {
    expect(() => parseDetachKeys("ctrl-1")).toThrow("Invalid detach keys");
  });
});

describe("times, sizes, signals, filters", () => {
  it("nanoseconds there and back", () => {
    expect(formatNanoseconds(1_700_000_000_123_456_789n)).toBe("2023-11-14T22:13:20.123456789Z");
    expect(parseTime("2023-11-14T22:13:20.123456789Z")).toBe(1_700_000_000_123_456_789n);
    expect(parseTime("2023-11-14T23:13:20+01:00")).toBe(1_700_000_000_000_000_000n);
    expect(parseTime("yesterday")).toBeUndefined();
  });
  it("durations and sizes in Docker's words", () => {
    expect([500, 1500, 59_000, 61_000, 3_600_000, 49 * 3_600_000].map(humanDuration)).toEqual([
      "Less than a second",
      "1 second",
      "59 seconds",
      "About a minute",
      "About an hour",
      "2 days",
    ]);
    expect(parseSize("10m")).toBe(10 << 20);
    expect(() => parseSize("ten")).toThrow("invalid size: 'ten'");
  });
  it("how logs are kept, by driver", () => {
    const settings = (Type: string, Config: Record<string, string> = {}) => logSettings({ Type, Config });
    const both = { "max-size": "1m", "max-file": "2" };
    expect(settings("")).toEqual({ maximumSize: 64 << 20, maximumFiles: 3, compress: false });
    expect(settings("local")).toEqual({ maximumSize: 20 << 20, maximumFiles: 5, compress: true });
    expect(settings("none")).toBeUndefined();
    expect(settings("json-file", { ...both, compress: "T" })).toEqual({
      maximumSize: 1 << 20,
      maximumFiles: 2,
      compress: true,
    });
    expect(settings("local", { compress: "0", "max-file": "1" })?.compress).toBe(false);
    expect(settings("json-file", { compress: "false" })?.compress).toBe(false);
    for (const value of ["", "maybe", "tRUE", "2"])
      expect(() => settings("json-file", { ...both, compress: value })).toThrow(
        `error reading compress log option: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
      );
    for (const less of [{}, { "max-size": "1m" }, { "max-file": "2" }, { ...both, "max-file": "1" }])
      expect(() => settings("json-file", { ...less, compress: "true" })).toThrow(
        "compress cannot be true when max-file is less than 2 or max-size is not set",
      );
    expect(() => settings("local", { "max-file": "1" })).toThrow(
      "compression cannot be enabled when max file count is 1",
    );
    expect(() => settings("syslog", { compress: "true" })).toThrow("unknown log opt 'compress'");
    expect(() => settings("local", { labels: "a" })).toThrow("unknown log opt 'labels' for local log driver");
  });
  it("signals by name and number", () => {
    expect([
      signalNumber("KILL"),
      signalNumber("sigterm"),
      signalNumber("9"),
      signalNumber("RTMIN+1"),
    ]).toEqual([9, 15, 9, 35]);
    expect(() => signalNumber("FOO")).toThrow("invalid signal: FOO");
    expect(() => signalNumber("99")).toThrow("invalid signal: 99");
  });
  it("filters in both of their forms", () => {
    expect(parseFilters('{"name":{"a":true,"b":true},"id":["c"]}', ["name", "id"])).toEqual(
      new Map([
        ["name", ["a", "b"]],
        ["id", ["c"]],
      ]),
    );
    expect(() => parseFilters('{"x":["y"]}', ["name"])).toThrow("invalid filter 'x'");
  });
  it("log lines are framed unless there is a terminal", () => {
    const line = { log: "hé\n", stream: "stderr", time: "t" } as const;
    expect(encodeLogLine(line, { timestamps: false, terminal: false })).toEqual(
      Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 4]), Buffer.from("hé\n")]),
    );
    expect(encodeLogLine(line, { timestamps: true, terminal: true }).toString()).toBe("t hé\n");
  });
});
