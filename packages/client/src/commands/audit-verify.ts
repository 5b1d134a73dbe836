// tsctl audit verify: whether the record is whole and signed, and what is wrong with it if not.
import { once } from "node:events";
import { createReadStream, readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { ChainVerifier } from "@tsd/daemon/api/audit-chain";
import { type Command, print } from "../context.ts";
import { fileError } from "../file-error.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";

/** Lines of a stream. What is no JSON is handed on as text: the verifier says what is wrong with it. */
async function* linesOf(stream: Readable): AsyncGenerator<unknown> {
  const parse = (line: string): unknown => {
    try {
      return JSON.parse(line);
    } catch {
      return line;
    }
  };
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim()) yield parse(line);
  }
  if (rest.trim()) yield parse(rest);
}

/** "12:ab34…": a checkpoint that was written down elsewhere, which the record must agree with. */
function parsePinned(text: string): { sequence: number; hash: string } {
  const match = /^(\d+):([0-9a-f]{64})$/i.exec(text);
  if (!match)
    throw new UsageError(
      `invalid argument "${text}" for "--checkpoint" flag: SEQUENCE:HASH, as in a checkpoint's line`,
    );
  return { sequence: Number(match[1]), hash: (match[2] ?? "").toLowerCase() };
}

function readKey(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw fileError(error, file);
  }
}

function makeVerifier(
  key: string,
  source: string,
  pinned: readonly { sequence: number; hash: string }[],
): ChainVerifier {
  try {
    return new ChainVerifier(key, { pinned });
  } catch (error) {
    throw new Error(`${source}: not a public key in PEM format: ${(error as Error).message}`);
  }
}

/** A file, or our stdin for "-". */
async function openFile(path: string): Promise<Readable> {
  if (path === "-") return process.stdin;
  const stream = createReadStream(path);
  await once(stream, "open").catch((error: unknown) => {
    throw fileError(error, path);
  });
  return stream;
}

export const verify: Command = async (words, context) => {
  const flags = parseFlags(words, { file: ["text"], key: ["text"], checkpoint: ["list"] });
  expectArguments(flags, "audit verify", 0, 0);
  const pinned = flags.list("checkpoint").map(parsePinned);
  const file = flags.text("file");
  const keyFile = flags.text("key");
  const fetched = keyFile ? undefined : await context.client.audit.key();
  const verifier = keyFile
    ? makeVerifier(readKey(keyFile), keyFile, pinned)
    : makeVerifier(fetched?.PublicKey ?? "", "the daemon's key", pinned);
  const stream = file ? await openFile(file) : await context.client.audit.export();
  for await (const line of linesOf(stream)) verifier.push(line);
  const { records, checkpoints, problems } = verifier.finish();
  for (const { sequence, problem } of problems) await print(`${sequence}: ${problem}`);
  const counted = `${records} records, ${checkpoints} checkpoints`;
  const trust = fetched
    ? ` (by the key that the daemon gave, sha256 ${fetched.Fingerprint}: keep it, and give it with --key)`
    : "";
  if (problems.length === 0) {
    await print(`ok: ${counted}${trust}`);
    return 0;
  }
  await print(`NOT ok: ${counted}, ${problems.length} problem${problems.length === 1 ? "" : "s"}${trust}`);
  return 1;
};
