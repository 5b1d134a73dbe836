// Volumes in SQLite.
import type { VolumeRecord, VolumeStore } from "../engine/volumes/record.ts";
import { type Db, prepare } from "./database.ts";

type Row = Pick<VolumeRecord, "name" | "owner"> & { record: string };

/** Of volumes of before there were records only the owner is known. */
const unrecorded: Omit<VolumeRecord, "name" | "owner"> = {
  created: "",
  labels: null,
  options: null,
  tree: "",
  confined: "",
};

export function volumeStore(db: Db): VolumeStore {
  const all = prepare<[], Row>(db, "SELECT name, owner, record FROM volumes ORDER BY rowid");
  const insert = prepare<unknown[]>(
    db,
    "INSERT OR REPLACE INTO volumes (name, owner, record) VALUES (?, ?, ?)",
  );
  const remove = prepare<unknown[]>(db, "DELETE FROM volumes WHERE name = ?");
  return {
    all: () =>
      all.all().map(({ name, owner, record }) => ({
        ...unrecorded,
        ...(JSON.parse(record) as Partial<VolumeRecord>),
        name,
        owner,
      })),
    insert: ({ name, owner, ...rest }) => {
      insert.run(name, owner, JSON.stringify(rest));
    },
    delete: (name) => {
      remove.run(name);
    },
  };
}
