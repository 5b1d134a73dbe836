// Reads the configuration file: dockerd's daemon.json, with our own keys beside dockerd's.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { facts, flagsOnly, type Given, keyOf, type OptionKind, type OptionName, options } from "./options.ts";

export const DEFAULT_FILE = "/etc/tsd/daemon.json";

const kinds: Readonly<Record<OptionKind, z.ZodType>> = {
  text: z.string(),
  number: z.int().min(0),
  switch: z.boolean(),
  list: z.array(z.string()),
};

const byKey = new Map(
  (Object.keys(options) as OptionName[])
    .filter((name) => !flagsOnly.has(name))
    .map((name) => [keyOf(name), name] as const),
);

/** What a file gives; nothing where the default file is not there. Throws for what is wrong, naming file and key. */
export function readConfigurationFile(path: string | undefined): Given {
  let text: string;
  try {
    text = readFileSync(path ?? DEFAULT_FILE, "utf8");
  } catch (error) {
    if (path === undefined && (error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new Error(`the configuration file can't be read: ${(error as Error).message}`);
  }
  return parseConfiguration(text, path ?? DEFAULT_FILE);
}

const ulimitsSchema = z.record(
  z.string(),
  z.object({ Name: z.string().optional(), Soft: z.int(), Hard: z.int() }),
);

/** dockerd's form of default-ulimits, as the flag has it. */
function ulimitsOf(value: unknown, wrong: (reason: string) => Error): string[] {
  const checked = ulimitsSchema.safeParse(value);
  if (checked.success)
    return Object.entries(checked.data).map(([name, { Soft, Hard }]) => `${name}=${Soft}:${Hard}`);
  const issue = checked.error.issues[0];
  throw wrong(`default-ulimits: ${issue?.path.join(".")}: ${issue?.message}`);
}

const runtimesSchema = z.record(
  z.string(),
  z.strictObject({ path: z.string(), runtimeArgs: z.array(z.string().regex(/^\S+$/)).optional() }),
);

function runtimesOf(value: unknown, wrong: (reason: string) => Error): string[] {
  const checked = runtimesSchema.safeParse(value);
  if (checked.success)
    return Object.entries(checked.data).map(([name, { path, runtimeArgs = [] }]) =>
      [`${name}=${path}`, ...runtimeArgs].join(" "),
    );
  const issue = checked.error.issues[0];
  throw wrong(`runtimes: ${issue?.path.join(".")}: ${issue?.message}`);
}

export function parseConfiguration(text: string, path: string): Given {
  const wrong = (reason: string): Error => new Error(`configuration file ${path}: ${reason}`);
  if (text.trim() === "") return {};
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw wrong((error as Error).message);
  }
  if (typeof content !== "object" || content === null || Array.isArray(content))
    throw wrong("not a JSON object");
  const given: Record<string, unknown> = {};
  const unknown: string[] = [];
  for (const [key, value] of Object.entries(content)) {
    const name = byKey.get(key);
    if (name === "default-ulimit") given[name] = ulimitsOf(value, wrong);
    else if (name === "add-runtime") given[name] = runtimesOf(value, wrong);
    else if (name) {
      const checked = kinds[options[name].kind].safeParse(value);
      if (!checked.success) throw wrong(`${key}: ${checked.error.issues[0]?.message}`);
      given[name] = checked.data;
    } else if (key in facts) {
      if (value !== facts[key]) throw wrong(`${key}: only ${JSON.stringify(facts[key])} is built`);
    } else unknown.push(key);
  }
  if (unknown.length > 0)
    throw wrong(
      `the following directives don't match any configuration option, or are not built yet: ${unknown.join(", ")}`,
    );
  return given as Given;
}
