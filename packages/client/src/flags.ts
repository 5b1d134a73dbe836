// Command line flags as docker's client takes them: short ones bundled, long ones with = or a word, up to the first
// argument where a command says so.

/** bool: a switch; text: one value, the last wins; list: repeatable. */
export type FlagKind = "bool" | "text" | "list";
/** Flags by long name: their kind, and their letter if they have one. */
export type FlagTable = Readonly<Record<string, readonly [kind: FlagKind, short?: string]>>;

export interface ParsedFlags {
  /** Long names of flags that were given. */
  has(name: string): boolean;
  bool(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): string[];
  args: string[];
}

/** What the user typed is wrong. Flags end with status 125, as docker's do; what else was wrong with 1. */
export class UsageError extends Error {
  readonly status: number;
  constructor(message: string, status = 125) {
    super(message);
    this.status = status;
  }
}

/** --help was asked for. */
export class HelpRequest extends Error {
  readonly table: FlagTable;
  constructor(table: FlagTable) {
    super("help");
    this.table = table;
  }
}

export const parseBool = (name: string, value: string): boolean => {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw new UsageError(
    `invalid argument "${value}" for "--${name}" flag: strconv.ParseBool: parsing "${value}": invalid syntax`,
  );
};

/** Parses a command's words. With `stopAtArgument` everything after the first argument belongs to the container. */
export function parseFlags(words: readonly string[], table: FlagTable, stopAtArgument = false): ParsedFlags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const byShort = new Map(
    Object.entries(table).flatMap(([name, [, short]]) => (short ? [[short, name] as const] : [])),
  );
  const set = (name: string, value: string): void => {
    const kind = table[name]?.[0];
    if (kind === "bool") parseBool(name, value);
    if (kind === "list") values.set(name, [...(values.get(name) ?? []), value]);
    else values.set(name, [value]);
  };
  let index = 0;
  const next = (_name: string, shown: string): string => {
    const value = words[++index];
    if (value === undefined) throw new UsageError(`flag needs an argument: ${shown}`);
    return value;
  };
  for (; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      args.push(...words.slice(index + 1));
      break;
    }
    if (word.startsWith("--")) {
      const at = word.indexOf("=");
      const name = at < 0 ? word.slice(2) : word.slice(2, at);
      const kind = table[name]?.[0];
      if (!kind && name === "help") throw new HelpRequest(table);
      if (!kind) throw new UsageError(`unknown flag: --${name}`);
      if (at >= 0) set(name, word.slice(at + 1));
      else set(name, kind === "bool" ? "true" : next(name, `--${name}`));
    } else if (word.startsWith("-") && word !== "-") {
      for (let at = 1; at < word.length; at++) {
        const short = word.charAt(at);
        const name = byShort.get(short);
        if (!name) throw new UsageError(`unknown shorthand flag: '${short}' in -${word.slice(at)}`);
        const rest = word.slice(at + 1);
        if (table[name]?.[0] === "bool") {
          if (rest.startsWith("=")) {
            set(name, rest.slice(1));
            break;
          }
          set(name, "true");
          continue;
        }
        set(name, rest ? rest.replace(/^=/, "") : next(name, `'${short}' in ${word}`));
        break;
      }
    } else if (stopAtArgument) {
      args.push(...words.slice(index));
      break;
    } else args.push(word);
  }
  return {
    has: (name) => values.has(name),
    bool: (name) => {
      const value = values.get(name)?.at(-1);
      return value !== undefined && parseBool(name, value);
    },
    text: (name) => values.get(name)?.at(-1),
    list: (name) => values.get(name) ?? [],
    args,
  };
}

/** Throws unless the number of arguments is in range, with docker's words. */
export function expectArguments(
  flags: ParsedFlags,
  command: string,
  minimum: number,
  maximum = Number.POSITIVE_INFINITY,
): void {
  const { length } = flags.args;
  if (length >= minimum && length <= maximum) return;
  const plural = (count: number): string => `${count} argument${count === 1 ? "" : "s"}`;
  const wanted =
    minimum === maximum
      ? plural(minimum)
      : length < minimum
        ? `at least ${plural(minimum)}`
        : `at most ${plural(maximum)}`;
  throw new UsageError(`'tsctl ${command}' requires ${wanted}`, 1);
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** Bytes of "64m", "1.5g"; −1 stays. Throws for what is no size. */
export function parseBytes(name: string, text: string): number {
  const match = /^(-?\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  if (!match?.[1])
    throw new UsageError(`invalid argument "${text}" for "--${name}" flag: invalid size: '${text}'`);
  const value = Number(match[1]);
  return value < 0 ? value : Math.floor(value * (units[(match[2] ?? "").toLowerCase()] ?? 1));
}

/** A whole number. Throws for what is none. */
export function parseInteger(name: string, text: string): number {
  if (!/^[+-]?\d+$/.test(text))
    throw new UsageError(
      `invalid argument "${text}" for "--${name}" flag: strconv.ParseInt: parsing "${text}": invalid syntax`,
    );
  return Number(text);
}

/** --filter values as the API wants them: {"name":["value"]}. */
export function filtersJson(values: readonly string[]): string | undefined {
  if (values.length === 0) return undefined;
  const filters: Record<string, Record<string, boolean>> = {};
  for (const value of values) {
    const at = value.indexOf("=");
    if (at < 0)
      throw new UsageError(
        `invalid argument "${value}" for "--filter" flag: bad format of filter (expected name=value)`,
      );
    const name = value.slice(0, at).trim().toLowerCase();
    filters[name] = { ...filters[name], [value.slice(at + 1).trim()]: true };
  }
  return JSON.stringify(filters);
}
