// Paths that go up are opened while others rename files: the kernel would have them tried again.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, it } from "vitest";
import { O_PATH, openat2, RESOLVE_IN_ROOT } from "./libc.ts";

const RENAMER = `
const { renameSync } = require("node:fs");
console.log("renaming");
for (;;) { renameSync("a", "b"); renameSync("b", "a"); }
`;

let directory = "";
let root = -1;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-openat2-test-"));
  for (const name of ["down", "beside", "a"]) mkdirSync(join(directory, name));
  symlinkSync("../beside", join(directory, "down/link"));
  root = openSync(directory, O_PATH);
});
afterAll(() => {
  closeSync(root);
  rmSync(directory, { recursive: true });
});

it("opens a path that goes up, whatever is renamed meanwhile", async () => {
  const renamer = spawn(process.execPath, ["-e", RENAMER], { cwd: directory });
  await once(renamer.stdout, "data");
  try {
    for (let lookup = 0; lookup < 50_000; lookup++)
      closeSync(openat2(root, "down/link", O_PATH, RESOLVE_IN_ROOT));
  } finally {
    renamer.kill("SIGKILL");
    await once(renamer, "exit");
  }
});
