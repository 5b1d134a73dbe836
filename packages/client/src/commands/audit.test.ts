// tsctl audit, roles: what is asked for, and what is made of the answers.
import { generateKeyPairSync, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { type AuditRecord, checkpointBytes, FIRST_PREVIOUS, recordHash } from "@tsd/daemon/api/audit-chain";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Result, TestTsctl } from "../testing/tsctl.ts";

const tsctl = new TestTsctl();
const keys = generateKeyPairSync("ed25519");
const publicKey = keys.publicKey.export({ type: "spki", format: "pem" }).toString();
let server: Server;
let host = "";
/** What was asked for. */
const asked: string[] = [];

/** Records and a checkpoint after every second one, as the daemon exports them. */
function chain(count: number): object[] {
  const lines: object[] = [];
  let previous = FIRST_PREVIOUS;
  for (let sequence = 1; sequence <= count; sequence++) {
    const fields: Omit<AuditRecord, "hash"> = {
      kind: "record",
      sequence,
      time: `2026-01-02T03:04:0${sequence}.123456789Z`,
      caller: "cert:alice",
      role: "operator",
      from: "10.0.0.2:41234",
      action: "container:create",
      method: "POST",
      path: "/containers/create",
      object: `container/${"a".repeat(64)}`,
      asked: {},
      status: sequence === 2 ? 403 : 201,
      result: sequence === 2 ? "refused" : "ok",
      message: sequence === 2 ? "not allowed" : "",
      duration: 1.23,
      previous,
    };
    previous = recordHash(fields);
    lines.push({ ...fields, hash: previous });
    if (sequence % 2 > 0) continue;
    const point = { sequence, time: fields.time, hash: previous };
    lines.push({
      kind: "checkpoint",
      ...point,
      signature: sign(null, checkpointBytes(point), keys.privateKey).toString("base64"),
    });
  }
  return lines;
}

