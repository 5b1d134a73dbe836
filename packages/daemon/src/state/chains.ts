// Service chains in SQLite.
import type { ChainRecord, ChainStore } from "../engine/chains/service.ts";
import { type Db, prepare } from "./database.ts";

export function chainStore(db: Db): ChainStore {
  const all = prepare<[], { record: string }>(db, "SELECT record FROM chains ORDER BY rowid");
  const insert = prepare<unknown[]>(db, "INSERT INTO chains (name, record) VALUES (?, ?)");
  const remove = prepare<unknown[]>(db, "DELETE FROM chains WHERE name = ?");
  return {
    all: () => all.all().map(({ record }) => JSON.parse(record) as ChainRecord),
    insert: (record) => {
      insert.run(record.name, JSON.stringify(record));
    },
    delete: (name) => {
      remove.run(name);
    },
  };
}
