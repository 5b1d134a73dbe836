// The audit chain's verifier: every way to change a chain shows, and names the record.
import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  type AuditCheckpoint,
  type AuditRecord,
  ChainVerifier,
  checkpointBytes,
  FIRST_PREVIOUS,
  recordHash,
} from "./audit-chain.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const pem = String(publicKey.export({ type: "spki", format: "pem" }));

function chain(length: number): AuditRecord[] {
  const records: AuditRecord[] = [];
  for (let sequence = 1; sequence <= length; sequence++) {
    const unhashed = {
      kind: "record" as const,
      sequence,
      time: "2026-01-01T00:00:00Z",
      caller: "unix:0",
      role: "admin",
      from: "",
      action: "container:start",
      method: "POST",
      path: "/",
      object: `container/${sequence}`,
      asked: {},
      status: 204,
      result: "ok" as const,
      message: "",
      duration: 1,
      previous: records.at(-1)?.hash ?? FIRST_PREVIOUS,
    };
    records.push({ ...unhashed, hash: recordHash(unhashed) });
  }
  return records;
}
function signed({ sequence, hash }: AuditRecord, key = privateKey): AuditCheckpoint {
  const unsigned = { sequence, time: "2026-01-01T00:00:01Z", hash };
  return {
    kind: "checkpoint",
    ...unsigned,
    signature: sign(null, checkpointBytes(unsigned), key).toString("base64"),
  };
}
function problemsOf(lines: readonly unknown[], pinned: { sequence: number; hash: string }[] = []): string[] {
  const verifier = new ChainVerifier(pem, { pinned });
  for (const line of lines) verifier.push(line);
  return verifier.finish().problems.map(({ sequence, problem }) => `${sequence}: ${problem}`);
}
const at = (records: readonly AuditRecord[], sequence: number): AuditRecord => {
  const record = records[sequence - 1];
  if (!record) throw new Error(`no record ${sequence}`);
  return record;
};

describe("a chain", () => {
  it("that is whole has no problems", () => {
    const records = chain(10);
    const verifier = new ChainVerifier(pem);
    for (const record of records) {
      verifier.push(record);
      if (record.sequence % 3 === 0) verifier.push(signed(record));
    }
    expect(verifier.finish()).toEqual({ records: 10, checkpoints: 3, problems: [] });
  });
  it("shows every field that was changed", () => {
    for (const field of [
      "time",
      "caller",
      "role",
      "from",
      "action",
      "method",
      "path",
      "object",
      "message",
    ] as const) {
      const records = chain(5);
      records[2] = { ...at(records, 3), [field]: "other" };
      expect(problemsOf(records), field).toEqual(["3: was changed: its hash is not that of what it says"]);
    }
    for (const change of [
      { asked: { x: 1 } },
      { status: 200 },
      { result: "failed" as const },
      { duration: 2 },
    ]) {
      const records = chain(5);
      records[2] = { ...at(records, 3), ...change };
      expect(problemsOf(records)).toHaveLength(1);
    }
  });
  it("shows records that are missing, at the start, within, and at the end", () => {
    const records = chain(8);
    expect(problemsOf(records.slice(2))).toEqual(["1: records 1 to 2 are missing"]);
    expect(problemsOf([...records.slice(0, 3), ...records.slice(4)])).toEqual(["4: record 4 is missing"]);
    const cut = problemsOf([...records.slice(0, 5), signed(at(records, 8))]);
    expect(cut).toEqual(["6: records 6 to 8 are missing at the end: they were signed for"]);
    expect(problemsOf(records.slice(0, 7), [{ sequence: 8, hash: at(records, 8).hash }])).toHaveLength(1);
  });
  it("shows records out of order, and twice, and those alone", () => {
    const records = chain(6);
    const swapped = [at(records, 1), at(records, 3), at(records, 2), ...records.slice(3)];
    expect(problemsOf(swapped)).toEqual(["2: is out of order: it stands after 3"]);
    expect(problemsOf([...records.slice(0, 3), at(records, 3), ...records.slice(3)])).toEqual([
      "3: stands there twice",
    ]);
  });
  it("shows one that was replaced, though it hashes to what it says", () => {
    const records = chain(5);
    const forged = { ...at(records, 3), object: "container/other" };
    records[2] = { ...forged, hash: recordHash(forged) };
    expect(problemsOf(records)[0]).toMatch(/^3: was replaced/);
  });
  it("shows one that was written anew from somewhere on, by what was signed or is known", () => {
    const [records, others] = [chain(5), chain(5)];
    for (let n = 3; n <= 5; n++) {
      const anew = { ...at(others, n), message: "other", previous: at(others, n - 1).hash };
      others[n - 1] = { ...anew, hash: recordHash(anew) };
    }
    expect(problemsOf([...others, signed(at(records, 5))])[0]).toMatch(
      /^5: records up to this one were written anew/,
    );
    expect(problemsOf(others, [{ sequence: 4, hash: at(records, 4).hash }])[0]).toMatch(
      /^4: is not the record/,
    );
  });
  it("shows what is signed by another key, and lines that are nothing", () => {
    const records = chain(2);
    const other = generateKeyPairSync("ed25519").privateKey;
    expect(problemsOf([...records, signed(at(records, 2), other)])[0]).toMatch(/not signed by this key/);
    expect(problemsOf([at(records, 1), null, { kind: "record" }, at(records, 2)])).toHaveLength(2);
  });
});
