// A build's context: the files it may copy, unpacked into a directory that only this build knows.
import { closeSync, constants, openSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Readable } from "node:stream";
import { ArchiveError, type Archiver, O_PATH } from "@tsd/kernel-bindings";
import { IgnoreRules } from "../../api/build-ignore.ts";
import { readInside } from "../../runtime/rootview.ts";
import { invalid } from "../errors.ts";

export class BuildContext {
  readonly directory: string;
  /** A descriptor of it. */
  readonly root: number;

  private constructor(directory: string) {
    this.directory = directory;
    this.root = openSync(directory, O_PATH | constants.O_DIRECTORY);
  }

  /** A context in a new directory `name` below `parent`, which `fill` fills. */
  static async make(
    parent: string,
    fill: (directory: string, root: number) => Promise<void>,
  ): Promise<BuildContext> {
    const directory = join(parent, "context");
    await mkdir(directory, { mode: 0o755 });
    const context = new BuildContext(directory);
    try {
      await fill(directory, context.root);
      return context;
    } catch (error) {
      context.close();
      throw error;
    }
  }

  /** Fills a context with a tar, compressed or not. */
  static unpack(archiver: Archiver, parent: string, archive: Readable): Promise<BuildContext> {
    return BuildContext.make(parent, async (_directory, root) => {
      try {
        await archiver.unpack({ root, directory: root }, "/", archive, { sameKind: false });
      } catch (error) {
        if (error instanceof ArchiveError) throw invalid(`Error processing tar file: ${error.message}`);
        throw error;
      }
    });
  }

  /** A file's text; "" where there is none. Links are followed inside the context. */
  read(path: string): string {
    return readInside(this.root, posix.join("/", path));
  }

  /** Takes away what .dockerignore leaves out, itself only if it says so. */
  async applyIgnore(): Promise<void> {
    let rules: IgnoreRules;
    try {
      rules = new IgnoreRules(this.read(".dockerignore"));
    } catch (error) {
      throw invalid(`error reading .dockerignore: ${(error as Error).message}`);
    }
    if (!rules.isEmpty) await this.#prune(rules, "");
  }

  /** Whether nothing is left of the directory. */
  async #prune(rules: IgnoreRules, path: string): Promise<void> {
    for (const entry of await readdir(join(this.directory, path), { withFileTypes: true })) {
      const child = path ? `${path}/${entry.name}` : entry.name;
      const excluded = rules.excludes(child);
      if (!entry.isDirectory()) {
        if (excluded) await rm(join(this.directory, child), { force: true });
        continue;
      }
      if (excluded && !rules.hasExceptions) {
        await rm(join(this.directory, child), { recursive: true, force: true });
        continue;
      }
      await this.#prune(rules, child);
      // What is left of an excluded directory is there for what an exception keeps in it.
      if (excluded && (await readdir(join(this.directory, child))).length === 0)
        await rm(join(this.directory, child), { recursive: true });
    }
  }

  close(): void {
    closeSync(this.root);
  }
}
