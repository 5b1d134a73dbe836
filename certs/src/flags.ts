// The command line's words: Node's parser, with the wording of tsctl's flags.
import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "./errors.ts";

export type FlagTable = NonNullable<ParseArgsConfig["options"]>;

export interface ParsedFlags {
  bool(name: string): boolean;
  text(name: string): string | undefined;
  list(name: string): string[];
  /** A whole number. Throws for what is none. */
  integer(name: string): number | undefined;
  args: string[];
}

/** Throws a UsageError for what the table does not know. */
export function parseFlags(words: readonly string[], table: FlagTable): ParsedFlags {
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...words], options: table, allowPositionals: true, strict: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const unknown = /^Unknown option '(.*?)'/.exec(error.message)?.[1];
    throw new UsageError(unknown ? `unknown flag: ${unknown}` : error.message, { cause: error });
  }
  const { values, positionals } = parsed;
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  return {
    bool: (name) => values[name] === true,
    text,
    list: (name) => [values[name] ?? []].flat().filter((value) => typeof value === "string"),
    integer: (name) => {
      const value = text(name);
      if (value === undefined) return undefined;
      if (!/^\d+$/.test(value))
        throw new UsageError(`invalid argument "${value}" for "--${name}" flag: must be a whole number`);
      return Number(value);
    },
    args: positionals,
  };
}

/** Throws a UsageError unless there are so many arguments. */
export function expectArguments(
  flags: ParsedFlags,
  command: string,
  minimum: number,
  maximum = minimum,
): void {
  const { length } = flags.args;
  if (length >= minimum && length <= maximum) return;
  const count = length < minimum ? minimum : maximum;
  const bound = minimum === maximum ? "" : length < minimum ? "at least " : "at most ";
  throw new UsageError(
    `'certs ${command}' requires ${bound}${count === 0 ? "no" : count} argument${count === 1 ? "" : "s"}`,
  );
}
