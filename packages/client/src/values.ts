// Values as docker's flags write them: sizes, whole numbers, durations, key=value pairs, comma-separated fields, filters.

const units: Readonly<Record<string, number>> = {
  "": 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  p: 2 ** 50,
};

/** Bytes of "64m", "1.5g", "1gib". Throws for what is no size. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (!match?.[1]) throw new Error(`invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * (units[(match[2] ?? "").toLowerCase()] ?? 1));
}

/** As parseBytes, or −1 for no limit. */
export const parseBytesOrUnlimited = (text: string): number => (text === "-1" ? -1 : parseBytes(text));

/** A whole number. Throws for what is none. */
export function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text))
    throw new Error(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

const durationUnits: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Nanoseconds of a Go duration: "1m30s", "500ms". Throws for what is none. */
export function parseDuration(text: string): number {
  const match = /^([+-]?)((?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|0)$/.exec(text);
  if (!match?.[2]) throw new Error(`time: invalid duration ${JSON.stringify(text)}`);
  let total = 0;
  for (const [, count, unit] of match[2].matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g))
    total += Number(count) * (durationUnits[unit ?? ""] ?? 0);
  return match[1] === "-" ? -total : total;
}

/** Billionths of a processor. Throws for what is no number. */
export function parseCpus(text: string): number {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) throw new Error(`failed to parse ${text} as a rational number`);
  const [, fraction = ""] = text.split(".");
  if (fraction.replace(/0+$/, "").length > 9) throw new Error("value is too precise");
  return Math.round(Number(text) * 1e9);
}

/** "a=b" → [a, b]; without = the value is empty. */
export function splitPair(text: string, separator = "="): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

export const pairs = (items: readonly string[]): Record<string, string> =>
  Object.fromEntries(items.map((item) => splitPair(item)));

/** The fields of a comma-separated line; quotes keep a comma. */
export function commaFields(text: string): string[] {
  return [...text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "",
  );
}

/** Refuses a --filter that is no pair. */
export function checkFilter(value: string): void {
  if (!value.includes("=")) throw new Error("bad format of filter (expected name=value)");
}

/** --filter values as the API wants them: {"name":{"value":true}}. */
export function filtersJson(values: readonly string[]): string | undefined {
  if (values.length === 0) return undefined;
  const filters: Record<string, Record<string, boolean>> = {};
  for (const filter of values) {
    const [name, value] = splitPair(filter);
    const key = name.trim().toLowerCase();
    filters[key] = { ...filters[key], [value.trim()]: true };
  }
  return JSON.stringify(filters);
}
