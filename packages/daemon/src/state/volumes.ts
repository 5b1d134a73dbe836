// Volumes' owners in SQLite.
import type { VolumeStore } from "../engine/volumes.ts";
import { type Db, prepare } from "./database.ts";

export function volumeStore(db: Db): VolumeStore {
  const all = prepare<[], { name: string; owner: string }>(db, "SELECT name, owner FROM volumes");
  const insert = prepare<unknown[]>(db, "INSERT OR REPLACE INTO volumes (name, owner) VALUES (?, ?)");
  const remove = prepare<unknown[]>(db, "DELETE FROM volumes WHERE name = ?");
  return {
    all: () => all.all(),
    insert: (name, owner) => {
      insert.run(name, owner);
    },
    delete: (name) => {
      remove.run(name);
    },
  };
}
