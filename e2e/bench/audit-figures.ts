// What the audit record costs, in a process of its own: appending to it, and verifying a million records.
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChainVerifier } from "../../packages/daemon/src/api/audit-chain.ts";
import { AuditLog } from "../../packages/daemon/src/engine/audit/log.ts";
import { openAuditStore } from "../../packages/daemon/src/state/audit.ts";

export interface AuditFigures {
  /** Microseconds. */
  append: number;
  /** Seconds. */
  verify: number;
  records: number;
}

const RECORDS = 1_000_000;
const entry = {
  caller: "cert:bench",
  role: "operator",
  from: "10.0.0.1:40000",
  action: "container:create",
  method: "POST",
  path: "/containers/create",
  object: `container/${"0123456789abcdef".repeat(4)}`,
  asked: { Name: "bench", Image: "busybox" },
  status: 201,
  result: "ok",
  message: "",
  duration: 1,
} as const;

const directory = mkdtempSync(join(tmpdir(), "tsd-audit-"));
try {
  let memory: string | undefined;
  const log = new AuditLog({
    store: openAuditStore(join(directory, "audit.db")),
    privateKey: generateKeyPairSync("ed25519").privateKey,
    memory: {
      read: () => memory,
      write: (text) => {
        memory = text;
      },
    },
    report: (problem) => {
      throw problem;
    },
    announce: () => undefined,
  });
  const begun = performance.now();
  for (let index = 0; index < RECORDS; index++) log.append(entry);
  log.checkpoint();
  const append = ((performance.now() - begun) * 1000) / RECORDS;

  // As a client does it: an export's lines, parsed and verified.
  const verifier = new ChainVerifier(log.publicKey.pem);
  let verify = 0;
  for await (const lines of log.export()) {
    const start = performance.now();
    for (const line of lines.split("\n")) if (line) verifier.push(JSON.parse(line));
    verify += performance.now() - start;
  }
  const { records, problems } = verifier.finish();
  if (records !== RECORDS || problems.length > 0)
    throw new Error(`${records} records: ${JSON.stringify(problems.slice(0, 3))}`);
  const figures: AuditFigures = { append, verify: verify / 1000, records };
  console.log(JSON.stringify(figures));
  log.close();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
