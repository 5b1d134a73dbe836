// One stage while it is built: the image so far, its configuration, and each command's step on top of it.
import { closeSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Archiver } from "@tsd/kernel-bindings";
import type { LayerDirectory, UnpackedLayer } from "../../content/layers.ts";
import { makeDirectory } from "../../runtime/path.ts";
import { openLayers, readUserFiles } from "../../runtime/rootview.ts";
import type { Caller } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { ImageService } from "../images/service.ts";
import { now } from "../timestamps.ts";
import type { BuildArguments } from "./arguments.ts";
import { type BuildCache, stepKey } from "./cache.ts";
import { parseMode, resolveOwner } from "./chown.ts";
import type { Arg, Command, Copy, Metadata, Run, Workdir } from "./commands.ts";
import { type CopyTask, copyInto } from "./copy.ts";
import { expandDocument, expandWord, expandWords } from "./expand.ts";
import type { Fetcher } from "./fetcher.ts";
import { commandLine, type Draft, type Expander, shellOf } from "./metadata.ts";
import type { BuildOutput } from "./output.ts";
import type { Runner } from "./run.ts";
import { type MountPlaces, prepareMounts } from "./run-mounts.ts";
import { scriptOf } from "./script.ts";
import { digestOf, findSources, openRoot, type Source } from "./sources.ts";

/** What all stages of a build share. */
export interface StageParts {
  images: ImageService;
  layers: LayerDirectory;
  archiver: Archiver;
  caller: Caller;
  cache: BuildCache;
  args: BuildArguments;
  output: BuildOutput;
  runner: Runner;
  fetcher: Fetcher;
  escapeCharacter: string;
  /** A directory of this build's own, and one in memory. */
  work: string;
  hidden: string;
  caches: string;
  secrets: ReadonlyMap<string, Buffer>;
  /** A descriptor of the context. */
  context: number;
  /** What was found in it: it stays as it is. */
  found: Map<string, Promise<Source[]>>;
  /** The image of an earlier stage, or one by its name; undefined for a stage that made nothing. */
  imageOf(from: string): Promise<ImageRecord | undefined>;
  /** Keeps an image for as long as the build needs it. */
  hold(image: ImageRecord): void;
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What a step is to history and cache, and how it is done. */
interface Step {
  /** What history says. */
  command: readonly string[];
  /** What else decides its outcome. */
  more: readonly string[];
  work: (() => Promise<UnpackedLayer | undefined>) | undefined;
}

export class StageBuild {
  readonly #parts: StageParts;
  readonly #draft: Draft;
  image: ImageRecord | undefined;
  /** Once a step was not found, none after it is looked for. */
  #useCache: boolean;
  #documents = 0;

  constructor(parts: StageParts, base: ImageRecord | undefined, useCache: boolean) {
    this.#parts = parts;
    this.image = base;
    this.#useCache = useCache;
    const config = structuredClone(base?.config.config ?? {});
    if (!(config.Env ?? []).some((entry) => entry.startsWith("PATH=")))
      config.Env = [`PATH=${DEFAULT_PATH}`, ...(config.Env ?? [])];
    this.#draft = { config, notes: [], hasCommand: false, author: "" };
  }

  /** The base's commands for whoever builds on it; they are not handed on. */
  takeTriggers(): string[] {
    const triggers = this.#draft.config.OnBuild ?? [];
    this.#draft.config.OnBuild = null;
    return triggers;
  }

  readonly #lookup = (name: string): string | undefined => {
    const entry = (this.#draft.config.Env ?? []).find((one) => one.startsWith(`${name}=`));
    return entry === undefined ? this.#parts.args.value(name) : entry.slice(name.length + 1);
  };
  readonly #expand: Expander = {
    word: (text) => expandWord(text, this.#parts.escapeCharacter, this.#lookup),
    words: (text) => expandWords(text, this.#parts.escapeCharacter, this.#lookup),
  };

  async carryOut(command: Command): Promise<void> {
    const step = await this.#stepOf(command);
    const { images, cache, caller, output } = this.#parts;
    const { config, author, notes } = this.#draft;
    for (const note of notes.splice(0)) await output.say(note);
    const key = stepKey(step.command, config, [...step.more, author]);
    const found = this.#useCache ? await cache.find(this.image, key, step.command, config) : undefined;
    if (found) {
      await output.say(" ---> Using cache\n");
      this.#become(found);
      return;
    }
    this.#useCache = false;
    const layer = await step.work?.();
    const made = await images.addStep(
      {
        base: this.image,
        layer,
        config: structuredClone(config),
        author: author || (this.image?.config.author ?? ""),
        history: {
          created: now(),
          created_by: step.command.join(" "),
          ...(author ? { author } : {}),
          ...(layer ? {} : { empty_layer: true }),
        },
        key,
      },
      caller,
    );
    this.#become(made);
  }

  #become(image: ImageRecord): void {
    this.#parts.hold(image);
    this.image = image;
  }

