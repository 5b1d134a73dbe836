// Builds: takes a context in, builds its Dockerfile, names the image; nothing but that is left, however it ends.
import { createHash, randomBytes } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, mkdirSync, realpathSync, rmSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Archiver, KernelError } from "@tsd/kernel-bindings";
import type { LayerDirectory } from "../../content/layers.ts";
import { isTar } from "../../content/tar-kind.ts";
import { locate, openDirectory } from "../../runtime/path.ts";
import type { Caller } from "../access/caller.ts";
import type { ContainerService } from "../containers/service.ts";
import { invalid } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { ImageService } from "../images/service.ts";
import { BuildArguments } from "./arguments.ts";
import { Builder } from "./builder.ts";
import { BuildCache } from "./cache.ts";
import { BuildContext } from "./context.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { Fetcher } from "./fetcher.ts";
import type { BuildOptions, PullImage } from "./options.ts";
import type { BuildOutput } from "./output.ts";
import { planBuild } from "./plan.ts";
import { checkPlatform } from "./platform.ts";
import { fetchGit, fetchUrl, isGit, isUrl, parseGit } from "./remote.ts";
import { Runner, shortId } from "./run.ts";
import { openRoot } from "./sources.ts";

export interface BuildServiceParts {
  images: ImageService;
  containers: ContainerService;
  layers: LayerDirectory;
  archiver: Archiver;
  /** Where contexts are unpacked, and caches kept. */
  root: string;
  /** Where secrets are while a command sees them: in memory. */
  hidden: string;
  pull: PullImage;
}

export interface BuildRequest {
  options: BuildOptions;
  /** The context's tar. */
  body: Readable;
  caller: Caller;
  output: BuildOutput;
  /** The client has gone. */
  signal: AbortSignal;
}

/** The places of one build. */
interface Places {
  work: string;
  hidden: string;
}

export class BuildService {
  readonly #parts: BuildServiceParts;
  readonly #root: string;
  readonly #hidden: string;

