// Instructions that change an image's configuration and nothing else.
import type { ImageDefaults } from "../images/image.ts";
import { signalNumber } from "../signals.ts";
import { type Instruction, lineError, readInstruction } from "./dockerfile.ts";
import { durationText, parseDuration, plainList, quoteList, quoteRune } from "./go-text.ts";
import { blankSeparated, jsonList, listOrWords, namedValues } from "./words.ts";

/** What a stage's configuration is while it is built. */
export interface Draft {
  config: ImageDefaults;
  /** What the client is told while a step is done. */
  notes: string[];
  /** CMD was given in this stage. */
  hasCommand: boolean;
  author: string;
}

export interface Expander {
  word(text: string): string;
  words(text: string): string[];
}

/** Changes the draft; returns what history says of it. */
export type Change = (draft: Draft, expand: Expander) => string;

const DEFAULT_SHELL = ["/bin/sh", "-c"];
export const shellOf = ({ Shell }: ImageDefaults): readonly string[] =>
  Shell?.length ? Shell : DEFAULT_SHELL;

/** A command line: a list as it is, text behind the shell. */
export const commandLine = (config: ImageDefaults, words: string[] | undefined, text: string): string[] =>
  words ?? (text ? [...shellOf(config), text] : [...shellOf(config)]);

export function setVariable(config: ImageDefaults, name: string, value: string): void {
  const variables = [...(config.Env ?? [])];
  const at = variables.findIndex((entry) => entry.split("=", 1)[0] === name);
  if (at < 0) variables.push(`${name}=${value}`);
  else variables[at] = `${name}=${value}`;
  config.Env = variables;
}

type Parse = (
  instruction: Instruction,
  flags: ReadonlyMap<string, string>,
  escapeCharacter: string,
) => Change;

const expandedPairs = (
  { line, keyword, text }: Instruction,
  escapeCharacter: string,
): ((expand: Expander) => [string, string][]) => {
  const pairs = namedValues(keyword, text, escapeCharacter);
  if (pairs.length === 0) throw lineError(line, `${keyword} requires at least one argument`);
  if (pairs.some(([name]) => name === "")) throw lineError(line, `${keyword} names can not be blank`);
  return (expand) => pairs.map(([name, value]) => [expand.word(name), expand.word(value)]);
};

const shown = (pairs: readonly [string, string][]): string =>
  pairs.map(([name, value]) => `${name}=${value}`).join(" ");

/** The ports a word of EXPOSE stands for. Throws with Docker's words. */
function ports(word: string): string[] {
  const [range = "", protocol = "tcp"] = word.split("/");
  const container = range.split(":").at(-1) ?? "";
  if (!["tcp", "udp", "sctp"].includes(protocol.toLowerCase())) throw new Error(`Invalid proto: ${protocol}`);
  const match = /^(\d+)(?:-(\d+))?$/.exec(container);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || last < first || last > 65535) throw new Error(`Invalid containerPort: ${container}`);
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol.toLowerCase()}`);
}

const healthFields = [
  ["interval", "Interval"],
  ["timeout", "Timeout"],
  ["start-period", "StartPeriod"],
  ["start-interval", "StartInterval"],
] as const;

function healthcheck({ line, text }: Instruction, flags: ReadonlyMap<string, string>): Change {
  const [word = ""] = text.split(/\s/, 1);
  const type = word.toUpperCase();
  const rest = text.slice(word.length).trim();
  if (!word) throw lineError(line, "HEALTHCHECK requires at least one argument");
  const check: NonNullable<ImageDefaults["Healthcheck"]> = {};
  if (type === "NONE") {
    if (rest) throw lineError(line, "HEALTHCHECK NONE takes no arguments");
    check.Test = ["NONE"];
  } else if (type === "CMD") {
    if (!rest) throw lineError(line, "Missing command after HEALTHCHECK CMD");
    const words = jsonList(rest);
    check.Test = words ? ["CMD", ...words] : ["CMD-SHELL", rest];
    for (const [flag, field] of healthFields) {
      const given = flags.get(flag);
      if (given === undefined) continue;
      check[field] = healthTime(line, flag, given);
    }
    const retries = flags.get("retries");
    if (retries !== undefined) {
      if (!/^-?\d+$/.test(retries))
        throw lineError(line, `strconv.ParseInt: parsing ${JSON.stringify(retries)}: invalid syntax`);
      if (Number(retries) < 0) throw lineError(line, `--retries cannot be negative (${retries})`);
      check.Retries = Number(retries);
    }
  } else throw lineError(line, `Unknown type ${JSON.stringify(type)} in HEALTHCHECK (try CMD)`);
  return (draft) => {
    const before = draft.config.Healthcheck;
    if (before?.Test?.length)
      draft.notes.push(`Note: overriding previous HEALTHCHECK: ${plainList(before.Test)}\n`);
    // What the new one leaves open stays as it was.
    draft.config.Healthcheck = { ...before, ...check };
    const times = healthFields.map(([, field]) => JSON.stringify(durationText(check[field] ?? 0)));
    return `HEALTHCHECK &{${quoteList(check.Test ?? [])} ${times.join(" ")} ${quoteRune(check.Retries ?? 0)}}`;
  };
}

function healthTime(line: number, flag: string, text: string): number {
  let value: number;
  try {
    value = parseDuration(text);
  } catch (error) {
    throw lineError(line, (error as Error).message);
  }
  if (value !== 0 && value < 1e6)
    throw lineError(line, `Interval ${JSON.stringify(flag)} cannot be less than 1ms`);
  return value;
}

function onbuild({ line, text, original }: Instruction): Change {
  const [word = ""] = text.split(/\s/, 1);
  const trigger = word.toUpperCase();
  if (!word) throw lineError(line, "ONBUILD requires at least one argument");
  if (trigger === "ONBUILD") throw lineError(line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger === "FROM" || trigger === "MAINTAINER")
    throw lineError(line, `${trigger} isn't allowed as an ONBUILD trigger`);
  const whole = original.replace(/^ONBUILD\s*/i, "");
  readInstruction(line, text, whole.split("\n").slice(1));
  return (draft) => {
    draft.config.OnBuild = [...(draft.config.OnBuild ?? []), whole];
    return `ONBUILD ${whole}`;
  };
}

