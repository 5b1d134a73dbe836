// The options of the json-file log driver, as numbers.
import { invalid } from "../errors.ts";
import { forwardOptions } from "./log-forward.ts";

const units: Readonly<Record<string, number>> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Bytes of a size such as "10m"; −1 means no limit. Throws for what is no size. */
export function parseSize(text: string): number {
  const match = /^(-?\d+(?:\.\d+)?)\s*([kmg]?)b?$/i.exec(text.trim());
  if (!match?.[1]) throw invalid(`invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * (units[(match[2] ?? "").toLowerCase()] ?? 1));
}

/** Where nothing was said: a container that writes without end must not fill the disk. max-size=-1 lifts the limit. */
const DEFAULT_SIZE = 64 << 20;
const DEFAULT_FILES = 3;

const known = new Set([
  "max-size",
  "max-file",
  "compress",
  "labels",
  "labels-regex",
  "env",
  "env-regex",
  "tag",
  "mode",
  "max-buffer-size",
]);

/** How the monitor is to keep the log; undefined for none. What goes to a log service is kept in files too, so that it can
 * be read. Throws for options that the driver does not have. */
export function logSettings(config: {
  Type: string;
  Config: Readonly<Record<string, string>>;
}): { maximumSize: number; maximumFiles: number } | undefined {
  if (config.Type === "none") return undefined;
  const driver = config.Type || "json-file";
  const options = forwardOptions[driver];
  for (const name of Object.keys(config.Config))
    if (options ? !options.includes(name) : !known.has(name))
      throw invalid(`unknown log opt '${name}' for ${driver} log driver`);
  const size = config.Config["max-size"];
  const files = Number(config.Config["max-file"] ?? (size === undefined ? DEFAULT_FILES : 1));
  if (!Number.isInteger(files) || files < 1) throw invalid("max-file cannot be less than 1");
  return {
    maximumSize: size === undefined ? DEFAULT_SIZE : Math.max(0, parseSize(size)),
    maximumFiles: files,
  };
}
