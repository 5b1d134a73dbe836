// The flags that stand before the command: which engine, and how it is reached.
import { type FlagTable, type ParsedFlags, parseFlags, UsageError } from "./flags.ts";
import type { ConnectionSettings } from "./sdk/environment.ts";

const table: FlagTable = {
  config: ["text"],
  context: ["text", "c"],
  debug: ["bool", "D"],
  help: ["bool", "h"],
  host: ["list", "H"],
  "log-level": ["text", "l"],
  tls: ["bool"],
  tlscacert: ["text"],
  tlscert: ["text"],
  tlskey: ["text"],
  tlsverify: ["bool"],
  version: ["bool", "v"],
};

const levels: ReadonlySet<string> = new Set([
  "trace",
  "debug",
  "info",
  "warn",
  "warning",
  "error",
  "fatal",
  "panic",
]);

export interface GlobalFlags {
  settings: ConnectionSettings;
  debug: boolean;
  help: boolean;
  version: boolean;
  /** The command and its words. */
  words: string[];
}

const given = (flags: ParsedFlags, name: string): boolean | undefined =>
  flags.has(name) ? flags.bool(name) : undefined;

/** Reads them, up to the command. Throws UsageError. */
export function readGlobalFlags(argv: readonly string[]): GlobalFlags {
  const flags = parseFlags(argv, table, true);
  const hosts = flags.list("host");
  if (hosts.length > 1) throw new UsageError("Specify only one -H", 1);
  if (hosts.length > 0 && flags.text("context"))
    throw new UsageError("conflicting options: cannot specify both --host and --context", 1);
  const level = flags.text("log-level");
  if (level !== undefined && !levels.has(level.toLowerCase()))
    throw new UsageError(`Unable to parse logging level: ${level}`, 1);
  return {
    settings: {
      host: hosts[0],
      context: flags.text("context"),
      config: flags.text("config"),
      tls: given(flags, "tls"),
      tlsVerify: given(flags, "tlsverify"),
      ca: flags.text("tlscacert"),
      cert: flags.text("tlscert"),
      key: flags.text("tlskey"),
    },
    debug: flags.bool("debug"),
    help: flags.bool("help"),
    version: flags.bool("version"),
    words: flags.args,
  };
}

export const globalFlagsUsage = `Global Options:
      --config string      Directory of config.json and contexts (default ~/.tsd)
  -c, --context string     Name of the context to use (overrides TSD_HOST and "tsctl context use")
  -D, --debug              Tell more about errors
  -H, --host string        Engine to connect to: unix://PATH, tcp://HOST[:PORT], http(s)://HOST[:PORT],
                           ssh://[USER@]HOST[:PORT][/PATH]
  -l, --log-level string   Accepted for docker's sake
      --tls                Use TLS; implied by --tlsverify
      --tlscacert string   Trust certificates of this file's authorities only (default ca.pem in TSD_CERT_PATH)
      --tlscert string     The client's certificate (default cert.pem in TSD_CERT_PATH)
      --tlskey string      The client's key (default key.pem in TSD_CERT_PATH)
      --tlsverify          Use TLS and verify the engine
  -v, --version            Print version information and quit
`;
