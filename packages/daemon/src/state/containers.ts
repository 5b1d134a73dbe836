// Containers in SQLite.
import {
  type ContainerDefinition,
  type ContainerRecord,
  type ContainerState,
  type ContainerStore,
  initialState,
} from "../engine/containers/record.ts";
import { emptyEndpoint } from "../engine/networks/places.ts";
import { type Db, prepare } from "./database.ts";

/** What records of before there were owners, or networks to choose from, lack. */
function completed(
  definition: Partial<ContainerDefinition> & Pick<ContainerDefinition, "hostConfig">,
): ContainerDefinition {
  const { NetworkMode } = definition.hostConfig;
  const networks = NetworkMode.startsWith("container:") ? {} : { [NetworkMode]: emptyEndpoint() };
  return { owner: "", networks, networkIds: {}, ...definition } as ContainerDefinition;
}

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
  const define = prepare<unknown[]>(db, "UPDATE containers SET name = ?, definition = ? WHERE id = ?");
  const remove = prepare<unknown[]>(db, "DELETE FROM containers WHERE id = ?");
  return {
    all: () =>
      all.all().map(
        (row): ContainerRecord => ({
          definition: completed(JSON.parse(row.definition) as ContainerDefinition),
          // A record of an older version lacks the newer fields.
          state: { ...initialState, ...(JSON.parse(row.state) as ContainerState) },
        }),
      ),
    insert: ({ definition, state }) => {
      insert.run(definition.id, definition.name, JSON.stringify(definition), JSON.stringify(state));
    },
    saveState: (id: string, state: ContainerState) => {
      save.run(JSON.stringify(state), id);
    },
    saveDefinition: (definition) => {
      define.run(definition.name, JSON.stringify(definition), definition.id);
    },
    delete: (id) => {
      remove.run(id);
    },
  };
}
