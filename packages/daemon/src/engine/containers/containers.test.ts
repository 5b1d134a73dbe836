// The pure parts of a container's life: restart policies, health, log encoding, log services, ps, statistics of modes.
import type { Stats } from "node:fs";
import { describe, expect, it } from "vitest";
import { goFileMode } from "../../runtime/path.ts";
import { Demultiplexer } from "./demultiplex.ts";
import { afterProbe, validateHealthcheck } from "./health.ts";
import { type EncodingOptions, encodeLogLine, LogEncoder } from "./log-encoding.ts";
import { logForward } from "./log-forward.ts";
import type { Health } from "./record.ts";
import { nextDelay, restartsAfterExit, restartsWithDaemon } from "./restart-policy.ts";
import { parseProcesses } from "./top.ts";

const policy = (Name: string, MaximumRetryCount = 0) => ({ Name, MaximumRetryCount });

describe("restart policies", () => {
  const end = { exitCode: 1, restartCount: 0, manuallyStopped: false };
  it("after an exit", () => {
    expect(restartsAfterExit(policy("no"), end)).toBe(false);
    expect(restartsAfterExit(policy("always"), { ...end, exitCode: 0 })).toBe(true);
    expect(restartsAfterExit(policy("always"), { ...end, manuallyStopped: true })).toBe(false);
    expect(restartsAfterExit(policy("on-failure"), { ...end, restartCount: 1000 })).toBe(true);
    expect(restartsAfterExit(policy("on-failure"), { ...end, exitCode: 0 })).toBe(false);
    expect(restartsAfterExit(policy("on-failure", 3), { ...end, restartCount: 2 })).toBe(true);
    expect(restartsAfterExit(policy("on-failure", 3), { ...end, restartCount: 3 })).toBe(false);
  });
  it("with the daemon", () => {
    const stopped = { startedAt: "2026-01-01T00:00:00Z", manuallyStopped: true };
    expect(restartsWithDaemon(policy("always"), stopped)).toBe(true);
    expect(restartsWithDaemon(policy("unless-stopped"), stopped)).toBe(false);
    expect(restartsWithDaemon(policy("unless-stopped"), { ...stopped, manuallyStopped: false })).toBe(true);
    expect(restartsWithDaemon(policy("always"), { startedAt: "", manuallyStopped: false })).toBe(false);
    expect(restartsWithDaemon(policy("on-failure"), stopped)).toBe(false);
  });
  it("wait longer each time, up to a minute, and begin anew after ten good seconds", () => {
    const delays: number[] = [];
    while (delays.length < 12) delays.push(nextDelay(delays.at(-1) ?? 0, 0));
    expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(delays.at(-1)).toBe(60_000);
    expect(nextDelay(60_000, 10_000)).toBe(100);
  });
});

describe("health", () => {
  const starting: Health = { Status: "starting", FailingStreak: 0, Log: [] };
  const probe = (ExitCode: number) => ({ Start: "", End: "", ExitCode, Output: "" });
  const rules = { retries: 2, inStartPeriod: false };
  it("turns after so many failures, and back at once", () => {
    const once = afterProbe(starting, probe(1), rules);
    expect([once.Status, once.FailingStreak]).toEqual(["starting", 1]);
    const twice = afterProbe(once, probe(-1), rules);
    expect([twice.Status, twice.FailingStreak]).toEqual(["unhealthy", 2]);
    expect(afterProbe(twice, probe(0), rules)).toMatchObject({ Status: "healthy", FailingStreak: 0 });
  });
  it("does not count failures of the start period, until there was a success", () => {
    const early = { ...rules, inStartPeriod: true };
    expect(afterProbe(starting, probe(1), early).FailingStreak).toBe(0);
    expect(afterProbe(afterProbe(starting, probe(0), early), probe(1), early).FailingStreak).toBe(1);
  });
  it("keeps the last five", () => {
    let health = starting;
    for (let round = 0; round < 8; round++) health = afterProbe(health, probe(round), rules);
    expect(health.Log.map(({ ExitCode }) => ExitCode)).toEqual([3, 4, 5, 6, 7]);
  });
  it("is checked", () => {
    const check = { Test: ["CMD"], Interval: 0, Timeout: 0, StartPeriod: 0, StartInterval: 0, Retries: 0 };
    expect(() => validateHealthcheck({ ...check, OnFailure: "explode" })).toThrow(
      "invalid Healthcheck.OnFailure",
    );
    expect(() => validateHealthcheck({ ...check, OnFailure: "", Timeout: 5 })).toThrow(
      "Timeout in Healthcheck",
    );
    expect(() => validateHealthcheck({ ...check, OnFailure: "", Test: ["RUN"] })).toThrow(
      "Unknown healthcheck type",
    );
  });
});

