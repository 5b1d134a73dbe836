// Spools an image archive (docker save, OCI layout) to disk while it streams in: its files by name, with their digests.
import { createHash, randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join, posix } from "node:path";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract } from "tar-stream";
import { decompress } from "./decompress.ts";

export interface SpooledFile {
  path: string;
  size: number;
  digest: string;
}

const MAXIMUM_JSON = 16 << 20;

export class SpooledArchive {
  readonly #directory: string;
  readonly #files = new Map<string, SpooledFile>();
  readonly #links = new Map<string, string>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads the whole archive into a directory below `root`. The caller closes it. */
  static async read(source: Readable, root: string): Promise<SpooledArchive> {
    const archive = new SpooledArchive(join(root, `load-${randomBytes(8).toString("hex")}`));
    await mkdir(archive.#directory, { recursive: true, mode: 0o700 });
    try {
      await archive.#spool(await decompress(source));
      return archive;
    } catch (error) {
      await archive.close();
      throw error;
    }
  }

  async #spool(source: Readable): Promise<void> {
    const entries = extract();
    const fed = pipeline(source, entries);
    fed.catch(() => undefined); // the loop below ends with the same error
    for await (const entry of entries) {
      const name = posix.join("/", entry.header.name).slice(1);
      if (entry.header.type === "file") await this.#file(name, entry as AsyncIterable<Buffer>);
      else if (entry.header.type === "symlink")
        this.#links.set(name, posix.join("/", posix.dirname(name), entry.header.linkname ?? "").slice(1));
      else if (entry.header.type === "link")
        this.#links.set(name, posix.join("/", entry.header.linkname ?? "").slice(1));
      entry.resume();
    }
    await fed;
  }

  async #file(name: string, contents: AsyncIterable<Buffer>): Promise<void> {
    const path = join(this.#directory, String(this.#files.size));
    const hash = createHash("sha256");
    let size = 0;
    const measure = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        size += chunk.length;
        done(null, chunk);
      },
    });
    await pipeline(contents, measure, createWriteStream(path, { mode: 0o600 }));
    this.#files.set(name, { path, size, digest: `sha256:${hash.digest("hex")}` });
  }

  #find(name: string): SpooledFile | undefined {
    const clean = posix.join("/", name).slice(1);
    return this.#files.get(clean) ?? this.#files.get(this.#links.get(clean) ?? "");
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** A file's bytes, for JSON documents. Throws when it is missing or too large to be one. */
  async bytes(name: string): Promise<Buffer> {
    const file = this.file(name);
    if (file.size > MAXIMUM_JSON) throw new Error(`${name} is larger than ${MAXIMUM_JSON} bytes`);
    return readFile(file.path);
  }

  /** A blob of an OCI layout, checked against its digest. */
  blob(digest: string): string {
    const name = `blobs/${digest.replace(":", "/")}`;
    const file = this.#find(name);
    if (!file) throw new Error(`archive has no blob ${digest}`);
    if (file.digest !== digest) throw new Error(`blob ${digest} has digest ${file.digest}`);
    return name;
  }

  /** Where a file lies, and what it is. Throws when it is missing. */
  file(name: string): SpooledFile {
    const file = this.#find(name);
    if (!file) throw new Error(`archive has no file ${name}`);
    return file;
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}
