// Contexts as archives: the little of tar (ustar) that docker's exports are made of.
import { type ContextMeta, ENDPOINT } from "../sdk/contexts.ts";
import type { Material } from "./write.ts";

const BLOCK = 512;
/** More than any context needs. */
const MAXIMUM = 10 << 20;

function header(name: string, size: number, mode: number, isDirectory: boolean): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`;
  block.write(name, 0, 100, "utf8");
  block.write(octal(mode, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(0, 12), 136);
  block.write("        ", 148);
  block.write(isDirectory ? "5" : "0", 156);
  block.write("ustar\x0000", 257, "latin1");
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function entry(name: string, content: Buffer, mode: number): Buffer[] {
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  return [header(name, content.length, mode, false), content, padding];
}

/** A context as docker exports it. */
export function packContext(meta: ContextMeta, material: Material): Buffer {
  const parts = entry("meta.json", Buffer.from(JSON.stringify(meta)), 0o644);
  parts.push(header("tls", 0, 0o700, true));
  const files = Object.entries(material);
  if (files.length > 0) parts.push(header(`tls/${ENDPOINT}`, 0, 0o700, true));
  for (const [name, content] of files)
    parts.push(...entry(`tls/${ENDPOINT}/${name}`, Buffer.from(content), 0o600));
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

const text = (block: Buffer, start: number, length: number): string => {
  const end = block.indexOf(0, start);
  return block.toString("utf8", start, end < 0 || end > start + length ? start + length : end);
};

/** The files of an archive. Throws for what is none. */
function* readTar(archive: Buffer): Generator<{ name: string; content: Buffer }> {
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const block = archive.subarray(at, at + BLOCK);
    if (block.every((byte) => byte === 0)) return;
    const size = Number.parseInt(text(block, 124, 12).trim() || "0", 8);
    if (text(block, 257, 5) !== "ustar" || Number.isNaN(size)) throw new Error("not a tar archive");
    const content = archive.subarray(at + BLOCK, at + BLOCK + size);
    if (content.length < size) throw new Error("unexpected EOF");
    const kind = String.fromCharCode(block[156] ?? 0);
    if (kind === "0" || kind === "\0") yield { name: text(block, 0, 100), content };
    else if (kind !== "5") throw new Error(`unexpected entry in a context's archive: ${text(block, 0, 100)}`);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  if (at < archive.length) throw new Error("unexpected EOF");
}

/** A context from an archive. Throws for anything in it that belongs to none. */
export function unpackContext(archive: Buffer): { meta: ContextMeta; material: Material } {
  if (archive.length > MAXIMUM) throw new Error("the archive is larger than any context");
  if (archive.subarray(0, 4).toString("latin1") === "PK\x03\x04")
    throw new Error(
      "contexts in zip archives are not built yet: use docker context export, which makes a tar",
    );
  let meta: ContextMeta | undefined;
  const material: Record<string, Buffer> = {};
  for (const { name, content } of readTar(archive)) {
    const file = /^tls\/docker\/((?:ca|cert|key)\.pem)$/.exec(name)?.[1];
    if (name === "meta.json") meta = JSON.parse(content.toString("utf8")) as ContextMeta;
    else if (file) material[file] = content;
    else throw new Error(`unexpected file in a context's archive: ${name}`);
  }
  if (!meta?.Endpoints?.[ENDPOINT]) throw new Error("invalid context: no metadata found");
  return { meta: { ...meta, Metadata: meta.Metadata ?? {} }, material };
}