describe("log encoding", () => {
  const time = "2026-01-02T03:04:05.123456789Z";
  const line = (log: string, stream = "stdout", at = time): string =>
    `${JSON.stringify({ log, stream, time: at })}\n`;
  const all = {
    stdout: true,
    stderr: true,
    timestamps: false,
    details: undefined,
    since: undefined,
    until: undefined,
    terminal: false,
  };
  const encode = (text: string, options: Partial<EncodingOptions> = {}): Buffer =>
    new LogEncoder({ ...all, ...options }).encode(Buffer.from(text));

  it("is the same for the quick way and the slow one", () => {
    for (const log of [
      "plain\n",
      "",
      "\n",
      "no newline",
      'quote " here\n',
      "tab\t\n",
      "back\\nslash\n",
      "umläut €\n",
      "a\nb\n",
    ])
      for (const stream of ["stdout", "stderr"] as const)
        for (const timestamps of [true, false])
          for (const details of [undefined, "", `a=${"b".repeat(200)}`])
            for (const terminal of [true, false])
              expect(encode(line(log, stream), { timestamps, details, terminal })).toEqual(
                encodeLogLine({ log, stream, time }, { timestamps, details, terminal }),
              );
  });
  it("is not misled by what looks like the end of a line's text", () => {
    const log = 'x\\n","stream":"stderr","time":"1"}\n';
    expect(encode(line(log), { terminal: true }).toString()).toBe(log);
  });
  it("puts details between time and text, as long as they may be", () => {
    const details = `a=${"b".repeat(500)}`;
    const text = encode(line("1\n") + line("2\t\n"), { timestamps: true, details, terminal: true });
    expect(text.toString()).toBe(`${time} ${details} 1\n${time} ${details} 2\t\n`);
  });
  it("chooses by stream and time", () => {
    const text =
      line("1\n", "stdout", "2026-01-01T00:00:01Z") +
      line("2\n", "stderr", "2026-01-01T00:00:02Z") +
      line("3\n", "stdout", "2026-01-01T00:00:03Z");
    const at = (second: number): bigint => BigInt(Date.parse(`2026-01-01T00:00:0${second}Z`)) * 1_000_000n;
    const shown = (options: object): string => encode(text, { terminal: true, ...options }).toString();
    expect(shown({ stderr: false })).toBe("1\n3\n");
    expect(shown({ since: at(2) })).toBe("2\n3\n");
    expect(shown({ until: at(2) })).toBe("1\n2\n");
  });
});

describe("the multiplexed format", () => {
  it("is taken apart however it is cut", () => {
    const whole = Buffer.concat(
      ["one", "", "three"].map((log, index) =>
        encodeLogLine(
          { log, stream: index % 2 ? "stderr" : "stdout", time: "" },
          { timestamps: false, terminal: false },
        ),
      ),
    );
    for (let cut = 1; cut < whole.length; cut++) {
      const taken = new Demultiplexer();
      taken.write(whole.subarray(0, cut));
      taken.end(whole.subarray(cut));
      expect((taken.read() as Buffer).toString()).toBe("onethree");
    }
  });
});

describe("log services", () => {
  const container = {
    id: "0123456789abcdef".repeat(4),
    name: "web",
    image: "nginx",
    imageId: "sha256:aa",
    labels: { "com.example/a": "1", other: "2" },
    environment: ["KEY=v=w", "X=1"],
  };
  it("get addresses, tags and fields", () => {
    expect(
      logForward("syslog", { "syslog-address": "udp://192.0.2.1:5140", tag: "{{.Name}}" }, container),
    ).toEqual({
      protocol: "udp",
      address: "192.0.2.1 5140",
      format: "syslog",
      tag: "web",
      facility: 3,
      fields: [],
    });
    expect(logForward("syslog", { "syslog-address": "tcp://[2001:db8::1]" }, container)?.address).toBe(
      "2001:db8::1 514",
    );
    expect(logForward("journald", { labels: "com.example/a", "env-regex": "^K" }, container)?.fields).toEqual(
      expect.arrayContaining(["COM_EXAMPLE_A=1", "KEY=v=w", "CONTAINER_NAME=web"]),
    );
    expect(logForward("json-file", {}, container)).toBeUndefined();
  });
  it("refuse names for addresses: no resolver belongs into the monitor", () => {
    expect(() => logForward("syslog", { "syslog-address": "udp://loghost" }, container)).toThrow(
      "must be an IP address",
    );
  });
});

describe("ps", () => {
  it("is cut down to the container's processes", () => {
    const text = "  PID USER     COMMAND\n    1 root     init\n   42 root     sleep 10  20\n";
    expect(parseProcesses(text, new Set([42]))).toEqual({
      Titles: ["PID", "USER", "COMMAND"],
      Processes: [["42", "root", "sleep 10 20"]],
    });
    expect(() => parseProcesses("USER\nroot\n", new Set([1]))).toThrow("Couldn't find PID field");
  });
});

describe("modes", () => {
  const status = (mode: number, kind: string): Stats =>
    ({
      mode,
      ...Object.fromEntries(
        ["isDirectory", "isSymbolicLink", "isBlockDevice", "isCharacterDevice", "isFIFO", "isSocket"].map(
          (name) => [name, () => name === kind],
        ),
      ),
    }) as unknown as Stats;
  it("are Go's", () => {
    expect(goFileMode(status(0o40755, "isDirectory"))).toBe(2147484141);
    expect(goFileMode(status(0o120777, "isSymbolicLink"))).toBe(134218239);
    expect(goFileMode(status(0o104711, ""))).toBe(8389065);
    expect(goFileMode(status(0o10644, "isFIFO"))).toBe(33554852);
  });
});
