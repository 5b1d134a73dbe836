// Which networks a list shows, and which a prune takes.
import { type Filters, matchesLabels } from "../containers/list.ts";
import { invalid } from "../errors.ts";
import { parseNanoseconds } from "../events/time-parameter.ts";
import { namePattern } from "../patterns.ts";
import { parseTime } from "../timestamps.ts";
import type { Network } from "./network.ts";

export const networkFilters = ["dangling", "driver", "id", "label", "name", "scope", "type"];
export const pruneFilters = ["label", "label!", "until"];

function truth(filter: string, value: string | undefined): boolean {
  if (["1", "true"].includes(value ?? "")) return true;
  if (["0", "false"].includes(value ?? "")) return false;
  throw invalid(`invalid filter '${filter}=[${value}]'`);
}

export function selectNetworks(networks: readonly Network[], filters: Filters): Network[] {
  const given = (name: string): readonly string[] | undefined => {
    const values = filters.get(name);
    return values?.length ? values : undefined;
  };
  const type = given("type");
  for (const value of type ?? [])
    if (!["builtin", "custom"].includes(value)) throw invalid(`invalid filter: 'type'='${value}'`);
  const dangling = given("dangling");
  const wanted = dangling && truth("dangling", dangling[0]);
  const [names, ids] = [given("name"), given("id")];
  const isNamed = names && namePattern(names);
  const isIdentified = ids && namePattern(ids);
  return networks.filter((network) => {
    const { record, predefined } = network;
    return (
      (given("driver")?.includes(record.driver) ?? true) &&
      (isIdentified?.(record.id) ?? true) &&
      (isNamed?.(record.name) ?? true) &&
      (given("scope")?.includes("local") ?? true) &&
      (type?.includes(predefined ? "builtin" : "custom") ?? true) &&
      matchesLabels(given("label") ?? [], record.labels) &&
      (wanted === undefined ||
        (wanted ? !predefined && network.endpoints.size === 0 : predefined || network.endpoints.size > 0))
    );
  });
}

/** Networks of users' that nothing is in. */
export function prunable(networks: readonly Network[], filters: Filters): Network[] {
  const [until] = filters.get("until") ?? [];
  const limit = until === undefined ? undefined : parseNanoseconds(until);
  return networks.filter(({ record, predefined, endpoints }) => {
    const without = filters.get("label!") ?? [];
    return (
      !predefined &&
      endpoints.size === 0 &&
      matchesLabels(filters.get("label") ?? [], record.labels) &&
      !without.some((label) => matchesLabels([label], record.labels)) &&
      (limit === undefined || (parseTime(record.created) ?? 0n) < limit)
    );
  });
}
