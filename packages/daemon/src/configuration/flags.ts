// Reads the daemon's command line into what was given there.
import { parseArgs } from "node:util";
import { type Given, type OptionName, options } from "./options.ts";

const names = Object.keys(options) as OptionName[];
const byShort = new Map(
  names.flatMap((name) => (options[name].short ? [[options[name].short, name] as const] : [])),
);

export const usage = (): string =>
  [
    "Usage: tsd [OPTIONS]",
    "",
    "A container engine: owns containers and serves the Docker Engine API.",
    "",
    ...names.map((name) => {
      const { short, text } = options[name];
      return `  ${short ? `-${short}, ` : "    "}--${name.padEnd(28)} ${text}`;
    }),
    "",
  ].join("\n");

/** Switches stand alone or with =true and =false, and letters with =VALUE, which parseArgs does not know. */
function spellOut(word: string): string {
  const [, letter = "", value] = /^-(\w)=(.*)$/s.exec(word) ?? [];
  if (value !== undefined) return `--${byShort.get(letter) ?? letter}=${value}`;
  const bare = /^-(\w)$/.exec(word)?.[1];
  const name = bare ? byShort.get(bare) : word.startsWith("--") ? (word.slice(2) as OptionName) : undefined;
  return name && options[name]?.kind === "switch" ? `--${name}=true` : word;
}

/** Throws for what is wrong, naming the flag. */
export function readFlags(argv: readonly string[]): Given {
  const { values } = parseArgs({
    args: argv.map(spellOut),
    options: Object.fromEntries(
      names.map((name) => {
        const { short, kind } = options[name];
        return [name, { type: "string", multiple: kind === "list", ...(short ? { short } : {}) }] as const;
      }),
    ),
    allowPositionals: false,
    strict: true,
  });
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values))
    given[name] = typeof value === "string" ? typed(name as OptionName, value) : value;
  return given as Given;
}

function typed(name: OptionName, value: string): unknown {
  const { kind } = options[name];
  if (kind === "number") {
    if (!/^\d+$/.test(value)) throw new Error(`--${name} ${value}: not a whole number`);
    return Number(value);
  }
  if (kind !== "switch") return value;
  if (["true", "1"].includes(value)) return true;
  if (["false", "0"].includes(value)) return false;
  throw new Error(`--${name} ${value}: neither true nor false`);
}
