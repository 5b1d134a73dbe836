// npm test: every check there is; the last line counts them, "N passed, N failed".
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const directory = mkdtempSync(join(tmpdir(), "tsd-test-"));
const total = { passed: 0, failed: 0, skipped: 0 };

function run(name, command, words) {
  console.log(`\n== ${name}`);
  return new Promise((resolve) => {
    const child = spawn(command, words, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", (error) => {
      console.error(error.message);
      resolve(127);
    });
    child.on("close", (code) => resolve(code ?? 1));
  });
}

/** A check that passes or fails as a whole. */
async function check(name, command, words) {
  const status = await run(name, command, words);
  total[status === 0 ? "passed" : "failed"]++;
  if (status !== 0) console.error(`${name} failed with ${status}`);
}

async function vitest(project) {
  const report = join(directory, `${project}.json`);
  const status = await run(`${project} tests`, "npx", [
    "vitest",
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  if (!existsSync(report)) {
    total.failed++;
    return;
  }
  const result = JSON.parse(readFileSync(report, "utf8"));
  total.passed += result.numPassedTests;
  total.failed += result.numFailedTests;
  total.skipped += result.numPendingTests + result.numTodoTests;
  // A suite that fell over without a failed test (a leak found at its end, a hook that threw) is a failure too.
  if (status !== 0 && result.numFailedTests === 0) total.failed++;
}

try {
  await check("lint and format", "npx", ["biome", "check", "--error-on-warnings", "."]);
  await check("types", "npx", ["tsc", "--noEmit", "-p", "tsconfig.json"]);
  await check("launcher tests, sanitized", "make", [
    "--silent",
    "-C",
    "packages/kernel-bindings/launcher",
    "test",
  ]);
  await check("launch-plan decoder, a million fuzzed inputs", "make", [
    "--silent",
    "-C",
    "packages/kernel-bindings/launcher",
    "fuzz",
  ]);
  await vitest("unit");
  await vitest("e2e");
  await vitest("e2e-alone");
} finally {
  rmSync(directory, { recursive: true, force: true });
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exit(total.failed > 0 ? 1 : 0);
