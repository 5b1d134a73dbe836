// The daemon's program: settings, one daemon per data root, listening, signals.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pino, { type Logger } from "pino";
import { compose, type Daemon } from "./compose.ts";
import { describeEndpoint } from "./configuration/endpoints.ts";
import { DEFAULT_FILE, readConfigurationFile } from "./configuration/file.ts";
import { readFlags, usage } from "./configuration/flags.ts";
import type { Given } from "./configuration/options.ts";
import { compareGiven, makeSettings, mergeGiven, type Settings } from "./configuration/settings.ts";
import { Policy } from "./engine/access/policy.ts";
import { VERSION } from "./engine/system/info.ts";
import { ImagePolicy } from "./engine/trust/policy.ts";
import { Listeners } from "./listen/listeners.ts";
import { passedDescriptors } from "./listen/systemd.ts";

function fatal(message: string): never {
  process.stderr.write(`tsd: ${message}\n`);
  process.exit(1);
}

/** The files this process may have open at one time. */
function openFiles(): number {
  const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"));
  return line?.[1] === undefined || line[1] === "unlimited" ? 1 << 20 : Number(line[1]);
}

interface Configuration {
  given: Given;
  settings: Settings;
}

/** Flags and configuration file as they are now. Throws for what is wrong with them. */
function configure(flags: Given): Configuration {
  const path = flags["config-file"];
  const given = mergeGiven(flags, readConfigurationFile(path), path ?? DEFAULT_FILE);
  return { given, settings: makeSettings(given, openFiles()) };
}

/** Who may do what. Throws for a roles file with something wrong in it. */
function readPolicy({ rolesFile }: Settings, logger: Logger): Policy {
  if (!rolesFile) return Policy.docker();
  try {
    const policy = Policy.parse(JSON.parse(readFileSync(rolesFile, "utf8")));
    for (const warning of policy.warnings) logger.warn({ file: rolesFile }, warning);
    return policy;
  } catch (error) {
    throw new Error(`--roles-file ${rolesFile}: ${(error as Error).message}`);
  }
}

/** Which images are good. Throws for a policy that is not signed, or has something wrong in it. */
function readImagePolicy({ imagePolicy }: Settings): ImagePolicy | undefined {
  if (!imagePolicy) return undefined;
  const { file, key } = imagePolicy;
  try {
    return ImagePolicy.read(
      readFileSync(file),
      readFileSync(`${file}.sig`, "utf8"),
      readFileSync(key, "utf8"),
    );
  } catch (error) {
    throw new Error(`--image-policy ${file}: ${(error as Error).message}`);
  }
}

/** What was asked for on the command line; prints and quits where that is what was asked for. */
function start(): Configuration & { flags: Given } {
  try {
    const flags = readFlags(process.argv.slice(2));
    if (flags.help || flags.version) {
      process.stdout.write(flags.help ? usage() : `tsd version ${VERSION}\n`);
      process.exit(0);
    }
    const configuration = configure(flags);
    if (flags.validate) {
      readPolicy(configuration.settings, pino({ level: "silent" }));
      readImagePolicy(configuration.settings);
      process.stdout.write("configuration OK\n");
      process.exit(0);
    }
    return { ...configuration, flags };
  } catch (error) {
    return fatal(`${(error as Error).message}\nSee 'tsd --help'.`);
  }
}

/** The programs that come with the daemon, beside its bundle or in the source tree. */
function program(name: string): string {
  const path = join(import.meta.dirname, "../../kernel-bindings/launcher/build", name);
  return existsSync(path) ? path : fatal(`missing program ${name}: run the set-up again`);
}

/** Whether a process runs and is a daemon of ours. */
function alive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("tsd");
  } catch {
    return false;
  }
}

/** One daemon per data root: the lock names its holder, and a dead holder's lock counts for nothing. */
function lock(dataRoot: string): string {
  const path = join(dataRoot, "tsd.lock");
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const file = openSync(path, "wx", 0o600);
      writeFileSync(file, String(process.pid));
      closeSync(file);
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const holder = Number(readFileSync(path, "utf8"));
      if (holder && holder !== process.pid && alive(holder))
        fatal(`data root ${dataRoot} is in use by the daemon with pid ${holder}`);
      rmSync(path, { force: true });
    }
  }
  return fatal(`can't take the lock ${path}`);
}

function groupId(name: string): number | undefined {
  const line = new RegExp(`^${name.replace(/[^\w-]/g, "")}:[^:]*:(\\d+):`, "m").exec(
    readFileSync("/etc/group", "utf8"),
  );
  return line?.[1] === undefined ? undefined : Number(line[1]);
}

async function main(): Promise<void> {
  const { flags, ...configuration } = start();
  let { given, settings } = configuration;
  if (process.getuid?.() !== 0) fatal("needs to be run as root");
  process.umask(0o022);
  const logger = pino({
    level: settings.logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
  });
  const policy = readPolicy(settings, logger);
  const imagePolicy = readImagePolicy(settings);
  for (const warning of settings.warnings) logger.warn(warning);
  mkdirSync(settings.dataRoot, { recursive: true, mode: 0o711 });
  const lockFile = lock(settings.dataRoot);
  let daemon: Daemon | undefined;
  let listeners: Listeners | undefined;
  let ending = false;
  const end = (signal: string): void => {
    if (ending) process.exit(1);
    ending = true;
    logger.info({ signal }, "shutting down; containers go on");
    const closing = async (): Promise<void> => {
      await listeners?.close();
      await daemon?.close();
    };
    closing()
      .catch((error: Error) => logger.error({ err: error }, "shutting down"))
      .finally(() => {
        for (const path of [lockFile, settings.pidFile]) rmSync(path, { force: true });
        process.exit(0);
      });
  };
  const programs = {
    launcher: program("tsd-launcher"),
    init: settings.initPath ?? program("tsd-init"),
    archiver: program("tsd-archive"),
  };
  try {
    daemon = await compose({ settings, programs, policy, imagePolicy, logger, end: () => end("shutdown") });
    const { app, connections, metrics } = daemon;
    await app.ready();
    const passed = passedDescriptors(process.env, process.pid);
    const refused = (reason: string): void => metrics.refused(reason);
    listeners = new Listeners({ http: app.server, connections, logger, passed, groupId, refused }, settings);
    await listeners.open();
  } catch (error) {
    rmSync(lockFile, { force: true });
    throw error;
  }
  writeFileSync(settings.pidFile, `${process.pid}\n`);
  logger.info({ host: settings.hosts.map(describeEndpoint), pid: process.pid }, "tsd is ready");

  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => end(signal));
  process.on("SIGHUP", () => {
    try {
      const next = configure(flags);
      const newPolicy = readPolicy(next.settings, logger);
      const newImagePolicy = readImagePolicy(next.settings);
      const { restart, changed } = compareGiven(given, next.given);
      if (restart.length > 0)
        logger.warn({ options: restart }, "SIGHUP: these take effect at the next start only");
      ({ given, settings } = next);
      logger.level = settings.logLevel;
      daemon?.reload(newPolicy, newImagePolicy, settings);
      listeners?.reload(settings);
      logger.info({ changed }, "SIGHUP: configuration, roles and certificates read again");
    } catch (error) {
      logger.error({ err: error }, "SIGHUP: nothing is taken up");
    }
  });
}

main().catch((error: Error) => fatal(error.message));
