// Builds what runs: the bundles of the daemon, the client and the certificate commands, and their executables.
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { writeExecutable } from "../packages/client/compile.mjs";

const root = join(import.meta.dirname, "..");
const daemon = join(root, "packages/daemon");
const client = join(root, "packages/client");
const certs = join(root, "certs");

// CommonJS dependencies in an ESM bundle still call require.
const banner = {
  js: 'import { createRequire as tsdCreateRequire } from "node:module"; const require = tsdCreateRequire(import.meta.url);',
};
const common = {
  bundle: true,
  platform: "node",
  target: "node20",
  format: "esm",
  logLevel: "warning",
  legalComments: "none",
};

// A daemon that mostly waits: small steps of the heap, one malloc arena, one helper thread keep it small (docs/performance.md).
const launcherScript = `#!/bin/sh
# Starts the daemon. NODE_EXTRA_CA_CERTS is for other programs and costs start-up time.
unset NODE_EXTRA_CA_CERTS
export MALLOC_ARENA_MAX=1
exec node --max-semi-space-size=1 --heap-growing-percent=20 --v8-pool-size=1 "$(dirname "$(readlink -f "$0")")/../dist/tsd.js" "$@"
`;

// Who calls a runtime may give it no PATH at all.
const runtimeScript = `#!/bin/sh
# The daemon's own OCI runtime, for others to call.
unset NODE_EXTRA_CA_CERTS
PATH="\${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
exec node "$(dirname "$(readlink -f "$0")")/../dist/tsd-runtime.js" "$@"
`;

export async function buildDaemon() {
  await build({
    ...common,
    banner,
    entryPoints: {
      tsd: join(daemon, "src/main.ts"),
      "tsd-runtime": join(daemon, "src/oci-runtime/main.ts"),
    },
    outdir: join(daemon, "dist"),
    // Native modules stay where they were installed.
    external: ["better-sqlite3", "koffi"],
    minifySyntax: true,
    minifyWhitespace: true,
  });
  mkdirSync(join(daemon, "bin"), { recursive: true });
  writeFileSync(join(daemon, "bin/tsd"), launcherScript);
  chmodSync(join(daemon, "bin/tsd"), 0o755);
  writeFileSync(join(daemon, "bin/tsd-runtime"), runtimeScript);
  chmodSync(join(daemon, "bin/tsd-runtime"), 0o755);
}

export async function buildClient() {
  mkdirSync(join(client, "bin"), { recursive: true });
  // One CommonJS file: Node reads it with no module resolution and no asynchronous loader.
  const { outputFiles } = await build({
    ...common,
    format: "cjs",
    entryPoints: [join(client, "src/main.ts")],
    minify: true,
    write: false,
  });
  writeFileSync(join(client, "bin/package.json"), '{ "type": "commonjs" }\n');
  writeExecutable(outputFiles[0].text, join(client, "bin/tsctl"));
}

/** Once for tsctl to load when it is asked for certificates, and once as an executable. */
export async function buildCerts() {
  mkdirSync(join(certs, "bin"), { recursive: true });
  await Promise.all([
    build({
      ...common,
      format: "cjs",
      entryPoints: [join(certs, "src/index.ts")],
      outfile: join(client, "bin/certs.cjs"),
      minify: true,
    }),
    build({
      ...common,
      format: "cjs",
      entryPoints: [join(certs, "src/main.ts")],
      outfile: join(certs, "bin/certs"),
      minify: true,
      banner: { js: "#!/usr/bin/env -S -u NODE_EXTRA_CA_CERTS node" },
    }),
  ]);
  writeFileSync(join(certs, "bin/package.json"), '{ "type": "commonjs" }\n');
  chmodSync(join(certs, "bin/certs"), 0o755);
}

await Promise.all([buildDaemon(), buildClient(), buildCerts()]);
