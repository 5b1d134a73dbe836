// npm run bench: bundles the benchmark and the programs it starts, and runs it.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const programs = {
  main: join(root, "e2e/bench/.main.mjs"),
  load: join(root, "e2e/bench/.load.mjs"),
  // It stands where its native module can be found.
  "audit-figures": join(root, "packages/daemon/dist/audit-figures.mjs"),
};
// CommonJS dependencies in an ESM bundle still call require.
const banner = {
  js: 'import { createRequire as tsdCreateRequire } from "node:module"; const require = tsdCreateRequire(import.meta.url);',
};

for (const [name, outfile] of Object.entries(programs))
  await build({
    entryPoints: [join(root, `e2e/bench/${name}.ts`)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "error",
    banner,
    external: ["better-sqlite3", "koffi"],
    define: { "import.meta.dirname": JSON.stringify(join(root, "e2e/harness")) },
  });
const { status } = spawnSync(process.execPath, [programs.main, ...process.argv.slice(2)], {
  stdio: "inherit",
});
for (const outfile of Object.values(programs)) rmSync(outfile, { force: true });
process.exit(status ?? 1);
