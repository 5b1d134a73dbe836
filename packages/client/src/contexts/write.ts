// Contexts written to disk: whole or not at all, and readable by nobody else.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type ContextMeta, contextPaths, ENDPOINT } from "../sdk/contexts.ts";
import { readConfig } from "../sdk/environment.ts";

/** Certificates by file name (ca.pem, cert.pem, key.pem). */
export type Material = Readonly<Record<string, string | Buffer>>;

/** Replaces a file in one step. */
function writeWhole(path: string, content: string | Buffer, mode: number): void {
  const temporary = `${path}.${process.pid}.new`;
  try {
    writeFileSync(temporary, content, { mode, flag: "wx" });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function makePrivate(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  chmodSync(directory, 0o700);
}

/** Writes a context. Its certificates come first: whoever finds the context finds them. Without `material` those that
 * are there stay; with {} there are none afterwards. */
export function writeContext(directory: string, meta: ContextMeta, material: Material | undefined): void {
  const { metaPath, tlsPath } = contextPaths(directory, meta.Name);
  if (material) {
    const target = join(tlsPath, ENDPOINT);
    if (Object.keys(material).length > 0) {
      for (const path of [dirname(tlsPath), tlsPath, target]) makePrivate(path);
      for (const [name, content] of Object.entries(material)) writeWhole(join(target, name), content, 0o600);
    }
    if (existsSync(target))
      for (const name of readdirSync(target)) if (!Object.hasOwn(material, name)) rmSync(join(target, name));
    if (Object.keys(material).length === 0) rmSync(tlsPath, { recursive: true, force: true });
  }
  mkdirSync(metaPath, { recursive: true, mode: 0o700 });
  writeWhole(join(metaPath, "meta.json"), JSON.stringify(meta), 0o600);
}

/** Removes a context. */
export function removeContext(directory: string, name: string): void {
  const { metaPath, tlsPath } = contextPaths(directory, name);
  rmSync(metaPath, { recursive: true, force: true });
  rmSync(tlsPath, { recursive: true, force: true });
}

/** Makes a context the current one (undefined: none). What else is in config.json stays. */
export function setCurrent(directory: string, name: string | undefined): void {
  const { currentContext: _, ...others } = readConfig(directory);
  const config = name === undefined ? others : { ...others, currentContext: name };
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const link = join(directory, "config.json");
  // A link stays one.
  const path = existsSync(link) ? realpathSync(link) : link;
  const mode = existsSync(path) ? statSync(path).mode & 0o777 : 0o600;
  writeWhole(path, `${JSON.stringify(config, null, "\t")}\n`, mode);
}
