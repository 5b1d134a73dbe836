// Which volumes a list shows, and which a prune takes.
import { type Filters, matchesLabels } from "../containers/list.ts";
import { invalid } from "../errors.ts";
import { namePattern } from "../patterns.ts";
import type { Volume } from "./volume.ts";

export const volumeFilters = ["dangling", "driver", "label", "name"];
/** `all` came with version 1.42; before, every prune took all. */
export const pruneFilters = (minorVersion: number): string[] => [
  "label",
  "label!",
  ...(minorVersion >= 42 ? ["all"] : []),
];

const truths: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const falsehoods: ReadonlySet<string> = new Set(["0", "f", "F", "FALSE", "false", "False"]);

function dangling(values: readonly string[] | undefined): boolean | undefined {
  if (!values?.length) return undefined;
  const [value = ""] = values;
  if (values.length === 1 && ["1", "true"].includes(value)) return true;
  if (values.length === 1 && ["0", "false"].includes(value)) return false;
  throw invalid(`invalid filter 'dangling=[${values.join(" ")}]'`);
}

export function selectVolumes(
  volumes: readonly Volume[],
  filters: Filters,
  isUsed: (volume: Volume) => boolean,
): Volume[] {
  const given = (name: string): readonly string[] | undefined => {
    const values = filters.get(name);
    return values?.length ? values : undefined;
  };
  const unused = dangling(given("dangling"));
  const names = given("name");
  const isNamed = names && namePattern(names);
  return volumes.filter(
    (volume) =>
      (given("driver")?.includes("local") ?? true) &&
      (isNamed?.(volume.name) ?? true) &&
      matchesLabels(given("label") ?? [], volume.record.labels ?? {}) &&
      (unused === undefined || isUsed(volume) !== unused),
  );
}

function everyKind(filters: Filters, minorVersion: number): boolean {
  if (minorVersion < 42) return true;
  const [value] = filters.get("all") ?? [];
  if (value === undefined || falsehoods.has(value)) return false;
  if (truths.has(value)) return true;
  throw invalid(`invalid filter 'all': strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
}

/** Volumes that nothing uses: those without a name, unless all are asked for. What has options stays, as in dockerd: it would
 * not come back by itself. */
export function prunableVolumes(
  volumes: readonly Volume[],
  filters: Filters,
  minorVersion: number,
  isUsed: (volume: Volume) => boolean,
): Volume[] {
  const all = everyKind(filters, minorVersion);
  const without = filters.get("label!") ?? [];
  return volumes.filter((volume) => {
    const labels = volume.record.labels ?? {};
    return (
      (all || volume.anonymous) &&
      Object.keys(volume.record.options ?? {}).length === 0 &&
      !isUsed(volume) &&
      matchesLabels(filters.get("label") ?? [], labels) &&
      !without.some((label) => matchesLabels([label], labels))
    );
  });
}
