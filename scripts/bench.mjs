// npm run bench: bundles the benchmark and runs it.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const outfile = join(root, "e2e/bench/.main.mjs");
await build({
  entryPoints: [join(root, "e2e/bench/main.ts")],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  logLevel: "error",
  define: { "import.meta.dirname": JSON.stringify(join(root, "e2e/harness")) },
});
const { status } = spawnSync(process.execPath, [outfile, ...process.argv.slice(2)], { stdio: "inherit" });
rmSync(outfile, { force: true });
process.exit(status ?? 1);
