// RUN --mount: secrets, parts of the context or of other stages, temporary file systems, caches. What is mounted is in no
// layer, and neither are the places that were made to mount it on.
import { createHash, randomBytes } from "node:crypto";
import { closeSync, lstatSync, readlinkSync, rmdirSync, unlinkSync } from "node:fs";
import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { type Archiver, KernelError } from "@tsd/kernel-bindings";
import { locate, openDirectory } from "../../runtime/path.ts";
import type { ContainerMount } from "../containers/record.ts";
import { invalid } from "../errors.ts";
import { findSources, openRoot, type Source } from "./sources.ts";

/** Where a mount's files may come from. */
export interface MountPlaces {
  archiver: Archiver;
  /** A directory of this build's own. */
  work: string;
  /** One in memory, for what must not be written to a disk. */
  hidden: string;
  /** The caller's caches. */
  caches: string;
  workingDirectory: string;
  secrets: ReadonlyMap<string, Buffer>;
  /** Gives `use` the root of a stage or an image, or of the context for "". */
  inRoot<T>(from: string, use: (root: number) => Promise<T>): Promise<T>;
}

export interface RunMounts {
  mounts: ContainerMount[];
  /** What the cache must know of them. */
  key: string[];
}

type Options = ReadonlyMap<string, string>;
const allowed: Readonly<Record<string, readonly string[]>> = {
  bind: ["source", "target", "from", "readwrite"],
  cache: ["id", "target", "readonly", "sharing", "mode", "uid", "gid"],
  tmpfs: ["target", "size"],
  secret: ["id", "target", "required", "mode", "uid", "gid"],
};
const aliases: Readonly<Record<string, string>> = {
  src: "source",
  dst: "target",
  destination: "target",
  ro: "readonly",
  rw: "readwrite",
};

function parse(text: string): { type: string; options: Options } {
  const options = new Map<string, string>();
  for (const part of text.split(",")) {
    const [name = "", ...value] = part.trim().split("=");
    options.set(
      aliases[name.toLowerCase()] ?? name.toLowerCase(),
      value.length > 0 ? value.join("=") : "true",
    );
  }
  const type = options.get("type") ?? "bind";
  options.delete("type");
  const names = allowed[type];
  if (!names) throw invalid(`RUN --mount: type ${JSON.stringify(type)} is not supported`);
  for (const name of options.keys())
    if (!names.includes(name)) throw invalid(`RUN --mount=type=${type}: unexpected key '${name}'`);
  return { type, options };
}

const isOn = (options: Options, name: string): boolean => (options.get(name) ?? "false") !== "false";

function number(options: Options, name: string, fallback: number, base = 10): number {
  const text = options.get(name);
  if (text === undefined) return fallback;
  if (!(base === 8 ? /^[0-7]{1,4}$/ : /^\d{1,10}$/).test(text))
    throw invalid(`RUN --mount: invalid value ${JSON.stringify(text)} for ${name}`);
  return Number.parseInt(text, base);
}

const bound = (source: string, target: string, readOnly: boolean): ContainerMount => ({
  type: "bind",
  name: "",
  source,
  target,
  readOnly,
  subpath: "",
  readOnlyRecursive: readOnly,
  recursive: false,
  propagation: "rprivate",
  mode: "",
  tmpfsOptions: "",
  anonymous: false,
  confined: true,
});

class MountMaker {
  readonly #places: MountPlaces;
  constructor(places: MountPlaces) {
    this.#places = places;
  }

  #target(options: Options): string {
    const target = options.get("target");
    if (!target) throw invalid("RUN --mount: target is required");
    const whole = posix.resolve("/", this.#places.workingDirectory, target);
    if (whole === "/") throw invalid("RUN --mount: target can't be '/'");
    return whole;
  }

