// Exec instances in SQLite.
import type { ExecRecord, ExecStore } from "../engine/exec/store.ts";
import { type Db, prepare } from "./database.ts";

export function execStore(db: Db): ExecStore {
  const all = prepare<[], { record: string }>(db, "SELECT record FROM execs");
  const save = prepare<unknown[]>(db, "INSERT OR REPLACE INTO execs (id, record) VALUES (?, ?)");
  const remove = prepare<unknown[]>(db, "DELETE FROM execs WHERE id = ?");
  return {
    all: () => all.all().map((row) => JSON.parse(row.record) as ExecRecord),
    save: (record) => {
      save.run(record.id, JSON.stringify(record));
    },
    delete: (id) => {
      remove.run(id);
    },
  };
}
