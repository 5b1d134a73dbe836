// Dockerfile instructions as import and commit take them: each changes an image's configuration.
import { invalid } from "../errors.ts";
import type { ImageDefaults } from "./image.ts";

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

/** Words separated by spaces; quotes hold them together, a backslash takes the next character as it is. */
function splitWords(text: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let begun = false;
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (character === "\\" && quote !== "'" && i + 1 < text.length) {
      word += text.charAt(++i);
      begun = true;
    } else if (quote) {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      begun = true;
    } else if (/\s/.test(character)) {
      if (begun) words.push(word);
      word = "";
      begun = false;
    } else {
      word += character;
      begun = true;
    }
  }
  if (quote)
    throw invalid(
      `unexpected end of statement while looking for matching ${quote === '"' ? "double" : "single"}-quote`,
    );
  if (begun) words.push(word);
  return words;
}

/** key=value pairs, or the old "key value" form. */
function pairs(instruction: string, text: string): [string, string][] {
  const words = splitWords(text);
  const [first = ""] = words;
  if (!first.includes("=")) {
    const match = /^(\S+)\s+(.+)$/.exec(text);
    if (!match?.[1] || match[2] === undefined) throw invalid(`${instruction} must have two arguments`);
    return [[match[1], match[2]]];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at < 0)
      throw invalid(
        `Syntax error - can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`,
      );
    if (at === 0) throw invalid(`${instruction} names can not be blank`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

const shellForm = (config: ImageDefaults, text: string): string[] => [
  ...(config.Shell ?? ["/bin/sh", "-c"]),
  text,
];
const listOrWords = (text: string): string[] => jsonForm(text) ?? splitWords(text);

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
    for (const [name, value] of pairs("ENV", text)) setVariable(config, name, value);
  },
  EXPOSE: (config, text) => {
    for (const port of splitWords(text)) {
      if (!/^\d+(?:-\d+)?(?:\/(?:tcp|udp|sctp))?$/.test(port))
        throw invalid(`Invalid containerPort: ${port}`);
      config.ExposedPorts = { ...config.ExposedPorts, [port.includes("/") ? port : `${port}/tcp`]: {} };
    }
  },
  LABEL: (config, text) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(pairs("LABEL", text)) };
  },
  USER: (config, text) => {
    config.User = text;
  },
  VOLUME: (config, text) => {
    for (const path of listOrWords(text)) config.Volumes = { ...config.Volumes, [path]: {} };
  },
  WORKDIR: (config, text) => {
    config.WorkingDir = text.startsWith("/") ? text : `${config.WorkingDir ?? ""}/${text}`;
  },
  ONBUILD: (config, text) => {
    config.OnBuild = [...(config.OnBuild ?? []), text];
  },
  STOPSIGNAL: (config, text) => {
    config.StopSignal = text;
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
