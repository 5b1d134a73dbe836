// Command line flags as docker's client takes them: short ones bundled, long ones with = or a word, up to the first
// argument where a command says so.

/** bool: a switch; text: one value, the last wins; list: repeatable. */
export type FlagKind = "bool" | "text" | "list";
/** Flags by long name: their kind, their letter if they have one, and what refuses (by throwing) a bad value. */
export type FlagTable = Readonly<
  Record<string, readonly [kind: FlagKind, short?: string, check?: (value: string) => unknown]>
>;

export interface ParsedFlags {
  /** Long names of flags that were given. */
  has(name: string): boolean;
  bool(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): string[];
  args: string[];
}

/** A word of the command line that is no flag, or a value that its flag cannot take: shown with the usage, status 125. */
export class FlagError extends Error {}
/** Too few or too many arguments: shown with the usage, status 1. */
export class ArgumentError extends Error {}
/** What was asked for makes no sense: shown with a hint, status 125. */
export class UsageError extends Error {}
/** --help was given. */
export class HelpRequest extends Error {}

const trueWords = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const falseWords = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** A switch's value. Throws for what is none. */
export function parseBool(value: string): boolean {
  if (trueWords.has(value)) return true;
  if (falseWords.has(value)) return false;
  throw new Error(`strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
}

/** Parses a command's words. With `stopAtArgument` everything after the first argument belongs to the container. */
export function parseFlags(words: readonly string[], table: FlagTable, stopAtArgument = false): ParsedFlags {
  const values = new Map<string, string[]>();
  const args: string[] = [];
  const byShort = new Map(
    Object.entries(table).flatMap(([name, [, short]]) => (short ? [[short, name] as const] : [])),
  );
  const set = (name: string, value: string): void => {
    const [kind, short, check] = table[name] ?? [];
    try {
      if (kind === "bool") parseBool(value);
      check?.(value);
    } catch (error) {
      const shown = short ? `-${short}, --${name}` : `--${name}`;
      throw new FlagError(
        `invalid argument ${JSON.stringify(value)} for "${shown}" flag: ${(error as Error).message}`,
      );
    }
    if (kind === "list") values.set(name, [...(values.get(name) ?? []), value]);
    else values.set(name, [value]);
  };
  let index = 0;
  const next = (shown: string): string => {
    const value = words[++index];
    if (value === undefined) throw new FlagError(`flag needs an argument: ${shown}`);
    return value;
  };
  const long = (word: string): void => {
    const at = word.indexOf("=");
    const name = at < 0 ? word.slice(2) : word.slice(2, at);
    const kind = table[name]?.[0];
    if (name === "help" && !kind) throw new HelpRequest();
    if (!kind) throw new FlagError(`unknown flag: --${name}`);
    if (at >= 0) set(name, word.slice(at + 1));
    else set(name, kind === "bool" ? "true" : next(`--${name}`));
  };
  const short = (word: string): void => {
    for (let at = 1; at < word.length; at++) {
      const letter = word.charAt(at);
      const name = byShort.get(letter);
      if (letter === "h" && !name) throw new HelpRequest();
      if (!name) throw new FlagError(`unknown shorthand flag: '${letter}' in -${word.slice(at)}`);
      const rest = word.slice(at + 1);
      if (table[name]?.[0] !== "bool" || rest.startsWith("=")) {
        set(name, rest ? rest.replace(/^=/, "") : next(`'${letter}' in -${word.slice(at)}`));
        return;
      }
      set(name, "true");
    }
  };
  for (; index < words.length; index++) {
    const word = words[index] ?? "";
    if (word === "--") {
      args.push(...words.slice(index + 1));
      break;
    }
    if (word.startsWith("--")) long(word);
    else if (word.startsWith("-") && word !== "-") short(word);
    else if (stopAtArgument) {
      args.push(...words.slice(index));
      break;
    } else args.push(word);
  }
  return {
    has: (name) => values.has(name),
    bool: (name) => parseBool(values.get(name)?.at(-1) ?? "false"),
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
  let wanted = `requires at most ${plural(maximum)}`;
  if (maximum === 0) wanted = "accepts no arguments";
  else if (minimum === maximum) wanted = `requires ${plural(minimum)}`;
  else if (length < minimum) wanted = `requires at least ${plural(minimum)}`;
  throw new ArgumentError(`'tsctl ${command}' ${wanted}`);
}