const ndjson = (lines: readonly object[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join("");

beforeAll(async () => {
  await tsctl.build();
  server = createServer((request, response) => {
    const url = (request.url ?? "").replace("/v1.51", "");
    asked.push(`${request.method} ${url}`);
    if (url === "/tsd/audit/key") response.end(JSON.stringify({ PublicKey: publicKey, Fingerprint: "f00" }));
    else if (url === "/tsd/audit/export") response.end(ndjson(chain(4)));
    else if (url.startsWith("/tsd/audit")) response.end(ndjson(chain(3).filter((line) => "asked" in line)));
    else if (url === "/tsd/roles/check") {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { roles } = JSON.parse(Buffer.concat(chunks).toString()) as { roles?: object };
        if (roles)
          response.end(JSON.stringify({ Roles: Object.keys(roles), Callers: 1, Warnings: ["careful"] }));
        else response.writeHead(400).end('{"message":"roles: is missing"}');
      });
    } else response.writeHead(404).end('{"message":"no such thing"}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  host = `tcp://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
});
afterAll(() => {
  server.close();
  tsctl.remove();
});

const run = (...words: string[]): Promise<Result> => tsctl.run(["-H", host, ...words]);

function file(name: string, content: string): string {
  const path = join(tsctl.directory, name);
  writeFileSync(path, content);
  return path;
}

describe("tsctl audit", () => {
  it("is a table that tells why", async () => {
    expect((await run("audit")).stdout).toBe(
      `TIME                        CALLER                ROLE          FROM                    ACTION                  OBJECT                          RESULT     MS
2026-01-02T03:04:01.123Z    cert:alice            operator      10.0.0.2:41234          container:create        container/aaaaaaaaaaaa          ok         1.2
2026-01-02T03:04:02.123Z    cert:alice            operator      10.0.0.2:41234          container:create        container/aaaaaaaaaaaa          refused    1.2  not allowed
2026-01-02T03:04:03.123Z    cert:alice            operator      10.0.0.2:41234          container:create        container/aaaaaaaaaaaa          ok         1.2
`,
    );
    expect(asked.at(-1)).toBe("GET /tsd/audit?tail=20");
  });
  it("hands its filters on", async () => {
    await run(
      "audit",
      "-f",
      "-n",
      "3",
      "--since",
      "1h",
      "--until",
      "0s",
      "--caller",
      "cert:a b",
      "--action",
      "x",
    );
    expect(asked.at(-1)).toBe(
      "GET /tsd/audit?since=1h&until=0s&caller=cert%3Aa%20b&action=x&follow=1&tail=3",
    );
    await run("audit", "query", "--object", "container/x", "--result", "refused");
    expect(asked.at(-1)).toBe("GET /tsd/audit?object=container%2Fx&result=refused");
    expect((await run("audit", "--result", "bad")).status).toBe(125);
    expect((await run("audit", "-n", "few")).stderr).toContain("a number, or all");
  });
  it("formats", async () => {
    expect((await run("audit", "--format", "{{.sequence}} {{.result}}")).stdout).toBe(
      "1 ok\n2 refused\n3 ok\n",
    );
    const lines = (await run("audit", "query", "--format", "json")).stdout.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(chain(3).filter((line) => "asked" in line));
  });
  it("exports as it is", async () => {
    expect((await run("audit", "export")).stdout).toBe(ndjson(chain(4)));
    const path = join(tsctl.directory, "export");
    expect(await run("audit", "export", "-o", path)).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(path, "utf8")).toBe(ndjson(chain(4)));
  });
});

describe("tsctl audit verify", () => {
  it("asks the daemon for record and key, and says whose key that is", async () => {
    expect(await run("audit", "verify")).toEqual({
      status: 0,
      stdout:
        "ok: 4 records, 2 checkpoints (by the key that the daemon gave, sha256 f00: keep it, and give it with --key)\n",
      stderr: "",
    });
  });
  it("needs no daemon with a file and a key", async () => {
    const words = [
      "audit",
      "verify",
      "--file",
      file("good", ndjson(chain(4))),
      "--key",
      file("key", publicKey),
    ];
    expect(await tsctl.run(["-H", "unix:///nosuch", ...words])).toEqual({
      status: 0,
      stdout: "ok: 4 records, 2 checkpoints\n",
      stderr: "",
    });
  });
  it("tells of every record that does not fit, and fails", async () => {
    const changed = ndjson(chain(4)).replace("cert:alice", "cert:bob");
    const result = await run(
      "audit",
      "verify",
      "--file",
      file("bad", changed),
      "--key",
      file("key", publicKey),
    );
    expect(result.status).toBe(1);
    expect(result.stdout).toMatch(/^1: was changed: .*\nNOT ok: 4 records, 2 checkpoints, 1 problem\n$/);
    const cut = ndjson(chain(4)).split("\n").slice(0, -3).join("\n");
    expect((await run("audit", "verify", "--file", file("cut", `${cut}\nnonsense`))).stdout).toMatch(
      /neither a record/,
    );
  });
  it("knows a checkpoint that was written down elsewhere", async () => {
    const pinned = (hash: string): Promise<Result> => run("audit", "verify", "--checkpoint", `2:${hash}`);
    const [, second] = chain(2) as AuditRecord[];
    expect((await pinned(second?.hash ?? "")).status).toBe(0);
    expect((await pinned("0".repeat(64))).stdout).toContain(
      "2: is not the record that is known under this number",
    );
    expect((await run("audit", "verify", "--checkpoint", "2")).stderr).toContain("SEQUENCE:HASH");
  });
  it("names files that are wrong", async () => {
    expect((await run("audit", "verify", "--key", "/nosuch")).stderr).toBe(
      "open /nosuch: no such file or directory\n",
    );
    expect((await run("audit", "verify", "--file", "/nosuch")).stderr).toBe(
      "open /nosuch: no such file or directory\n",
    );
    const wrong = file("wrong", "x");
    expect((await run("audit", "verify", "--key", wrong)).stderr).toContain(
      `${wrong}: not a public key in PEM format`,
    );
  });
});

describe("tsctl roles check", () => {
  it("counts, warns, and names the field", async () => {
    const good = file("roles.json", '{"roles":{"a":{},"b":{}}}');
    expect(await run("roles", "check", good)).toEqual({
      status: 0,
      stdout: `${good}: ok, 2 roles, 1 caller\n`,
      stderr: `${good}: warning: careful\n`,
    });
    const bad = file("bad.json", "{}");
    expect(await run("roles", "check", bad)).toEqual({
      status: 1,
      stdout: "",
      stderr: `${bad}: roles: is missing\n`,
    });
    const none = file("none.json", "{");
    expect((await run("roles", "check", none)).stderr).toContain(`${none}: not JSON: `);
    expect((await run("roles", "check", "/nosuch")).stderr).toBe("open /nosuch: no such file or directory\n");
  });
});
