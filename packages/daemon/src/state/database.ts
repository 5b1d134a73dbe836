// Opens the daemon's database and brings it up to date.
import Database from "better-sqlite3";
import { migrations } from "./migrations/index.ts";

export type Db = Database.Database;

/** Opens (or makes) the database at `path`. Throws for one that a newer version has written. WAL with NORMAL: what was
 * written survives the daemon's death; a power cut may take the last moments, never the whole. */
export function openDatabase(path: string): Db {
  const db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = NORMAL");
  db.pragma("foreign_keys = ON");
  const version = db.pragma("user_version", { simple: true }) as number;
  if (version > migrations.length) {
    db.close();
    throw new Error(
      `${path} was written by a newer version (schema ${version}, this one knows ${migrations.length})`,
    );
  }
  for (const [index, { sql }] of migrations.entries()) {
    if (index < version) continue;
    db.transaction(() => {
      db.exec(sql);
      db.pragma(`user_version = ${index + 1}`);
    })();
  }
  return db;
}

/** A fact of this installation that is made once: its id, its default network's id. */
export function installationFact(db: Db, name: string, make: () => string): string {
  const row = db.prepare<[string], { value: string }>("SELECT value FROM facts WHERE name = ?").get(name);
  if (row) return row.value;
  const value = make();
  db.prepare("INSERT INTO facts (name, value) VALUES (?, ?)").run(name, value);
  return value;
}
