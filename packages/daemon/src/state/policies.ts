// Policies in SQLite.
import type { PolicyRequest } from "../api/schemas/policy.ts";
import type { PolicyStore } from "../engine/policies/service.ts";
import { type Db, prepare } from "./database.ts";

export function policyStore(db: Db): PolicyStore {
  const all = prepare<[], { network: string; request: string }>(db, "SELECT network, request FROM policies");
  const save = prepare<unknown[]>(db, "INSERT OR REPLACE INTO policies (network, request) VALUES (?, ?)");
  const remove = prepare<unknown[]>(db, "DELETE FROM policies WHERE network = ?");
  return {
    all: () =>
      all.all().map(({ network, request }) => ({ network, request: JSON.parse(request) as PolicyRequest })),
    save: (network, request) => {
      save.run(network, JSON.stringify(request));
    },
    delete: (network) => {
      remove.run(network);
    },
  };
}
