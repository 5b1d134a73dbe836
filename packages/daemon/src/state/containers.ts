// Containers in SQLite.
import type { ContainerRecord, ContainerState, ContainerStore } from "../engine/containers/record.ts";
import { type Db, prepare } from "./database.ts";

export function containerStore(db: Db): ContainerStore {
  const all = prepare<[], { definition: string; state: string }>(
    db,
    "SELECT definition, state FROM containers",
  );
  const insert = prepare<unknown[]>(
    db,
    "INSERT INTO containers (id, name, definition, state) VALUES (?, ?, ?, ?)",
  );
  const save = prepare<unknown[]>(db, "UPDATE containers SET state = ? WHERE id = ?");
  const remove = prepare<unknown[]>(db, "DELETE FROM containers WHERE id = ?");
  return {
    all: () =>
      all.all().map(
        (row): ContainerRecord => ({
          definition: JSON.parse(row.definition),
          state: JSON.parse(row.state),
        }),
      ),
    insert: ({ definition, state }) => {
      insert.run(definition.id, definition.name, JSON.stringify(definition), JSON.stringify(state));
    },
    saveState: (id: string, state: ContainerState) => {
      save.run(JSON.stringify(state), id);
    },
    delete: (id) => {
      remove.run(id);
    },
  };
}
