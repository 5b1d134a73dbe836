// npm start: sees to a running daemon and a first image, then runs a container that prints its line.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { importBusybox } from "./busybox.mjs";

const root = join(import.meta.dirname, "..");
const tsctl = join(root, "packages/client/bin/tsctl");
const LOG = "/var/log/tsd.log";

const run = (...words) => spawnSync(tsctl, words, { encoding: "utf8" });
const answers = () => run("version").status === 0;

async function startDaemon() {
  mkdirSync("/var/log", { recursive: true });
  const log = openSync(LOG, "a");
  const daemon = spawn(join(root, "packages/daemon/bin/tsd"), [], {
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let ended = false;
  daemon.on("exit", () => {
    ended = true;
  });
  daemon.unref();
  for (let attempt = 0; attempt < 150; attempt++) {
    if (answers()) return;
    if (ended) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(
    `the daemon did not come up:\n${readFileSync(LOG, "utf8").split("\n").slice(-10).join("\n")}`,
  );
}

if (answers()) console.log("tsd is running already");
else {
  await startDaemon();
  console.log(`tsd is running (log: ${LOG})`);
}
if (run("images", "-q").stdout.trim() === "") {
  if (!existsSync("/bin/busybox"))
    throw new Error("/bin/busybox is missing: the set-up should have installed busybox-static");
  importBusybox(tsctl, "busybox:latest");
  console.log("made busybox:latest from Debian's busybox-static");
}
const image = run("images", "-q", "busybox:latest").stdout.trim()
  ? "busybox:latest"
  : run("images", "--format", "{{.ID}}").stdout.split("\n")[0];
const line = run(
  "run",
  "--rm",
  image,
  "sh",
  "-c",
  'echo "Hello from container $(hostname): process $$ of its own little world."',
);
process.stdout.write(line.stdout);
process.stderr.write(line.stderr);
process.exit(line.status ?? 1);