  #stepOf(command: Command): Step | Promise<Step> {
    switch (command.kind) {
      case "from":
        throw invalid("FROM can't be a trigger");
      case "metadata":
        return this.#metadata(command);
      case "arg":
        return this.#arg(command);
      case "workdir":
        return this.#workdir(command);
      case "run":
        return this.#run(command);
      case "copy":
        return this.#copy(command);
    }
  }

  /** A comment behind the shell, as Docker's builder has it in history for what runs nothing. */
  #comment(...words: readonly string[]): string[] {
    return [...shellOf(this.#draft.config), ...words];
  }

  #metadata({ change }: Metadata): Step {
    const comment = change(this.#draft, this.#expand);
    return { command: this.#comment("#(nop) ", comment), more: [], work: undefined };
  }

  #arg({ pairs }: Arg): Step {
    const shown = pairs.map(({ name, value }) => {
      const expanded = value === undefined ? undefined : this.#expand.word(value);
      this.#parts.args.declare(this.#expand.word(name), expanded);
      return expanded === undefined ? name : `${name}=${expanded}`;
    });
    return { command: this.#comment("#(nop) ", `ARG ${shown.join(" ")}`), more: [], work: undefined };
  }

  #workdir({ path }: Workdir): Step {
    const { config } = this.#draft;
    const whole = posix.resolve("/", config.WorkingDir ?? "", this.#expand.word(path));
    config.WorkingDir = whole;
    const work = (): Promise<UnpackedLayer | undefined> =>
      this.#layer(async (root) => {
        try {
          closeSync(makeDirectory(root, whole, { uid: 0, gid: 0 }));
        } catch (error) {
          throw new EngineError("system", `Cannot mkdir: ${whole} is not a directory`, { cause: error });
        }
      });
    return { command: this.#comment(`#(nop) WORKDIR ${whole}`), more: [], work };
  }

  #layer(work: (root: number) => Promise<void>): Promise<UnpackedLayer | undefined> {
    const { layers, images } = this.#parts;
    return layers.make(this.image ? images.layerDirectories(this.image) : [], work);
  }

  async #run({ words, text, heredocs, network, mounts }: Run): Promise<Step> {
    const { args, runner } = this.#parts;
    const { config } = this.#draft;
    const script = heredocs.length > 0 ? scriptOf(text, heredocs) : undefined;
    const command = commandLine(config, words, script?.text ?? text);
    const environment = args.environment(config.Env ?? []);
    const prepared = await prepareMounts(
      mounts.map((mount) => this.#expand.word(mount)),
      this.#mountPlaces(),
    );
    if (script?.file !== undefined) {
      const path = join(this.#parts.work, `script-${this.#documents++}`);
      await writeFile(path, script.file, { mode: 0o755 });
      prepared.mounts.push(script.mount(path));
      prepared.key.push(script.file);
    }
    return {
      command: args.stamp(command, environment),
      more: [...prepared.key, ...(network ? [`network=${network}`] : [])],
      work: async () => {
        if (command.length === 0) throw invalid("no command specified");
        const base = this.image;
        if (!base)
          throw invalid(
            `OCI runtime create failed: unable to start container process: exec: ${JSON.stringify(command[0])}: stat ${command[0]}: no such file or directory`,
          );
        return runner.run({ base, config, command, environment, network, mounts: prepared.mounts });
      },
    };
  }

  #mountPlaces(): MountPlaces {
    const { archiver, work, hidden, caches, secrets } = this.#parts;
    return {
      archiver,
      work,
      hidden,
      caches,
      secrets,
      workingDirectory: this.#draft.config.WorkingDir ?? "/",
      inRoot: (from, use) => this.#inRoot(from, use),
    };
  }

  /** Gives `use` the root of the context, of a stage, or of an image. */
  async #inRoot<T>(from: string, use: (root: number) => Promise<T>): Promise<T> {
    const { context, imageOf, images, hold } = this.#parts;
    if (from === "") return use(context);
    const image = await imageOf(from);
    if (!image) throw invalid(`invalid from flag value ${from}: the stage has no files`);
    hold(image);
    const layers = images.layerDirectories(image);
    const root = layers.length > 0 ? openLayers(layers) : openRoot(this.#parts.work);
    try {
      return await use(root);
    } finally {
      closeSync(root);
    }
  }