  /** Takes away what builds of an earlier daemon have left. */
  constructor(parts: BuildServiceParts) {
    this.#parts = parts;
    mkdirSync(parts.root, { recursive: true, mode: 0o700 });
    mkdirSync(parts.hidden, { recursive: true, mode: 0o700 });
    // Mounts out of them are confined: there may be no link on the way.
    this.#root = realpathSync(parts.root);
    this.#hidden = realpathSync(parts.hidden);
    rmSync(join(this.#root, "work"), { recursive: true, force: true });
    rmSync(this.#hidden, { recursive: true, force: true });
    for (const path of [join(this.#root, "work"), this.#hidden]) mkdirSync(path, { mode: 0o700 });
  }

  /** A caller's own caches. */
  cachesOf(caller: Caller): string {
    const name = createHash("sha256").update(caller.id).digest("hex").slice(0, 32);
    return join(this.#root, "caches", name);
  }

  /** Builds an image, and says so. Throws with Docker's words; the caller of this ends the output then. */
  async build(request: BuildRequest): Promise<void> {
    const { options, caller } = request;
    const names = options.tags.map((tag) => this.#parts.images.checkName(tag, caller));
    checkPlatform(options.platform);
    const id = randomBytes(8).toString("hex");
    const places = { work: join(this.#root, "work", id), hidden: join(this.#hidden, id) };
    try {
      await mkdir(places.work, { mode: 0o700 });
      await mkdir(places.hidden, { mode: 0o700 });
      const context = await this.#context(request, places);
      try {
        await this.#buildIn(context, request, places, names);
      } finally {
        context.close();
      }
    } finally {
      await rm(places.hidden, { recursive: true, force: true });
      await rm(places.work, { recursive: true, force: true });
    }
  }

  async #buildIn(
    context: BuildContext,
    { options, caller, output, signal }: BuildRequest,
    places: Places,
    names: readonly string[],
  ): Promise<void> {
    const { images, containers, layers, archiver, pull } = this.#parts;
    const source = readDockerfile(context, options.dockerfile);
    await context.applyIgnore();
    const plan = planBuild(parseDockerfile(source, options.dockerfile), options.target, options.labels);
    const args = new BuildArguments(options.args);
    const fetcher = new Fetcher(places.work, caller, signal);
    const held: string[] = [];
    const hold = ({ id }: ImageRecord): void => {
      held.push(id);
      images.steps.hold(id);
    };
    const stage = {
      images,
      layers,
      archiver,
      caller,
      cache: new BuildCache(images, caller, options.cacheFrom),
      args,
      output,
      runner: new Runner({ containers, images, layers }, options, caller, output, signal),
      fetcher,
      ...places,
      caches: this.cachesOf(caller),
      secrets: options.secrets,
      context: context.root,
      found: new Map(),
    };
    try {
      const builder = new Builder({ images, caller, options, args, output, signal, pull, hold, stage }, plan);
      const image = await builder.build();
      const unused = args.unused();
      if (unused.length > 0)
        await output.say(`[Warning] One or more build-args [${unused.join(" ")}] were not consumed\n`);
      images.steps.markResult(image.id);
      await output.say(`Successfully built ${shortId(image.id)}\n`);
      for (const name of names) {
        images.tag(image.id, name, "", caller);
        await output.say(`Successfully tagged ${name}\n`);
      }
      await output.finish(image.id);
    } finally {
      fetcher.close();
      for (const id of held) images.steps.release(id);
    }
  }

  async #context(request: BuildRequest, { work }: Places): Promise<BuildContext> {
    const { archiver } = this.#parts;
    const { options, body, caller, signal } = request;
    const { remote } = options;
    if (remote === "") return BuildContext.unpack(archiver, work, body);
    if (isGit(remote)) return this.#gitContext(remote, work, caller, signal);
    if (!isUrl(remote)) throw invalid(`remote: ${remote} is neither a URL nor a git repository`);
    const file = join(work, "download");
    await pipeline(await fetchUrl(remote, caller, signal), createWriteStream(file, { mode: 0o600 }));
    if (await isTar(file)) return BuildContext.unpack(archiver, work, createReadStream(file));
    // A file that is no archive is the Dockerfile.
    const name = options.dockerfile || "Dockerfile";
    return BuildContext.make(work, async (directory) => {
      await pipeline(createReadStream(file), createWriteStream(join(directory, posix.basename(name))));
    });
  }

  async #gitContext(
    remote: string,
    work: string,
    caller: Caller,
    signal: AbortSignal,
  ): Promise<BuildContext> {
    const { archiver } = this.#parts;
    const reference = parseGit(remote);
    if (!reference.subdirectory)
      return BuildContext.make(work, (directory) => fetchGit(reference, directory, caller, signal));
    const clone = join(work, "clone");
    await mkdir(clone, { mode: 0o755 });
    await fetchGit(reference, clone, caller, signal);
    const root = openRoot(clone);
    try {
      const directory = openDirectory(root, reference.subdirectory);
      const packing = archiver.packContents({ root, directory });
      closeSync(directory);
      const context = await BuildContext.unpack(archiver, work, packing.stream);
      await packing.done;
      return context;
    } finally {
      closeSync(root);
    }
  }
}

/** The Dockerfile's text. Throws with Docker's words where there is none. */
function readDockerfile(context: BuildContext, name: string): string {
  const exists = (path: string): boolean => {
    try {
      closeSync(locate(context.root, posix.join("/", path)).directory);
      return true;
    } catch (error) {
      if (error instanceof KernelError) return false;
      throw error;
    }
  };
  const clean = posix.normalize(name || "Dockerfile");
  if (clean.startsWith("../")) throw invalid(`Forbidden path outside the build context: ${name} ()`);
  const candidates = name === "" || name === "Dockerfile" ? ["Dockerfile", "dockerfile"] : [clean];
  const found = candidates.find(exists);
  if (found === undefined) throw invalid(`Cannot locate specified Dockerfile: ${name || "Dockerfile"}`);
  return context.read(found);
}