  async secret(options: Options): Promise<ContainerMount[]> {
    const id = options.get("id") ?? posix.basename(options.get("target") ?? "");
    if (!id) throw invalid("RUN --mount=type=secret: one of id and target is required");
    const content = this.#places.secrets.get(id);
    if (!content) {
      if (isOn(options, "required")) throw invalid(`secret ${id}: not found`);
      return [];
    }
    const target = options.get("target") ?? `/run/secrets/${id}`;
    const file = join(this.#places.hidden, randomBytes(8).toString("hex"));
    await writeFile(file, content, { mode: 0o400 });
    await chmod(file, number(options, "mode", 0o400, 8));
    await chown(file, number(options, "uid", 0), number(options, "gid", 0));
    return [bound(file, posix.resolve("/", this.#places.workingDirectory, target), true)];
  }

  tmpfs(options: Options): ContainerMount[] {
    const size = options.get("size");
    if (size !== undefined && !/^\d+[kKmMgG]?$/.test(size))
      throw invalid(`RUN --mount=type=tmpfs: invalid size ${JSON.stringify(size)}`);
    const tmpfsOptions = ["exec", ...(size ? [`size=${size}`] : [])].join(",");
    return [{ ...bound("", this.#target(options), false), type: "tmpfs", tmpfsOptions, confined: false }];
  }

  async cache(options: Options): Promise<ContainerMount[]> {
    const target = this.#target(options);
    const sharing = options.get("sharing") ?? "shared";
    if (!["shared", "private"].includes(sharing))
      throw invalid(`RUN --mount=type=cache: sharing=${sharing} is not supported`);
    const name = createHash("sha256")
      .update(options.get("id") ?? target)
      .digest("hex")
      .slice(0, 32);
    const parent = sharing === "shared" ? this.#places.caches : this.#places.work;
    const directory = join(parent, sharing === "shared" ? name : randomBytes(8).toString("hex"));
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const made = await mkdir(directory, { recursive: true });
    if (made) {
      await chmod(directory, number(options, "mode", 0o755, 8));
      await chown(directory, number(options, "uid", 0), number(options, "gid", 0));
    }
    return [bound(directory, target, isOn(options, "readonly"))];
  }

  async bind(options: Options, key: string[]): Promise<ContainerMount[]> {
    const target = this.#target(options);
    const from = options.get("from") ?? "";
    return this.#places.inRoot(from, async (root) => {
      const [source] = await findSources(root, options.get("source") ?? "/", "RUN --mount");
      if (!source) throw invalid("RUN --mount=type=bind: no source");
      key.push(source.digest);
      const writable = isOn(options, "readwrite");
      if (from === "" && !writable) return [bound(hostPath(source), target, true)];
      // The original must stay as it is, and an image's layers are no directory that could be bound.
      return [bound(await this.#copy(source), target, !writable)];
    });
  }

  async #copy(source: Source): Promise<string> {
    const { archiver, work } = this.#places;
    const directory = join(work, `mount-${randomBytes(8).toString("hex")}`);
    await mkdir(directory, { mode: 0o755 });
    const place = openDirectory(source.root, source.isDirectory ? source.path : posix.dirname(source.path));
    const target = openRoot(directory);
    try {
      const from = { root: source.root, directory: place };
      const packing = source.isDirectory
        ? archiver.packContents(from)
        : archiver.pack(from, posix.basename(source.path), "file");
      await archiver.unpack({ root: target, directory: target }, "/", packing.stream, { sameKind: false });
      await packing.done;
    } finally {
      closeSync(place);
      closeSync(target);
    }
    return source.isDirectory ? directory : join(directory, "file");
  }
}

/** Where on the host a source of the context is, by what its directory really is. */
function hostPath({ root, path, isDirectory }: Source): string {
  const directory = openDirectory(root, isDirectory ? path : posix.dirname(path));
  try {
    const real = readlinkSync(`/proc/self/fd/${directory}`);
    return isDirectory ? real : join(real, posix.basename(path));
  } finally {
    closeSync(directory);
  }
}

/** Makes ready what a RUN wants mounted. Throws naming the option that can't be. */
export async function prepareMounts(texts: readonly string[], places: MountPlaces): Promise<RunMounts> {
  const maker = new MountMaker(places);
  const key: string[] = [];
  const mounts: ContainerMount[] = [];
  for (const text of texts) {
    const { type, options } = parse(text);
    key.push(text);
    if (type === "secret") mounts.push(...(await maker.secret(options)));
    else if (type === "tmpfs") mounts.push(...maker.tmpfs(options));
    else if (type === "cache") mounts.push(...(await maker.cache(options)));
    else mounts.push(...(await maker.bind(options, key)));
  }
  return { mounts, key };
}

/** The places a mount needs that a root does not have, the deepest first. */
export function missingPlaces(root: number, mounts: readonly ContainerMount[]): string[] {
  const missing = new Set<string>();
  for (const { target } of mounts) {
    if (target.startsWith("/dev/")) continue; // a file system of its own
    for (let path = target; path !== "/"; path = posix.dirname(path)) {
      try {
        closeSync(locate(root, path).directory);
        break;
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        missing.add(path);
      }
    }
  }
  return [...missing].sort((a, b) => b.length - a.length);
}

/** Takes away from a container's own files what was only made to mount on. */
export function removePlaces(upper: string, places: readonly string[]): void {
  if (places.length === 0) return;
  const root = openRoot(upper);
  try {
    for (const path of places) removeEmpty(root, path);
  } finally {
    closeSync(root);
  }
}

function removeEmpty(root: number, path: string): void {
  let directory: number;
  try {
    directory = openDirectory(root, posix.dirname(path));
  } catch (error) {
    if (error instanceof KernelError) return; // it went with what it was in
    throw error;
  }
  const whole = `/proc/self/fd/${directory}/${posix.basename(path)}`;
  try {
    const status = lstatSync(whole, { throwIfNoEntry: false });
    if (status?.isDirectory()) rmdirSync(whole);
    else if (status?.isFile() && status.size === 0) unlinkSync(whole);
  } catch (error) {
    // Something was put there: then it is the step's.
    if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY") throw error;
  } finally {
    closeSync(directory);
  }
}
