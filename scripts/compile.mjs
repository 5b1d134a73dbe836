// Makes programs start faster: a bundle is compiled once, here, and V8 only reads the result.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** The executable: runs the bundle beside it (esbuild's are ASCII), with the cache if there is one that this Node takes. */
const loader = (bundle, cache) => `#!/usr/bin/env -S -u NODE_EXTRA_CA_CERTS node
// Runs ${bundle}, compiled already if ${cache} is of this Node.
const fs = require("node:fs"), { Script } = require("node:vm"), bundle = __dirname + "/${bundle}";
let cachedData;
try { cachedData = fs.readFileSync(__dirname + "/${cache}"); } catch {}
new Script(fs.readFileSync(bundle, "latin1"), { filename: bundle, cachedData }).runInThisContext()(exports, require, module, __filename, __dirname);
`;

/** Compiles what a call runs through, and not only what stands at the top; whatever way it ends. */
const warmUp = `
const fs = require("node:fs"), { Script } = require("node:vm"), { createRequire } = require("node:module"), { dirname } = require("node:path");
const [bundle, cache] = process.argv.splice(1, 2);
const script = new Script(fs.readFileSync(bundle, "latin1"), { filename: bundle });
process.argv.splice(1, 0, bundle);
process.exit = (status = 0) => {
  fs.writeFileSync(cache, script.createCachedData());
  process.reallyExit(status);
};
process.on("exit", process.exit);
script.runInThisContext()(module.exports, createRequire(bundle), module, bundle, dirname(bundle));
`;

/** Makes an executable of a CommonJS bundle's text: FILE, FILE.cjs, and the cache, whose name says of what. `sample` is the
 * call whose ways are compiled, `flags` are Node's that the program will be run with: a cache is good for the same ones only. */
export function writeExecutable(text, file, { sample, flags = [] }) {
  const directory = dirname(file);
  const name = basename(file);
  const wrapped = `(function (exports, require, module, __filename, __dirname) {${text}\n})`;
  const bundle = `${name}.cjs`;
  // V8 compares the source's length only: a cache of another bundle must not be found.
  const cache = `${name}-${createHash("sha256").update(wrapped).digest("hex").slice(0, 12)}.cache`;
  for (const old of readdirSync(directory))
    if (old.startsWith(`${name}-`) && old.endsWith(".cache")) rmSync(join(directory, old));
  writeFileSync(join(directory, bundle), wrapped);
  const words = [...flags, "-e", warmUp, join(directory, bundle), join(directory, cache), ...sample];
  try {
    execFileSync(process.execPath, words, { stdio: "ignore" });
  } catch {
    // What it is asked to do may fail: there is no daemon now.
  }
  if (readFileSync(join(directory, cache)).length === 0) throw new Error(`${cache} is empty`);
  writeFileSync(file, loader(bundle, cache));
  chmodSync(file, 0o755);
}
