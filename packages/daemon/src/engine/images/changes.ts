// Dockerfile instructions as import and commit take them: each changes an image's configuration.
import { expandWord, expandWords, type Lookup } from "../build/expand.ts";
import { quotedWords } from "../build/words.ts";
import { invalid } from "../errors.ts";
import type { ImageDefaults } from "./image.ts";

const ESCAPE = "\\";

/** A JSON list of strings, or undefined when the text is none (then it is the shell's). */
function jsonForm(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Reads variables of the configuration as they are now. */
const variables =
  (config: ImageDefaults): Lookup =>
  (name) =>
    config.Env?.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);

/** Runs a replacement of variables and quotes, whose failures are the request's. */
function expanding<T>(expand: () => T): T {
  try {
    return expand();
  } catch (error) {
    throw invalid((error as Error).message);
  }
}
const word = (config: ImageDefaults, text: string): string =>
  expanding(() => expandWord(text, ESCAPE, variables(config)));
const words = (config: ImageDefaults, text: string): string[] =>
  expanding(() => expandWords(text, ESCAPE, variables(config)));

/** key=value pairs, or the old "key value" form. */
function pairs(instruction: string, config: ImageDefaults, text: string): [string, string][] {
  const given = quotedWords(text, ESCAPE);
  const [first = ""] = given;
  if (!first.includes("=")) {
    const match = /^(\S+)\s+(.+)$/.exec(text);
    if (!match?.[1] || match[2] === undefined) throw invalid(`${instruction} must have two arguments`);
    return [[match[1], word(config, match[2])]];
  }
  return given.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 0)
      throw invalid(
        `Syntax error - can't find = in ${JSON.stringify(pair)}. Must be of the form: name=value`,
      );
    if (at === 0) throw invalid(`${instruction} names can not be blank`);
    return [word(config, pair.slice(0, at)), word(config, pair.slice(at + 1))];
  });
}

const shellForm = (config: ImageDefaults, text: string): string[] => [
  ...(config.Shell ?? ["/bin/sh", "-c"]),
  text,
];

function setVariable(config: ImageDefaults, name: string, value: string): void {
  const others = (config.Env ?? []).filter((entry) => !entry.startsWith(`${name}=`));
  config.Env = [...others, `${name}=${value}`];
}

const instructions: Readonly<Record<string, (config: ImageDefaults, text: string) => void>> = {
  CMD: (config, text) => {
    config.Cmd = jsonForm(text) ?? shellForm(config, text);
  },
  ENTRYPOINT: (config, text) => {
    config.Entrypoint = jsonForm(text) ?? shellForm(config, text);
  },
  ENV: (config, text) => {
    for (const [name, value] of pairs("ENV", config, text)) setVariable(config, name, value);
  },
  EXPOSE: (config, text) => {
    for (const port of words(config, text)) {
      if (!/^\d+(?:-\d+)?(?:\/(?:tcp|udp|sctp))?$/.test(port))
        throw invalid(`Invalid containerPort: ${port}`);
      config.ExposedPorts = { ...config.ExposedPorts, [port.includes("/") ? port : `${port}/tcp`]: {} };
    }
  },
  LABEL: (config, text) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(pairs("LABEL", config, text)) };
  },
  USER: (config, text) => {
    config.User = word(config, text);
  },
  VOLUME: (config, text) => {
    for (const path of jsonForm(text) ?? words(config, text))
      config.Volumes = { ...config.Volumes, [path]: {} };
  },
  WORKDIR: (config, text) => {
    const path = word(config, text);
    config.WorkingDir = path.startsWith("/") ? path : `${config.WorkingDir ?? ""}/${path}`;
  },
  ONBUILD: (config, text) => {
    config.OnBuild = [...(config.OnBuild ?? []), text];
  },
  STOPSIGNAL: (config, text) => {
    config.StopSignal = word(config, text);
  },
  SHELL: (config, text) => {
    const words = jsonForm(text);
    if (!words) throw invalid("SHELL requires the arguments to be in JSON form");
    config.Shell = words;
  },
  HEALTHCHECK: (config, text) => {
    if (text.toUpperCase() === "NONE") {
      config.Healthcheck = { Test: ["NONE"] };
      return;
    }
    const match = /^((?:--\S+\s+)*)CMD\s+(.+)$/i.exec(text);
    if (!match?.[2])
      throw invalid(`Unknown type ${JSON.stringify(text.split(/\s/)[0])} in HEALTHCHECK (try CMD)`);
    const words = jsonForm(match[2]);
    config.Healthcheck = {
      Test: words ? ["CMD", ...words] : ["CMD-SHELL", match[2]],
      ...healthOptions(match[1] ?? ""),
    };
  },
};

const durations: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

/** A duration such as 1m30s in nanoseconds. */
function nanoseconds(text: string): number {
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h))+$/.test(text)) throw invalid(`time: invalid duration "${text}"`);
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)/g))
    total += Number(number) * (durations[unit ?? ""] ?? 0);
  return total;
}

const healthFields: Readonly<Record<string, string>> = {
  "--interval": "Interval",
  "--timeout": "Timeout",
  "--start-period": "StartPeriod",
  "--start-interval": "StartInterval",
};

function healthOptions(text: string): Record<string, number> {
  const options: Record<string, number> = {};
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const [name = "", value = ""] = word.split("=");
    const field = healthFields[name];
    if (field) options[field] = nanoseconds(value);
    else if (name === "--retries") options.Retries = Number(value);
    else throw invalid(`unknown flag: ${name}`);
  }
  return options;
}

/** Applies instructions such as 'CMD ["sh"]' in order; the configuration that was given stays as it is. */
export function applyChanges(base: ImageDefaults, changes: readonly string[]): ImageDefaults {
  const config: ImageDefaults = structuredClone(base);
  for (const change of changes.flatMap((text) => text.split("\n"))) {
    const line = change.trim();
    if (!line) continue;
    const [word = ""] = line.split(/\s/, 1);
    const apply = instructions[word.toUpperCase()];
    if (!apply) throw invalid(`${word.toLowerCase()} is not a valid change command`);
    const rest = line.slice(word.length).trim();
    if (!rest) throw invalid(`${word.toUpperCase()} requires at least one argument`);
    apply(config, rest);
  }
  return config;
}