  async #copy(command: Copy): Promise<Step> {
    const { isAdd, chown, chmod } = command;
    const name = isAdd ? "ADD" : "COPY";
    const [words, target] = [
      command.sources.map((source) => this.#expand.word(source)),
      this.#expand.word(command.target),
    ];
    const owner = this.#expand.word(chown);
    const mode = parseMode(this.#expand.word(chmod));
    if (words.length + command.heredocs.length > 1 && !target.endsWith("/"))
      throw invalid(
        `When using ${name} with more than one source file, the destination must be a directory and end with a /`,
      );
    const documents = await this.#documentSources(command);
    const digests: string[] = [...documents.map(({ digest }) => digest)];
    // Looked at now, for the cache, and again when they are copied: a descriptor is not kept open in between.
    const remote = await this.#fetched(words, isAdd);
    digests.push(...remote.map(({ digest }) => digest));
    const local = words.filter((word) => !(isAdd && this.#parts.fetcher.isRemote(word)));
    const find = (root: number): Promise<Source[]> => this.#findAll(root, local, name);
    const from = this.#expand.word(command.from);
    if (local.length > 0) digests.push(...(await this.#inRoot(from, find)).map(({ digest }) => digest));
    if (digests.length === 0) throw invalid(`${name} failed: no source files were specified`);
    if (digests.length > 1 && !target.endsWith("/"))
      throw invalid(
        `When using ${name} with more than one source file, the destination must be a directory and end with a /`,
      );
    const flags = `${owner ? `--chown=${owner} ` : ""}${chmod ? `--chmod=${chmod} ` : ""}`;
    const sum = digestOf(digests.map((digest) => ({ digest })));
    const work = (): Promise<UnpackedLayer | undefined> =>
      this.#inRoot(from, async (root) => {
        // Docker's builder leaves the owners of other images' files as they are.
        const owned = owner || from === "" ? this.#owner(owner) : undefined;
        const task = { target: this.#absolute(target), owner: owned, mode };
        const found = local.length > 0 ? await find(root) : [];
        return this.#copyLayer([
          { ...task, sources: [...documents, ...remote], unpacks: false },
          { ...task, sources: found, unpacks: isAdd },
        ]);
      });
    return { command: this.#comment(`#(nop) ${name} ${flags}${sum} in ${target} `), more: [], work };
  }

  #copyLayer(tasks: readonly CopyTask[]): Promise<UnpackedLayer | undefined> {
    return this.#layer(async (root) => {
      for (const task of tasks) await copyInto(this.#parts.archiver, root, task);
    });
  }

  async #findAll(root: number, words: readonly string[], name: string): Promise<Source[]> {
    const sources: Source[] = [];
    for (const word of words) sources.push(...(await this.#find(root, word, name)));
    return sources;
  }

  #find(root: number, word: string, name: string): Promise<Source[]> {
    const { context, found } = this.#parts;
    if (root !== context) return findSources(root, word, name);
    const known = found.get(word) ?? findSources(root, word, name);
    found.set(word, known);
    return known;
  }

  #absolute(target: string): string {
    const whole = posix.resolve("/", this.#draft.config.WorkingDir ?? "", target);
    const asDirectory = target.endsWith("/") || target === "." || target.endsWith("/.");
    return asDirectory && whole !== "/" ? `${whole}/` : whole;
  }

  #owner(text: string): { uid: number; gid: number } {
    if (!text) return { uid: 0, gid: 0 };
    const layers = this.image ? this.#parts.images.layerDirectories(this.image) : [];
    return resolveOwner(text, layers.length > 0 ? readUserFiles({ layers }) : { passwd: "", group: "" });
  }

  /** Here-documents as files of their own names. */
  async #documentSources({ heredocs, isAdd }: Copy): Promise<Source[]> {
    const { escapeCharacter } = this.#parts;
    if (heredocs.length === 0) return [];
    const root = await this.#parts.fetcher.place(`documents-${this.#documents++}`);
    const found: Source[] = [];
    for (const { name, content, expand } of heredocs) {
      if (name.includes("/")) throw invalid(`invalid heredoc name: ${name}`);
      const text = expand ? expandDocument(content, escapeCharacter, this.#lookup) : content;
      await writeFile(join(root.directory, name), text, { mode: 0o644 });
      found.push(...(await findSources(root.descriptor, name, isAdd ? "ADD" : "COPY")));
    }
    return found;
  }

  async #fetched(words: readonly string[], isAdd: boolean): Promise<Source[]> {
    if (!isAdd) return [];
    const { fetcher } = this.#parts;
    const found: Source[] = [];
    for (const word of words) if (fetcher.isRemote(word)) found.push(await fetcher.fetch(word));
    return found;
  }
}
