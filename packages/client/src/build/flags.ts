// tsctl build's flags, and what they ask of the engine.
import { readFileSync } from "node:fs";
import { keyValues } from "../create/environment.ts";
import { ulimit } from "../create/resources.ts";
import { fileError } from "../file-error.ts";
import { type FlagTable, type ParsedFlags, parseBytes, parseInteger, UsageError } from "../flags.ts";
import type { Query } from "../sdk/query.ts";

export const buildFlags: FlagTable = {
  "add-host": ["list"],
  "build-arg": ["list"],
  "cache-from": ["list"],
  "cgroup-parent": ["text"],
  compress: ["bool"],
  "cpu-period": ["text"],
  "cpu-quota": ["text"],
  "cpu-shares": ["text", "c"],
  "cpuset-cpus": ["text"],
  "cpuset-mems": ["text"],
  file: ["text", "f"],
  "force-rm": ["bool"],
  iidfile: ["text"],
  label: ["list"],
  memory: ["text", "m"],
  "memory-swap": ["text"],
  network: ["text"],
  "no-cache": ["bool"],
  platform: ["text"],
  pull: ["bool"],
  quiet: ["bool", "q"],
  rm: ["bool"],
  secret: ["list"],
  "shm-size": ["text"],
  squash: ["bool"],
  tag: ["list", "t"],
  target: ["text"],
  ulimit: ["list"],
};

/** --build-arg NAME takes the value from the environment, and is none without one there. */
function buildArguments(items: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(
    items.map((item) => {
      const at = item.indexOf("=");
      return at < 0 ? [item, process.env[item] ?? null] : [item.slice(0, at), item.slice(at + 1)];
    }),
  );
}

/** The request's parameters; the Dockerfile's path and where the context is come from elsewhere. */
export function buildQuery(flags: ParsedFlags): Query {
  const bytes = (name: string): number | undefined => {
    const text = flags.text(name);
    return text === undefined ? undefined : parseBytes(name, text);
  };
  const integer = (name: string): number | undefined => {
    const text = flags.text(name);
    return text === undefined ? undefined : parseInteger(name, text);
  };
  const json = (value: object): string | undefined =>
    Object.keys(value).length > 0 ? JSON.stringify(value) : undefined;
  return {
    version: "1",
    t: flags.list("tag"),
    q: flags.bool("quiet"),
    nocache: flags.bool("no-cache"),
    pull: flags.bool("pull"),
    rm: flags.has("rm") && !flags.bool("rm") ? "0" : "1",
    forcerm: flags.bool("force-rm"),
    squash: flags.bool("squash"),
    cachefrom: json(flags.list("cache-from")),
    buildargs: json(buildArguments(flags.list("build-arg"))),
    labels: json(keyValues(flags.list("label"))),
    networkmode: flags.text("network"),
    extrahosts: flags.list("add-host"),
    platform: flags.text("platform"),
    target: flags.text("target"),
    memory: bytes("memory"),
    memswap: bytes("memory-swap"),
    cpushares: integer("cpu-shares"),
    cpuperiod: integer("cpu-period"),
    cpuquota: integer("cpu-quota"),
    cpusetcpus: flags.text("cpuset-cpus"),
    cpusetmems: flags.text("cpuset-mems"),
    cgroupparent: flags.text("cgroup-parent"),
    shmsize: bytes("shm-size"),
    ulimits: json(flags.list("ulimit").map(ulimit)),
  };
}

/** --secret id=NAME[,src=FILE | ,env=VARIABLE], read here: by id. */
export function buildSecrets(items: readonly string[]): Record<string, Buffer> {
  return Object.fromEntries(items.map(readSecret));
}

function readSecret(item: string): [string, Buffer] {
  const fields = new Map(
    item.split(",").map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, Math.max(at, 0)).trim(), part.slice(at + 1)] as const;
    }),
  );
  const refuse = (reason: string): UsageError =>
    new UsageError(`invalid argument "${item}" for "--secret" flag: ${reason}`);
  for (const name of fields.keys())
    if (!["id", "src", "source", "env", "type"].includes(name)) throw refuse(`unexpected key '${name}'`);
  const id = fields.get("id") ?? "";
  if (!id) throw refuse("id is required");
  const file = fields.get("src") ?? fields.get("source");
  const variable = fields.get("env") ?? (file === undefined ? id : undefined);
  if (file !== undefined) {
    try {
      return [id, readFileSync(file)];
    } catch (error) {
      throw fileError(error, file);
    }
  }
  const value = process.env[variable ?? ""];
  if (value === undefined) throw refuse(`there is no environment variable ${variable}`);
  return [id, Buffer.from(value)];
}
