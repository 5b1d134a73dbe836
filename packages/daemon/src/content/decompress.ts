// Recognises how a stream is compressed by its first bytes, and undoes it as it flows.
import { spawn } from "node:child_process";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";

const formats: readonly { name: string; magic: readonly number[]; program?: readonly string[] }[] = [
  { name: "gzip", magic: [0x1f, 0x8b] },
  { name: "zstd", magic: [0x28, 0xb5, 0x2f, 0xfd], program: ["zstd", "-dcq"] },
  { name: "bzip2", magic: [0x42, 0x5a, 0x68], program: ["bzip2", "-dc"] },
  { name: "xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], program: ["xz", "-dc"] },
];

/** The user and group that own nothing. */
const NOBODY = 65534;

/** The first bytes of a stream, put back for whoever reads on. */
async function peek(source: Readable, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  while (size < length) {
    const chunk = source.read() as Buffer | null;
    if (chunk) {
      chunks.push(chunk);
      size += chunk.length;
      continue;
    }
    if (source.readableEnded || source.destroyed) break;
    const more = await new Promise<boolean>((resolve, reject) => {
      const settle = (result: () => void) => () => {
        source.off("readable", onReadable).off("end", onEnd).off("error", onError).off("close", onEnd);
        result();
      };
      const onReadable = settle(() => resolve(true));
      const onEnd = settle(() => resolve(false));
      const onError = (error: Error) => settle(() => reject(error))();
      source.on("readable", onReadable).on("end", onEnd).on("error", onError).on("close", onEnd);
    });
    if (!more) break;
  }
  const all = Buffer.concat(chunks);
  if (all.length > 0 && !source.readableEnded) source.unshift(all);
  return all;
}

/** How bytes that begin like this are compressed; "" for not at all. */
export const compressionOf = (start: Buffer): string =>
  formats.find(({ magic }) => magic.every((byte, index) => start[index] === byte))?.name ?? "";

/** The stream without its compression; errors of either end come out of the result. */
export async function decompress(source: Readable): Promise<Readable> {
  const start = await peek(source, 6);
  const format = formats.find(({ magic }) => magic.every((byte, index) => start[index] === byte));
  if (!format) return source;
  const output = new PassThrough();
  const fail = (error: Error) => output.destroy(error);
  if (!format.program) {
    pipeline(source, createGunzip({ chunkSize: 1 << 18 }), output).catch(fail);
    return output;
  }
  const [command = "", ...options] = format.program;
  // What a stranger packed is for nobody to unpack: the program has none of this process's rights.
  const child = spawn(command, options, {
    stdio: ["pipe", "pipe", "ignore"],
    cwd: "/",
    env: { PATH: process.env.PATH },
    ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  child.on("error", (error) =>
    fail(new Error(`${format.name} data, but ${command} can't be run: ${error.message}`)),
  );
  child.on("close", (code) => {
    if (code !== 0) fail(new Error(`${command} failed with ${code}: malformed ${format.name} data`));
  });
  // The program may end before its input does; its exit status says whether that was right.
  pipeline(source, child.stdin).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") fail(error);
  });
  pipeline(child.stdout, output).catch(fail);
  return output;
}
