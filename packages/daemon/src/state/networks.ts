// Networks in SQLite.
import type { NetworkRecord, NetworkStore } from "../engine/networks/record.ts";
import { type Db, prepare } from "./database.ts";

export function networkStore(db: Db): NetworkStore {
  const all = prepare<[], { record: string }>(db, "SELECT record FROM networks ORDER BY rowid");
  const insert = prepare<unknown[]>(db, "INSERT INTO networks (id, record) VALUES (?, ?)");
  const remove = prepare<unknown[]>(db, "DELETE FROM networks WHERE id = ?");
  return {
    all: () => all.all().map(({ record }) => JSON.parse(record) as NetworkRecord),
    insert: (record) => {
      insert.run(record.id, JSON.stringify(record));
    },
    delete: (id) => {
      remove.run(id);
    },
  };
}
