// What ADD names by URL or by git, fetched into a directory of the build's own.
import { closeSync, createWriteStream } from "node:fs";
import { mkdir, rm, utimes } from "node:fs/promises";
import { join, posix } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Caller } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";
import { fetchGit, fetchUrl, isGit, isUrl, parseGit } from "./remote.ts";
import { findSources, openRoot, type Source } from "./sources.ts";

export class Fetcher {
  readonly #work: string;
  readonly #caller: Caller;
  readonly #signal: AbortSignal;
  readonly #open: number[] = [];
  readonly #fetched = new Map<string, Promise<Source>>();

  constructor(work: string, caller: Caller, signal: AbortSignal) {
    this.#work = work;
    this.#caller = caller;
    this.#signal = signal;
  }

  isRemote(word: string): boolean {
    return isUrl(word) || isGit(word);
  }

  /** A new directory, which stays open until `close`. */
  async place(name: string): Promise<{ directory: string; descriptor: number }> {
    const directory = join(this.#work, name);
    await mkdir(directory, { mode: 0o755 });
    const descriptor = openRoot(directory);
    this.#open.push(descriptor);
    return { directory, descriptor };
  }

  /** Each once in a build. */
  fetch(word: string): Promise<Source> {
    const known = this.#fetched.get(word);
    if (known) return known;
    const fetching = isGit(word) ? this.#git(word) : this.#url(word);
    this.#fetched.set(word, fetching);
    return fetching;
  }

  async #url(word: string): Promise<Source> {
    const { directory, descriptor } = await this.place(`url-${this.#fetched.size}`);
    const name = posix.basename(decodeURIComponent(new URL(word).pathname));
    if (!name || name === "/" || name === "..")
      throw invalid(`ADD failed: cannot determine filename for source ${word}`);
    try {
      const answer = await fetchUrl(word, this.#caller, this.#signal);
      const file = join(directory, name);
      await pipeline(answer, createWriteStream(file, { mode: 0o600 }));
      const modified = new Date(answer.headers["last-modified"] ?? Number.NaN);
      // Without a date it is as old as time, so that the same file makes the same layer.
      const time = Number.isNaN(modified.getTime()) ? new Date(0) : modified;
      await utimes(file, time, time);
    } catch (error) {
      if (error instanceof EngineError) throw new EngineError(error.kind, `ADD failed: ${error.message}`);
      throw error;
    }
    const [source] = await findSources(descriptor, name.replace(/[*?[\]\\]/g, "\\$&"), "ADD");
    if (!source) throw invalid(`ADD failed: no source files were specified`);
    return source;
  }

  async #git(word: string): Promise<Source> {
    const { directory, descriptor } = await this.place(`git-${this.#fetched.size}`);
    const reference = parseGit(word);
    await fetchGit(reference, directory, this.#caller, this.#signal);
    await rm(join(directory, ".git"), { recursive: true, force: true });
    const [source] = await findSources(descriptor, reference.subdirectory || "/", "ADD");
    if (!source?.isDirectory) throw invalid(`ADD failed: ${word} names no directory`);
    return source;
  }

  close(): void {
    for (const descriptor of this.#open.splice(0)) closeSync(descriptor);
  }
}
