// Opens the daemon's database and brings it up to date.
import Database from "better-sqlite3";
import { migrations } from "./migrations/index.ts";

export type Db = Database.Database;

// Every statement is kept for the daemon's life. Node 24 may collect a forgotten one while no context is entered, and
// better-sqlite3 12's destructor ends the process then.
const kept: Database.Statement[] = [];

/** Prepares a statement that is never collected. */
export function prepare<Parameters extends unknown[], Row = unknown>(
  db: Db,
  sql: string,
): Database.Statement<Parameters, Row> {
  const statement = db.prepare<Parameters, Row>(sql);
  kept.push(statement as unknown as Database.Statement);
  return statement;
}

/** Runs a pragma and returns its value. */
function pragma(db: Db, text: string): unknown {
  const statement = prepare(db, `PRAGMA ${text}`);
  return statement.reader ? statement.pluck().get() : statement.run();
}

/** Opens (or makes) the database at `path`. Throws for one that a newer version has written. WAL with NORMAL: what was
 * written survives the daemon's death; a power cut may take the last moments, never the whole. */
export function openDatabase(path: string): Db {
  try {
    return openChecked(path);
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

function openChecked(path: string): Db {
  const db = new Database(path);
  const found = pragma(db, "quick_check(1)");
  if (found !== "ok") throw new Error(`the database is damaged: ${found}`);
  pragma(db, "journal_mode = WAL");
  pragma(db, "synchronous = NORMAL");
  pragma(db, "foreign_keys = ON");
  const version = pragma(db, "user_version") as number;
  if (version > migrations.length) {
    db.close();
    throw new Error(
      `was written by a newer version (schema ${version}, this one knows ${migrations.length})`,
    );
  }
  for (const [index, { sql }] of migrations.entries()) {
    if (index < version) continue;
    db.transaction(() => {
      db.exec(sql);
      pragma(db, `user_version = ${index + 1}`);
    })();
  }
  return db;
}

/** A fact of this installation that is made once: its id, its default network's id. */
export function installationFact(db: Db, name: string, make: () => string): string {
  const row = prepare<[string], { value: string }>(db, "SELECT value FROM facts WHERE name = ?").get(name);
  if (row) return row.value;
  const value = make();
  prepare<[string, string]>(db, "INSERT INTO facts (name, value) VALUES (?, ?)").run(name, value);
  return value;
}
