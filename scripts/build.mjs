// Builds what runs: the bundles of the daemon, the client and the certificate commands, and their executables.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { writeExecutable } from "./compile.mjs";

const root = join(import.meta.dirname, "..");
const daemon = join(root, "packages/daemon");
const client = join(root, "packages/client");
const certs = join(root, "certs");

const common = {
  bundle: true,
  platform: "node",
  target: "node20",
  // Node reads one CommonJS file with no module resolution and no asynchronous loader.
  format: "cjs",
  define: { "import.meta.dirname": "__dirname" },
  logLevel: "warning",
  legalComments: "none",
};

// A daemon that mostly waits: small steps of the heap, one malloc arena, one helper thread keep it small (docs/performance.md).
// Expressions that go back too often are matched once more in linear time: some are made of what clients write.
const daemonFlags = [
  "--max-semi-space-size=1",
  "--heap-growing-percent=20",
  "--v8-pool-size=1",
  "--enable-experimental-regexp-engine-on-excessive-backtracks",
];
const launcherScript = `#!/bin/sh
# Starts the daemon. NODE_EXTRA_CA_CERTS is for other programs and costs start-up time.
unset NODE_EXTRA_CA_CERTS
export MALLOC_ARENA_MAX=1
exec node ${daemonFlags.join(" ")} "$(dirname "$(readlink -f "$0")")/../dist/tsd" "$@"
`;

// Who calls a runtime may give it no PATH at all.
const runtimeScript = `#!/bin/sh
# The daemon's own OCI runtime, for others to call.
unset NODE_EXTRA_CA_CERTS
PATH="\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
exec node "$(dirname "$(readlink -f "$0")")/../dist/tsd-runtime" "$@"
`;

/** A program's bundle, as text. Native modules stay where they were installed. */
async function bundle(entryPoint, options) {
  const external = ["better-sqlite3", "koffi"];
  const { outputFiles } = await build({
    ...common,
    external,
    entryPoints: [entryPoint],
    write: false,
    ...options,
  });
  return outputFiles[0].text;
}

/** Makes a directory for CommonJS programs. */
function programs(directory) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "package.json"), '{ "type": "commonjs" }\n');
  return directory;
}

export async function buildDaemon() {
  const directory = programs(join(daemon, "dist"));
  // Names stay, for the log.
  const options = { minifySyntax: true, minifyWhitespace: true };
  const sample = ["--version"];
  const [tsd, runtime] = await Promise.all([
    bundle(join(daemon, "src/main.ts"), options),
    bundle(join(daemon, "src/oci-runtime/main.ts"), options),
  ]);
  writeExecutable(tsd, join(directory, "tsd"), { sample, flags: daemonFlags });
  writeExecutable(runtime, join(directory, "tsd-runtime"), { sample });
  mkdirSync(join(daemon, "bin"), { recursive: true });
  writeFileSync(join(daemon, "bin/tsd"), launcherScript);
  chmodSync(join(daemon, "bin/tsd"), 0o755);
  writeFileSync(join(daemon, "bin/tsd-runtime"), runtimeScript);
  chmodSync(join(daemon, "bin/tsd-runtime"), 0o755);
}

export async function buildClient() {
  const text = await bundle(join(client, "src/main.ts"), { minify: true });
  // As far as the missing daemon.
  const sample = ["-H", "unix:///nosuch/tsd.sock", "run", "--rm", "busybox", "true"];
  writeExecutable(text, join(programs(join(client, "bin")), "tsctl"), { sample });
}

/** Once for tsctl to load when it is asked for certificates, and once as an executable. */
export async function buildCerts() {
  programs(join(certs, "bin"));
  await Promise.all([
    build({
      ...common,
      entryPoints: [join(certs, "src/index.ts")],
      outfile: join(client, "bin/certs.cjs"),
      minify: true,
    }),
    build({
      ...common,
      entryPoints: [join(certs, "src/main.ts")],
      outfile: join(certs, "bin/certs"),
      minify: true,
      banner: { js: "#!/usr/bin/env -S -u NODE_EXTRA_CA_CERTS node" },
    }),
  ]);
  chmodSync(join(certs, "bin/certs"), 0o755);
}

await Promise.all([buildDaemon(), buildClient(), buildCerts()]);