const required = ({ line, keyword, text }: Instruction): string => {
  if (!text) throw lineError(line, `${keyword} requires exactly one argument`);
  return text;
};

const parsers: Readonly<Record<string, Parse>> = {
  ENV: (instruction, _flags, escapeCharacter) => {
    const pairsOf = expandedPairs(instruction, escapeCharacter);
    return ({ config }, expand) => {
      const pairs = pairsOf(expand);
      for (const [name, value] of pairs) setVariable(config, name, value);
      return `ENV ${shown(pairs)}`;
    };
  },
  LABEL: (instruction, _flags, escapeCharacter) => {
    const pairsOf = expandedPairs(instruction, escapeCharacter);
    return ({ config }, expand) => {
      const pairs = pairsOf(expand);
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairs) };
      return `LABEL ${shown(pairs)}`;
    };
  },
  CMD: ({ text }) => {
    const words = jsonList(text);
    return (draft) => {
      const command = commandLine(draft.config, words, text);
      draft.config.Cmd = command;
      draft.hasCommand = true;
      return `CMD ${quoteList(command)}`;
    };
  },
  ENTRYPOINT: ({ text }) => {
    const words = jsonList(text);
    return (draft) => {
      const command = commandLine(draft.config, words, text);
      draft.config.Entrypoint = command;
      // The base's command would be arguments to something it was not made for.
      if (!draft.hasCommand) draft.config.Cmd = null;
      return `ENTRYPOINT ${quoteList(command)}`;
    };
  },
  EXPOSE: ({ line, text }) => {
    const words = blankSeparated(text).sort();
    if (words.length === 0) throw lineError(line, "EXPOSE requires at least one argument");
    return ({ config }, expand) => {
      const wanted = words.flatMap((word) => expand.words(word));
      const exposed = wanted.flatMap(ports).map((port) => [port, {}] as const);
      config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(exposed) };
      return `EXPOSE ${wanted.join(" ")}`;
    };
  },
  VOLUME: ({ line, text }) => {
    const paths = listOrWords(text);
    if (paths.length === 0) throw lineError(line, "VOLUME requires at least one argument");
    if (paths.some((path) => path.trim() === ""))
      throw lineError(line, "VOLUME specified can not be an empty string");
    return ({ config }, expand) => {
      const expanded = paths.map((path) => expand.word(path.trim()));
      config.Volumes = { ...config.Volumes, ...Object.fromEntries(expanded.map((path) => [path, {}])) };
      return `VOLUME ${plainList(expanded)}`;
    };
  },
  USER: (instruction) => {
    const text = required(instruction);
    return ({ config }, expand) => {
      config.User = expand.word(text);
      return `USER ${config.User}`;
    };
  },
  STOPSIGNAL: (instruction) => {
    const text = required(instruction);
    return ({ config }, expand) => {
      const signal = expand.word(text);
      signalNumber(signal);
      config.StopSignal = signal;
      return `STOPSIGNAL ${signal}`;
    };
  },
  SHELL: ({ line, text }) => {
    const words = jsonList(text);
    if (!words) throw lineError(line, "SHELL requires the arguments to be in JSON form");
    if (words.length === 0) throw lineError(line, "SHELL requires at least one argument");
    return ({ config }) => {
      config.Shell = words;
      return `SHELL ${plainList(words)}`;
    };
  },
  MAINTAINER: (instruction) => {
    const text = required(instruction);
    return (draft) => {
      draft.author = text;
      return `MAINTAINER ${text}`;
    };
  },
  HEALTHCHECK: healthcheck,
  ONBUILD: onbuild,
};

export function parseChange(
  instruction: Instruction,
  flags: ReadonlyMap<string, string>,
  escapeCharacter: string,
): Change {
  const parse = parsers[instruction.keyword];
  if (!parse) throw lineError(instruction.line, `unknown instruction: ${instruction.keyword}`);
  return parse(instruction, flags, escapeCharacter);
}
