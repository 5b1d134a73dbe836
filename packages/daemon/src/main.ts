// The daemon's program: flags, one daemon per data root, listening, signals.
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import pino from "pino";
import { compose, type Daemon } from "./compose.ts";
import { VERSION } from "./engine/system/info.ts";
import { type Flags, parseCidr, readFlags } from "./flags.ts";

function fatal(message: string): never {
  process.stderr.write(`tsd: ${message}\n`);
  process.exit(1);
}

function flags(): Flags {
  try {
    const read = readFlags(process.argv.slice(2));
    if (!("print" in read)) return read;
    process.stdout.write(read.print === "version" ? `tsd version ${VERSION}\n` : read.print);
  } catch (error) {
    fatal(`${(error as Error).message}\nSee 'tsd --help'.`);
  }
  process.exit(0);
}

/** The programs that come with the daemon, beside its bundle or in the source tree. */
function program(...candidates: string[]): string {
  const found = candidates.map((path) => join(import.meta.dirname, path)).find((path) => existsSync(path));
  return found ?? fatal(`missing program ${candidates.at(-1)}: run the set-up again`);
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

/** Removes a socket that nobody listens on any more. */
async function clearSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.on("connect", () => probe.destroy()).on("error", () => resolve(false));
  });
  if (answered) fatal(`${path} is in use by another daemon`);
  rmSync(path, { force: true });
}

function groupId(name: string): number | undefined {
  const line = new RegExp(`^${name.replace(/[^\w-]/g, "")}:[^:]*:(\\d+):`, "m").exec(
    readFileSync("/etc/group", "utf8"),
  );
  return line?.[1] === undefined ? undefined : Number(line[1]);
}

async function main(): Promise<void> {
  const settings = flags();
  if (process.getuid?.() !== 0) fatal("needs to be run as root");
  const bridgeAddress = (() => {
    try {
      return parseCidr(settings.bridgeAddress);
    } catch (error) {
      return fatal((error as Error).message);
    }
  })();
  process.umask(0o022);
  const logger = pino({
    level: settings.logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
  });
  mkdirSync(settings.dataRoot, { recursive: true, mode: 0o711 });
  const lockFile = lock(settings.dataRoot);
  const sockets = settings.hosts.map((host) => host.slice("unix://".length));
  for (const socket of sockets) await clearSocket(socket);
  let daemon: Daemon | undefined;
  let ending = false;
  const end = (signal: string): void => {
    if (ending) process.exit(1);
    ending = true;
    logger.info({ signal }, "shutting down; containers go on");
    const closing = daemon?.close() ?? Promise.resolve();
    closing
      .catch((error: Error) => logger.error({ err: error }, "shutting down"))
      .finally(() => {
        for (const path of [lockFile, settings.pidFile, ...sockets]) rmSync(path, { force: true });
        process.exit(0);
      });
  };
  daemon = await compose(
    {
      ...settings,
      bridge: { name: settings.bridge, ...bridgeAddress },
      programs: {
        launcher: program("tsd-launcher", "../../kernel-bindings/launcher/build/tsd-launcher"),
        init: settings.initPath ?? program("tsd-init", "../../kernel-bindings/launcher/build/tsd-init"),
        archiver: program("tsd-archive", "../../kernel-bindings/launcher/build/tsd-archive"),
      },
    },
    logger,
    () => end("shutdown"),
  );
  const { app } = daemon;
  await app.ready();
  const [first = "", ...others] = sockets;
  const listen = (socket: string): Promise<void> =>
    new Promise((resolve, reject) => {
      app.server.once("error", reject);
      app.server.listen(socket, () => {
        // 0660 from the first moment would need a umask around bind; the directory is root's, so this is soon enough.
        chmodSync(socket, 0o660);
        const group = groupId(settings.group);
        if (group !== undefined) chownSync(socket, 0, group);
        resolve();
      });
    });
  if (others.length > 0) fatal("more than one -H is not built yet");
  await listen(first);
  writeFileSync(settings.pidFile, `${process.pid}\n`);
  logger.info({ host: settings.hosts, pid: process.pid }, "tsd is ready");

  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => end(signal));
  process.on("SIGHUP", () => logger.info("SIGHUP: nothing to reload yet"));
}

main().catch((error: Error) => fatal(error.message));
