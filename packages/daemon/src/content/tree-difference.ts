// Where two trees differ: names, owners, modes, times, attributes, contents. Each is looked at as the tar the archiver makes.
import { createHash } from "node:crypto";
import type { Packing } from "@tsd/kernel-bindings";
import { extract } from "tar-stream";

/** Each path with a digest of all that is known of it. */
async function describe({ stream, done }: Packing): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const entries = stream.pipe(extract());
  stream.on("error", (error) => entries.destroy(error));
  for await (const entry of entries) {
    const { name, mode, uid, gid, size, mtime, type, linkname, devmajor, devminor, pax } = entry.header;
    const hash = createHash("sha256");
    hash.update(JSON.stringify([mode, uid, gid, size, mtime, type, linkname, devmajor, devminor, pax]));
    for await (const chunk of entry as AsyncIterable<Buffer>) hash.update(chunk);
    found.set(name, hash.digest("hex"));
  }
  await done;
  return found;
}

/** The first path, by name, that is not the same in both; undefined where all are. */
export async function firstDifference(one: Packing, other: Packing): Promise<string | undefined> {
  const [left, right] = await Promise.all([describe(one), describe(other)]);
  const paths = [...new Set([...left.keys(), ...right.keys()])].sort();
  return paths.find((path) => left.get(path) !== right.get(path));
}
