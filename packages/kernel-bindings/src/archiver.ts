// Packs and unpacks trees in a process of its own that is locked into their root (launcher/archive).
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { ArchiveJob } from "./archive-job.ts";
import { HelperProcess } from "./helper.ts";

/** Where to work: descriptors of a root, and of a directory in it. They are the caller's to close, once the call that got
 * them has returned. */
export interface ArchivePlace {
  root: number;
  directory: number;
  /** A descriptor of the user namespace in which ids are to be read and given; the host's without. */
  userNamespace?: number | undefined;
  /** The tasks file of a devices control group: what may not be opened there, may not here. */
  devices?: string | undefined;
}

/** What a layer's unpacking tells. */
export interface UnpackedContents {
  /** Bytes of file contents. */
  size: number;
  /** Directories that hide what is below them in lower layers: marking them takes a capability the process gave up. */
  opaque: string[];
}

/** One thing in an upper directory: a whiteout, an opaque directory, a directory, or anything else. */
export interface LayerItem {
  kind: "w" | "o" | "d" | "f";
  mode: number;
  size: number;
  /** Seconds since the epoch, with nine digits after the point. */
  time: string;
  /** When anything about it was last changed, in the same form: nobody can set that (inode(7), st_ctim). */
  changed: string;
  inode: string;
  /** From the directory on, with a slash in front. */
  path: string;
}

/** An archive on its way out. */
export interface Packing {
  stream: Readable;
  /** Rejects with ArchiveError when the archive is not whole. */
  done: Promise<void>;
  /** Ends it early. */
  cancel(): void;
}

export class Archiver {
  readonly #program: string;
  readonly #report: (message: string) => void;
  #server: HelperProcess | undefined;

  /** `report` hears of the archive server's death; it is started when it is first needed. */
  constructor(program: string, report: (message: string) => void) {
    this.#program = program;
    this.#report = report;
  }

  #start(words: readonly string[], place: ArchivePlace): ArchiveJob {
    this.#server ??= new HelperProcess(this.#program, ["serve"], "messages", this.#report);
    const devices = place.devices ? ["--devices", place.devices] : [];
    const ids = place.userNamespace === undefined ? [] : ["--user-namespace", "/proc/self/fd/5"];
    const namespace = place.userNamespace === undefined ? [] : [place.userNamespace];
    return new ArchiveJob(
      this.#server,
      [...devices, ...ids, ...words],
      [place.root, place.directory, ...namespace],
    );
  }

  #pack(words: readonly string[], place: ArchivePlace): Packing {
    const job = this.#start(words, place);
    job.stdin.end();
    return { stream: job.stdout, done: job.done, cancel: () => job.kill() };
  }

  /** A tar of `base` (a name in the directory, "." for itself), which is called `name` in it. */
  pack(place: ArchivePlace, base: string, name: string): Packing {
    return this.#pack(["pack", base, name], place);
  }

  /** A tar of all that is in the directory. */
  packContents(place: ArchivePlace): Packing {
    return this.#pack(["pack-contents"], place);
  }

  /** A tar of an overlay's upper directory, with its whiteouts as the OCI image specification has them. */
  packLayer(place: ArchivePlace): Packing {
    return this.#pack(["pack-layer"], place);
  }

  /** What is in an overlay's upper directory. */
  async listLayer(place: ArchivePlace): Promise<LayerItem[]> {
    const { stream, done } = this.#pack(["list-layer"], place);
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    await done;
    return Buffer.concat(chunks)
      .toString("utf8")
      .split("\0")
      .filter(Boolean)
      .map((record) => {
        const [kind = "f", mode = "", size, time = "", changed = "", inode = "", ...path] = record.split(" ");
        return {
          kind: kind as LayerItem["kind"],
          mode: Number.parseInt(mode, 8),
          size: Number(size),
          time,
          changed,
          inode,
          path: path.join(" "),
        };
      });
  }

  /** Unpacks a tar into the directory, which messages call `path`. */
  async unpack(
    place: ArchivePlace,
    path: string,
    source: Readable,
    options: {
      owner?: { uid: number; gid: number } | undefined;
      /** Permissions of everything but links, instead of the archive's. */
      mode?: number | undefined;
      sameKind?: boolean;
      /** The archive's "." is the directory itself. */
      top?: boolean;
    },
  ): Promise<void> {
    const owner = options.owner ? ["--owner", `${options.owner.uid}:${options.owner.gid}`] : [];
    const mode = options.mode === undefined ? [] : ["--mode", options.mode.toString(8)];
    const flags = [...(options.sameKind ? ["--same-kind"] : []), ...(options.top ? ["--top"] : [])];
    const words = [...owner, ...mode, ...flags, "unpack", path];
    const job = this.#start(words, place);
    job.stdout.resume();
    await this.#feed(job, source);
  }

  /** Makes one directory's contents and attributes another's; both descriptors stay the caller's. */
  async copy(from: number, to: number): Promise<void> {
    const job = this.#start(["copy"], { root: to, directory: from });
    job.stdin.end();
    job.stdout.resume();
    await job.done;
  }

  /** Unpacks an image's layer: at most `maximum` bytes of contents. */
  async unpackLayer(place: ArchivePlace, source: Readable, maximum: number): Promise<UnpackedContents> {
    const job = this.#start(["--maximum", String(maximum), "unpack-layer"], place);
    const output = text(job.stdout);
    output.catch(() => undefined); // the job's own words come first
    await this.#feed(job, source);
    return JSON.parse(await output) as UnpackedContents;
  }

  async #feed(job: ArchiveJob, source: Readable): Promise<void> {
    const problem = await pipeline(source, job.stdin).then(
      () => undefined,
      (error: Error) => error,
    );
    // Whatever went wrong, its input has ended now, and so will it: its own words are the best. A source that broke off
    // between two entries must not pass for a whole archive.
    await job.done;
    if (problem) throw problem;
  }

  /** Ends the server, and all that it is at. */
  close(): void {
    this.#server?.close();
  }
}
