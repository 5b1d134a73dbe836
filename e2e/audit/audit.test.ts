// The audit record: who did what is in it, secrets are not, and whatever is done to it shows.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AuditRecord, ChainVerifier } from "../../packages/daemon/src/api/audit-chain.ts";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let database: string;

beforeAll(async () => {
  daemon = await TestDaemon.start("audit");
  database = join(daemon.dataRoot, "audit/audit.db");
  await daemon.importBusybox();
});
afterAll(async () => {
  await daemon?.stop();
});

const lines = async (path: string): Promise<Record<string, unknown>[]> =>
  (await daemon.api("GET", path)).text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const records = async (query = ""): Promise<AuditRecord[]> =>
  (await lines(`/tsd/audit?${query}`)) as unknown as AuditRecord[];

async function verify(pinned: { sequence: number; hash: string }[] = []): Promise<string[]> {
  const key = JSON.parse((await daemon.api("GET", "/tsd/audit/key")).text) as { PublicKey: string };
  const verifier = new ChainVerifier(key.PublicKey, { pinned });
  for (const line of await lines("/tsd/audit/export")) verifier.push(line);
  return verifier.finish().problems.map(({ sequence, problem }) => `${sequence}: ${problem}`);
}

describe("what is written down", () => {
  it("who, from where, what, on what, with what result", async () => {
    const created = await daemon.api("POST", "/containers/create?name=audited", {
      Image: "busybox",
      Cmd: ["true"],
      HostConfig: { Privileged: true, Binds: ["/tmp:/x"] },
    });
    const { Id } = JSON.parse(created.text) as { Id: string };
    await daemon.api("POST", "/containers/nosuch/start");
    await daemon.api("DELETE", `/containers/${Id}`);
    const [create, start, remove] = (await records()).slice(-3);
    expect(create).toMatchObject({
      kind: "record",
      caller: "unix:0",
      role: "admin",
      action: "container:create",
      method: "POST",
      path: "/containers/create",
      object: `container/${Id}`,
      asked: { Name: "audited", Image: "busybox", Privileged: true, Binds: ["/tmp:/x"] },
      status: 201,
      result: "ok",
    });
    expect(create?.from).toBe(`pid ${process.pid}`);
    expect(create?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
    expect(start).toMatchObject({ object: "container/nosuch", status: 404, result: "failed" });
    expect(start?.message).toContain("No such container: nosuch");
    expect(remove).toMatchObject({ action: "container:remove", object: `container/${Id}`, status: 204 });
  });

  it("one record a request, streams when they begin; looking is not written down", async () => {
    const before = (await records()).length;
    await daemon.tsctl("run", "--rm", "busybox", "true");
    await daemon.tsctl("ps");
    await daemon.api("GET", "/info");
    const added = (await records()).slice(before).map(({ action, status }) => `${action} ${status}`);
    expect(added.filter((line) => line.startsWith("container:attach"))).toEqual(["container:attach 101"]);
    expect(added).toEqual(expect.arrayContaining(["container:create 201", "container:start 204"]));
    expect(added.some((line) => /list|inspect|info|wait/.test(line))).toBe(false);
  });

  it("is found by caller, action, object, result, time, and the last of it", async () => {
    const all = await records();
    expect(await records("tail=2")).toEqual(all.slice(-2));
    expect(
      (await records("action=container:create")).every(({ action }) => action === "container:create"),
    ).toBe(true);
    expect((await records("result=failed")).length).toBe(
      all.filter(({ result }) => result === "failed").length,
    );
    expect(await records("caller=unix:0")).toHaveLength(all.length);
    expect(await records("caller=cert:nobody")).toHaveLength(0);
    expect((await records("object=nosuch")).length).toBeGreaterThan(0);
    expect(await records("until=1")).toHaveLength(0);
    expect((await daemon.api("GET", "/tsd/audit?result=perhaps")).status).toBe(400);
    expect((await daemon.api("GET", "/tsd/audit?tail=-1")).status).toBe(400);
  });

  it("no secret is, nor in the log, nor in an error", async () => {
    const secret = "hunter2-secret";
    const encoded = Buffer.from(JSON.stringify({ username: "u", password: secret })).toString("base64");
    const name = await daemon.tsctl("run", "-d", "-e", `PASSWORD=${secret}`, "busybox", "sleep", "60");
    const id = name.stdout.trim();
    await daemon.tsctl("exec", "-e", `TOKEN=${secret}`, id, "sh", "-c", `echo ${secret}`);
    const answers = [
      await daemon.api("POST", "/auth", { username: "u", password: secret }),
      await daemon.api(
        "POST",
        `/images/create?fromSrc=${encodeURIComponent(`http://u:${secret}@host/x.tar`)}`,
      ),
      await daemon.api("POST", `/images/create?fromImage=x&changes=${encodeURIComponent(`ENV P=${secret}`)}`),
      await daemon.api("POST", `/build?buildargs=${encodeURIComponent(JSON.stringify({ P: secret }))}`),
      await daemon.api("POST", `/containers/${id}/update`, `{"Memory": "${secret}"}`),
    ];
    const options = [
      "--unix-socket",
      daemon.socket,
      "-H",
      `X-Registry-Auth: ${encoded}`,
      "-H",
      `X-Registry-Config: ${encoded}`,
    ];
    await output("curl", ["-s", ...options, "-X", "POST", "http://d/images/x/push"]);
    for (const answer of answers) expect(answer.text).not.toContain(secret);
    const written =
      readFileSync(database).toString("latin1") + readFileSync(`${database}-wal`).toString("latin1");
    for (const text of [daemon.log, JSON.stringify(await records()), written])
      for (const one of [secret, encoded]) expect(text).not.toContain(one);
    await daemon.api("DELETE", `/containers/${id}?force=1`);
  });
});

/** Changes the database while no daemon runs, and starts one again. */
async function tamper(script: string): Promise<void> {
  await daemon.end();
  const file = join(daemon.root, "tamper.py");
  writeFileSync(
    file,
    `import sqlite3, json, sys\ndb = sqlite3.connect(sys.argv[1])\n${script}\ndb.commit()\n`,
  );
  await output("python3", [file, database]);
  await daemon.launch();
}

/** Puts the database back as it was. */
async function restore(copy: Buffer): Promise<void> {
  await daemon.end();
  await output("sh", ["-c", `rm -f ${database}-wal ${database}-shm`]);
  writeFileSync(database, copy);
  await daemon.launch();
}

describe("what is done to it", () => {
  let copy: Buffer;
  let count: number;
  let pinned: { sequence: number; hash: string };

  beforeAll(async () => {
    for (let i = 0; i < 12; i++) await daemon.api("POST", `/containers/nosuch${i}/start`);
    await daemon.end();
    copy = readFileSync(database);
    await daemon.launch();
    const all = await records();
    count = all.length;
    pinned = { sequence: count, hash: all.at(-1)?.hash ?? "" };
  });

  it("nothing: it is whole, over restarts and a daemon that was killed", async () => {
    expect(await verify([pinned])).toEqual([]);
    await daemon.api("POST", "/containers/nosuch/start");
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect((await records()).length).toBe(count + 1);
    expect(await verify([pinned])).toEqual([]);
    await restore(copy);
    // One record less than was signed for: that alone is found.
    expect((await verify()).length).toBeGreaterThan(0);
  });

  const record = (n: number): string =>
    `text = db.execute("SELECT text FROM records WHERE sequence=${n}").fetchone()[0]; row = json.loads(text)`;
  const put = (n: number): string =>
    `db.execute("UPDATE records SET text=? WHERE sequence=${n}", (json.dumps(row),))`;
  const ways: readonly (readonly [
    what: string,
    script: () => string,
    found: (problems: string[]) => void,
  ])[] = [
    [
      "a field that is changed",
      () => `${record(5)}\nrow["caller"] = "unix:1000"\n${put(5)}`,
      (problems) => expect(problems).toContainEqual(expect.stringMatching(/^5: was changed/)),
    ],
    [
      "a record that is taken out",
      () => `db.execute("DELETE FROM records WHERE sequence=6")`,
      (problems) => expect(problems).toContainEqual(expect.stringMatching(/^6: record 6 is missing/)),
    ],
    [
      "two that change places",
      () =>
        `a = db.execute("SELECT text FROM records WHERE sequence=7").fetchone()[0]; b = db.execute("SELECT text FROM records WHERE sequence=8").fetchone()[0]
db.execute("UPDATE records SET text=? WHERE sequence=7", (b,)); db.execute("UPDATE records SET text=? WHERE sequence=8", (a,))`,
      (problems) => expect(problems).toContainEqual(expect.stringMatching(/^7: is out of order/)),
    ],
    [
      "one that is put in another's place, with a hash of its own",
      () => `import hashlib
${record(4)}
row["object"] = "container/innocent"
fields = [row[k] for k in ("sequence","time","caller","role","from","action","method","path","object","asked","status","result","message","duration","previous")]
row["hash"] = hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
${put(4)}`,
      (problems) => expect(problems).toContainEqual(expect.stringMatching(/^4: was replaced/)),
    ],
    [
      "an end that is cut off, checkpoints too",
      () =>
        `db.execute("DELETE FROM records WHERE sequence>9"); db.execute("DELETE FROM checkpoints WHERE sequence>9")`,
      (problems) =>
        expect(problems).toContainEqual(expect.stringMatching(/^10: records 10 to \d+ are missing/)),
    ],
    [
      "everything from one record on written anew, hashes and all",
      () => `import hashlib
previous = None
for (n,) in db.execute("SELECT sequence FROM records WHERE sequence>=3 ORDER BY sequence").fetchall():
    row = json.loads(db.execute("SELECT text FROM records WHERE sequence=?", (n,)).fetchone()[0])
    if previous is None: row["message"] = "nothing happened"
    else: row["previous"] = previous
    fields = [row[k] for k in ("sequence","time","caller","role","from","action","method","path","object","asked","status","result","message","duration","previous")]
    row["hash"] = previous = hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()
    db.execute("UPDATE records SET text=? WHERE sequence=?", (json.dumps(row, ensure_ascii=False), n))`,
      (problems) => expect(problems).toContainEqual(expect.stringMatching(/were written anew/)),
    ],
    [
      "a checkpoint that somebody else signed",
      () =>
        `n, text = db.execute("SELECT sequence, text FROM checkpoints ORDER BY sequence LIMIT 1").fetchone(); row = json.loads(text)
row["signature"] = "A" * 86 + "=="
db.execute("UPDATE checkpoints SET text=? WHERE sequence=?", (json.dumps(row), n))`,
      (problems) => expect(problems).toContainEqual(expect.stringMatching(/is not signed by this key/)),
    ],
  ];
  for (const [what, script, found] of ways)
    it(`${what}: found, and named`, async () => {
      await restore(copy);
      await tamper(script());
      const problems = await verify([pinned]);
      found(problems);
      const told = await daemon.tsctl("audit", "verify");
      expect(told.status).toBe(1);
      found(told.stdout.split("\n").map((line) => line.replace(/^record (\d+)\b:?/, "$1:")));
    });

  it("an export is checked by whoever has it and the key, without the daemon", async () => {
    await restore(copy);
    const file = join(daemon.root, "audit.jsonl");
    const key = join(daemon.root, "audit-key.pem");
    expect((await daemon.tsctl("audit", "export", "-o", file)).status).toBe(0);
    writeFileSync(
      key,
      (JSON.parse((await daemon.api("GET", "/tsd/audit/key")).text) as { PublicKey: string }).PublicKey,
    );
    const text = readFileSync(file, "utf8");
    const check = () =>
      daemon.cli("node", [
        join(import.meta.dirname, "../../packages/client/bin/tsctl"),
        "-H",
        "unix:///nowhere",
        "audit",
        "verify",
        "--file",
        file,
        "--key",
        key,
      ]);
    const [first = ""] = text.split("\n");
    writeFileSync(file, text.replace(first, first.replace('"status":200', '"status":201')));
    const told = await check();
    expect(told.status).toBe(1);
    expect(told.stdout).toMatch(/1\b.*was changed/);
  });
});
