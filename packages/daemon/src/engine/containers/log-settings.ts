// The options of the log drivers that keep files, as numbers.
import { parseBoolean } from "../../api/booleans.ts";
import { invalid } from "../errors.ts";
import { forwardOptions } from "./log-forward.ts";

const units: Readonly<Record<string, number>> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** Bytes of a size such as "10m"; −1 means no limit. Throws for what is no size. */
export function parseSize(text: string): number {
  const match = /^(-?\d+(?:\.\d+)?)\s*([kmg]?)b?$/i.exec(text.trim());
  if (!match?.[1]) throw invalid(`invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * (units[(match[2] ?? "").toLowerCase()] ?? 1));
}

/** How a log's files are kept. */
export interface LogSettings {
  maximumSize: number;
  maximumFiles: number;
  /** Rotated files are compressed. */
  compress: boolean;
}

/** Where nothing was said: a container that writes without end must not fill the disk. max-size=-1 lifts the limit. */
const defaults: LogSettings = { maximumSize: 64 << 20, maximumFiles: 3, compress: false };
const localDefaults: LogSettings = { maximumSize: 20 << 20, maximumFiles: 5, compress: true };

const common = ["mode", "max-buffer-size"];
const fileOptions = ["max-size", "max-file", "compress"];
const known: Readonly<Record<string, readonly string[]>> = {
  "json-file": [...fileOptions, ...common, "labels", "labels-regex", "env", "env-regex", "tag"],
  local: [...fileOptions, ...common],
  ...forwardOptions,
};

function flag(name: string, value: string): boolean {
  const flag = parseBoolean(value);
  if (flag !== undefined) return flag;
  throw invalid(
    `error reading ${name} log option: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}

/** How the monitor is to keep the log; undefined for none. What goes to a log service is kept in files too, so that it can
 * be read. Throws for options that the driver does not have. */
export function logSettings(config: {
  Type: string;
  Config: Readonly<Record<string, string>>;
}): LogSettings | undefined {
  if (config.Type === "none") return undefined;
  const driver = config.Type || "json-file";
  for (const name of Object.keys(config.Config))
    if (!known[driver]?.includes(name)) throw invalid(`unknown log opt '${name}' for ${driver} log driver`);
  const { "max-size": size, "max-file": count, compress } = config.Config;
  const preset = driver === "local" ? localDefaults : defaults;
  const files = Number(count ?? (size === undefined || driver === "local" ? preset.maximumFiles : 1));
  if (!Number.isInteger(files) || files < 1) throw invalid("max-file cannot be less than 1");
  const settings = {
    maximumSize: size === undefined ? preset.maximumSize : Math.max(0, parseSize(size)),
    maximumFiles: files,
    compress: compress === undefined ? preset.compress : flag("compress", compress),
  };
  if (settings.compress) checkCompression(driver, settings, size !== undefined);
  return settings;
}

/** There must be rotated files to compress, and by dockerd's rule json-file has them where both limits are said. */
function checkCompression(
  driver: string,
  { maximumSize, maximumFiles }: LogSettings,
  limited: boolean,
): void {
  if (driver === "local" && maximumFiles < 2)
    throw invalid("compression cannot be enabled when max file count is 1");
  if (driver !== "local" && (maximumFiles < 2 || maximumSize === 0 || !limited))
    throw invalid("compress cannot be true when max-file is less than 2 or max-size is not set");
}
