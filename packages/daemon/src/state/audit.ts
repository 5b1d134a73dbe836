// The audit record in a SQLite database of its own: it can be kept, copied and protected apart from everything else.
import Database from "better-sqlite3";
import type { AuditLine, AuditStore, CheckpointMemory } from "../engine/audit/store.ts";
import { type Db, prepare } from "./database.ts";

/** Opens (or makes) the record at `path`. */
export function openAuditStore(path: string): AuditStore {
  const db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  db.exec(`
    CREATE TABLE IF NOT EXISTS records (sequence INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS checkpoints (sequence INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
  `);
  const append = prepare<unknown[]>(db, "INSERT INTO records (sequence, text) VALUES (?, ?)");
  const addCheckpoint = prepare<unknown[]>(
    db,
    "INSERT OR IGNORE INTO checkpoints (sequence, text) VALUES (?, ?)",
  );
  const last = prepare<[], AuditLine>(
    db,
    "SELECT sequence, text FROM records ORDER BY sequence DESC LIMIT 1",
  );
  const from = prepare<[number, number], AuditLine>(
    db,
    "SELECT sequence, text FROM records WHERE sequence >= ? ORDER BY sequence LIMIT ?",
  );
  const checkpoints = prepare<[number, number], AuditLine>(
    db,
    "SELECT sequence, text FROM checkpoints WHERE sequence BETWEEN ? AND ? ORDER BY sequence",
  );
  return {
    append: ({ sequence, text }) => {
      append.run(sequence, text);
    },
    addCheckpoint: ({ sequence, text }) => {
      addCheckpoint.run(sequence, text);
    },
    last: () => last.get(),
    from: (sequence, limit) => from.all(sequence, limit),
    checkpoints: (first, end) => checkpoints.all(first, end),
    close: () => {
      db.close();
    },
  };
}

const FACT = "audit-checkpoint";

/** The last checkpoint, in the daemon's own database. */
export function checkpointMemory(db: Db): CheckpointMemory {
  const read = prepare<[string], { value: string }>(db, "SELECT value FROM facts WHERE name = ?");
  const write = prepare<[string, string]>(db, "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)");
  return {
    read: () => read.get(FACT)?.value,
    write: (text) => {
      write.run(FACT, text);
    },
  };
}
