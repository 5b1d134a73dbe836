// What a build fetches itself: files by URL, trees by git. The engine does that on the host's network, so that callers who
// may not use it get no further than a container's would.
import { spawn } from "node:child_process";
import { lookup } from "node:dns";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import * as http from "node:http";
import * as https from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { type Caller, denied } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";

const MOST_REDIRECTS = 10;
const SILENCE_MILLISECONDS = 60_000;

/** Addresses that lead to the host's own services, whoever asks. */
const own = new BlockList();
own.addSubnet("127.0.0.0", 8, "ipv4");
own.addSubnet("0.0.0.0", 8, "ipv4");
own.addAddress("::1", "ipv6");
own.addAddress("::", "ipv6");
own.addSubnet("::ffff:127.0.0.0", 104, "ipv6");

const mayUseHost = (caller: Caller): boolean => {
  const limits = caller.role?.limits;
  return !limits || limits.privileged || limits.hostNamespaces.includes("network");
};

function checkAddress(address: string, caller: Caller): void {
  if (!own.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")) return;
  throw denied(caller, `to fetch from ${address}, which is the host itself`);
}

/** Resolves names as usual, and refuses what they lead to where the caller may not go there. */
const guardedLookup =
  (caller: Caller): LookupFunction =>
  (name, options, done) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      try {
        if (error) throw error;
        for (const { address } of addresses) checkAddress(address, caller);
        const [first] = addresses;
        if (options.all) done(null, addresses);
        else done(null, first?.address ?? "", first?.family);
      } catch (problem) {
        done(problem as NodeJS.ErrnoException, "");
      }
    });
  };

function get(url: URL, caller: Caller, signal: AbortSignal): Promise<IncomingMessage> {
  const limited = !mayUseHost(caller);
  if (limited && isIP(url.hostname.replace(/^\[|\]$/g, "")))
    checkAddress(url.hostname.replace(/^\[|\]$/g, ""), caller);
  const { get: send } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      { signal, timeout: SILENCE_MILLISECONDS, ...(limited ? { lookup: guardedLookup(caller) } : {}) },
      resolve,
    );
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.on("error", reject);
  });
}

/** Opens a URL, following redirects. Throws for any answer but a good one. */
export async function fetchUrl(text: string, caller: Caller, signal: AbortSignal): Promise<IncomingMessage> {
  let url = parseUrl(text);
  for (let count = 0; count <= MOST_REDIRECTS; count++) {
    let answer: IncomingMessage;
    try {
      answer = await get(url, caller, signal);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw new EngineError("system", `Get ${JSON.stringify(text)}: ${(error as Error).message}`, {
        cause: error,
      });
    }
    const { statusCode = 0, statusMessage, headers } = answer;
    if (statusCode >= 200 && statusCode < 300) return answer;
    answer.destroy();
    if (statusCode < 300 || statusCode >= 400 || !headers.location)
      throw invalid(`failed to GET ${text} with status ${statusCode} ${statusMessage}`);
    url = parseUrl(new URL(headers.location, url).href);
  }
  throw invalid(`failed to GET ${text}: stopped after ${MOST_REDIRECTS} redirects`);
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !["http:", "https:"].includes(url.protocol)) throw invalid(`invalid URL: ${text}`);
  return url;
}

export const isUrl = (text: string): boolean => /^https?:\/\//.test(text);
export const isGit = (text: string): boolean =>
  /^(?:https?:\/\/.*\.git(?:#.*)?$|git:\/\/|ssh:\/\/|github\.com\/|git@)/.test(text);

/** A repository with the branch, tag or commit to take, and the directory in it. */
interface GitReference {
  url: string;
  ref: string;
  subdirectory: string;
}

export function parseGit(text: string): GitReference {
  const [address = "", fragment = ""] = text.split("#", 2);
  const [ref = "", subdirectory = ""] = fragment.split(":", 2);
  const url = address.startsWith("github.com/") ? `https://${address}` : address;
  if (ref.startsWith("-")) throw invalid(`invalid git reference: ${ref}`);
  return { url, ref: ref || "HEAD", subdirectory };
}

async function git(words: readonly string[], directory: string, signal: AbortSignal): Promise<void> {
  const child = spawn("git", ["-c", "core.symlinks=true", ...words], {
    cwd: directory,
    signal,
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      PATH: process.env.PATH,
      HOME: directory,
      GIT_TERMINAL_PROMPT: "0",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_ALLOW_PROTOCOL: "http:https:git:ssh",
    },
  });
  const errors: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  let code: unknown;
  try {
    [code] = (await once(child, "close")) as [number | null];
  } catch (error) {
    throw new EngineError("system", `git can't be run: ${(error as Error).message}`, { cause: error });
  }
  if (code !== 0)
    throw invalid(
      `error fetching: git ${words[0]}: ${Buffer.concat(errors).toString("utf8").trim() || `status ${code}`}`,
    );
}

/** Checks a repository out into an empty directory, its submodules too. */
export async function fetchGit(
  reference: GitReference,
  directory: string,
  caller: Caller,
  signal: AbortSignal,
): Promise<void> {
  if (!mayUseHost(caller))
    throw denied(caller, "to fetch by git, which the engine does on the host's network");
  const { url, ref } = reference;
  await git(["init", "-q"], directory, signal);
  await git(["remote", "add", "--", "origin", url], directory, signal);
  await git(["fetch", "-q", "--depth", "1", "--", "origin", ref], directory, signal);
  await git(["checkout", "-q", "FETCH_HEAD"], directory, signal);
  await git(["submodule", "-q", "update", "--init", "--recursive", "--depth=1"], directory, signal);
}
