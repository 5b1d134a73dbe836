// Writes a layer's tar entries below the present root: ownership, times, links, devices, attributes, whiteouts.
import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { posix } from "node:path";
import type { Readable } from "node:stream";
import { makeNode, S_IFBLK, S_IFCHR, S_IFIFO, setAttribute } from "@tsd/kernel-bindings";
import { extract, type Header } from "tar-stream";

/** What the parent needs to know afterwards. */
export interface UnpackResult {
  /** Bytes of file contents. */
  size: number;
  /** Directories that hide what is below them in lower layers; marking them needs a capability we gave up. */
  opaque: string[];
}

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const MAXIMUM_ENTRIES = 4_000_000;

/** An entry's name as a clean absolute path of the root; ".." can't climb out of it. */
const pathOf = (name: string): string => posix.join("/", name.replace(/\/+$/, ""));

export class LayerWriter {
  readonly #limit: number;
  readonly #opaque: string[] = [];
  /** Directories get their times last, when nothing is put into them any more. */
  readonly #directories: { path: string; time: Date }[] = [];
  readonly #made = new Set<string>(["/"]);
  #size = 0;
  #entries = 0;

  /** `limit` is the most bytes of contents that are written. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  async write(input: Readable): Promise<UnpackResult> {
    const archive = extract();
    input.on("error", (error) => archive.destroy(error));
    input.pipe(archive);
    for await (const entry of archive) {
      if (++this.#entries > MAXIMUM_ENTRIES)
        throw new Error(`layer has more than ${MAXIMUM_ENTRIES} entries`);
      await this.#entry(entry.header, entry as AsyncIterable<Buffer>);
      entry.resume();
    }
    for (const { path, time } of this.#directories.reverse()) lutimesSync(path, time, time);
    return { size: this.#size, opaque: this.#opaque };
  }

  async #entry(header: Header, contents: AsyncIterable<Buffer>): Promise<void> {
    const path = pathOf(header.name);
    const name = posix.basename(path);
    if (name === OPAQUE) {
      this.#parents(posix.dirname(path));
      this.#opaque.push(posix.dirname(path));
      return;
    }
    if (name.startsWith(`${WHITEOUT}${WHITEOUT}`)) return; // other storage drivers' own notes
    this.#parents(posix.dirname(path));
    if (name.startsWith(WHITEOUT)) {
      const hidden = posix.join(posix.dirname(path), name.slice(WHITEOUT.length));
      rmSync(hidden, { recursive: true, force: true });
      makeNode(hidden, S_IFCHR, 0, 0);
      return;
    }
    if (header.type === "directory") return this.#directory(path, header);
    if (path === "/") throw new Error(`layer's root is a ${header.type}`);
    rmSync(path, { recursive: true, force: true });
    await this.#make(path, header, contents);
    if (header.type !== "link") this.#attributes(path, header);
  }

  /** Missing parents are made plain. A parent that is a link is followed, within the root. */
  #parents(path: string): void {
    if (this.#made.has(path)) return;
    mkdirSync(path, { recursive: true, mode: 0o755 });
    this.#made.add(path);
  }

  #directory(path: string, header: Header): void {
    const there = lstatSync(path, { throwIfNoEntry: false });
    if (there && !there.isDirectory()) rmSync(path);
    if (!there?.isDirectory()) mkdirSync(path);
    this.#made.add(path);
    this.#attributes(path, header);
    this.#directories.push({ path, time: header.mtime ?? new Date(0) });
  }

  async #make(path: string, header: Header, contents: AsyncIterable<Buffer>): Promise<void> {
    switch (header.type) {
      case "file":
      case "contiguous-file":
        return this.#file(path, contents);
      case "symlink":
        return symlinkSync(header.linkname ?? "", path);
      case "link":
        return linkSync(pathOf(header.linkname ?? ""), path);
      case "fifo":
        return makeNode(path, S_IFIFO | 0o600, 0, 0);
      case "character-device":
      case "block-device": {
        const type = header.type === "character-device" ? S_IFCHR : S_IFBLK;
        return makeNode(path, type | 0o600, header.devmajor ?? 0, header.devminor ?? 0);
      }
      default:
        throw new Error(`entry ${header.name} has unsupported type ${header.type}`);
    }
  }

  async #file(path: string, contents: AsyncIterable<Buffer>): Promise<void> {
    const file = openSync(path, "wx", 0o600);
    try {
      for await (const chunk of contents) {
        this.#size += chunk.length;
        if (this.#size > this.#limit) throw new Error(`layer is larger than ${this.#limit} bytes`);
        for (let written = 0; written < chunk.length; ) written += writeSync(file, chunk, written);
      }
    } finally {
      closeSync(file);
    }
  }

  #attributes(path: string, header: Header): void {
    lchownSync(path, header.uid ?? 0, header.gid ?? 0);
    for (const [key, value] of Object.entries(header.pax ?? {})) {
      const name = /^SCHILY\.xattr\.(.+)$/.exec(key)?.[1];
      // An archive has no say in how the overlay works.
      if (!name || name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")) continue;
      if (name.startsWith("trusted.")) continue;
      const text = String(value);
      // The archive's reader takes values for UTF-8; one that isn't would be set wrongly.
      if (text.includes("\ufffd")) throw new Error(`entry ${header.name}: attribute ${name} is not UTF-8`);
      setAttribute(path, name, Buffer.from(text));
    }
    // After the owner: changing that clears the set-id bits.
    if (header.type !== "symlink") chmodSync(path, (header.mode ?? 0o755) & 0o7777);
    const time = header.mtime ?? new Date(0);
    lutimesSync(path, time, time);
  }
}
