// Patterns that would keep a matcher which goes back and tries again busy for hours: the daemon answers at once.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

const LONG = "a".repeat(120);
const wild = (anything: string): string => `${anything}${`a${anything}`.repeat(12)}b`;

let daemon: TestDaemon;
let context: string;
beforeAll(async () => {
  daemon = await TestDaemon.start("patterns");
  await daemon.importBusybox();
  context = mkdtempSync(join(tmpdir(), "tsd-patterns-"));
});
afterAll(async () => {
  rmSync(context, { recursive: true, force: true });
  await daemon?.stop();
});

describe("patterns", () => {
  it("of filters are Go's expressions, and take no longer than the names do", async () => {
    await daemon.api("POST", `/images/busybox/tag?repo=${LONG}&tag=${LONG}`);
    await daemon.api("POST", `/networks/create`, { Name: LONG });
    await daemon.api("POST", "/volumes/create", { Name: LONG });
    await daemon.api("POST", `/containers/create?name=${LONG}`, { Image: "busybox" });
    const found = async (path: string, filter: object): Promise<number> => {
      const { status, text } = await daemon.api(
        "GET",
        `${path}&filters=${encodeURIComponent(JSON.stringify(filter))}`,
      );
      expect(status, text).toBe(200);
      const value: unknown = JSON.parse(text);
      return (Array.isArray(value) ? value : ((value as { Volumes: unknown[] | null }).Volumes ?? [])).length;
    };
    for (const path of ["/containers/json?all=1", "/networks?", "/volumes?"]) {
      expect(await found(path, { name: ["(a+)+$"] })).toBe(1);
      for (const hopeless of ["^(a+)+!$", "(a|a?)+!", "(a{1,30}){1,30}!$", "(a)\\1", "("])
        expect(await found(path, { name: [hopeless] }), hopeless).toBe(0);
      expect(await found(path, { name: ["^/?a{100}(?i:A){20}$"] })).toBe(1);
    }
    expect(await found("/images/json?", { reference: [`${wild("*")}:${wild("*")}`] })).toBe(0);
    expect(await found("/images/json?", { reference: [`a*a*a:*a*a`] })).toBe(1);
  });

  it("of log options are refused where they are none", async () => {
    const create = (pattern: string) =>
      daemon.api("POST", "/containers/create", {
        Image: "busybox",
        Labels: { [LONG]: "x" },
        HostConfig: { LogConfig: { Type: "json-file", Config: { "labels-regex": pattern } } },
      });
    const refused = await create("(a)\\1");
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.text)).toEqual({
      message: "invalid log opt labels-regex: error parsing regexp: invalid escape sequence: `\\1`",
    });
    const { status, text } = await create("^(a+)+!$");
    expect(status).toBe(201);
    const logs = await daemon.api(
      "GET",
      `/containers/${(JSON.parse(text) as { Id: string }).Id}/logs?details=1&stdout=1`,
    );
    expect(logs.status).toBe(200);
  });

  it("of builds take no longer than the names do", async () => {
    const lines = [
      "FROM busybox",
      `ARG long=${LONG}`,
      `COPY ${wild("*")} keep* /data/`,
      `ENV cut=\${long##${wild("*")}}`,
    ];
    mkdirSync(join(context, LONG));
    for (const [name, text] of [
      ["Dockerfile", lines.join("\n")],
      [".dockerignore", `${wild("*")}\n**/${wild("**")}\n`],
      ["keep", "kept\n"],
      [join(LONG, LONG), "left\n"],
    ] as const)
      writeFileSync(join(context, name), text);
    const built = await daemon.docker("build", "-t", "patterns", context);
    expect(built.stderr + built.stdout).toContain("Successfully tagged patterns:latest");
    const command = 'cat /data/keep; printf %s "$cut" | wc -c';
    const shown = await daemon.docker("run", "--rm", "patterns", "sh", "-c", command);
    expect(shown.stdout).toBe(`kept\n${LONG.length}\n`);
  });
});
