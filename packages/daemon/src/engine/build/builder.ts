// One build from its plan to its image: stage after stage, step after step.
import type { Caller } from "../access/caller.ts";
import { EngineError, invalid, notFound } from "../errors.ts";
import type { ImageRecord } from "../images/image.ts";
import type { ImageService } from "../images/service.ts";
import type { BuildArguments } from "./arguments.ts";
import { parseCommand } from "./commands.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { expandWord } from "./expand.ts";
import type { BuildOptions, PullImage } from "./options.ts";
import type { BuildOutput } from "./output.ts";
import type { BuildPlan, Stage } from "./plan.ts";
import { checkPlatform, fitsPlatform } from "./platform.ts";
import { shortId } from "./run.ts";
import { StageBuild, type StageParts } from "./stage.ts";

export interface BuilderParts {
  images: ImageService;
  caller: Caller;
  options: BuildOptions;
  args: BuildArguments;
  output: BuildOutput;
  signal: AbortSignal;
  pull: PullImage;
  hold(image: ImageRecord): void;
  stage: Omit<StageParts, "imageOf" | "hold" | "escapeCharacter">;
}

export class Builder {
  readonly #parts: BuilderParts;
  readonly #plan: BuildPlan;
  /** The stages that are done, in their order. */
  readonly #done: { name: string; image: ImageRecord | undefined }[] = [];
  #step = 0;

  constructor(parts: BuilderParts, plan: BuildPlan) {
    this.#parts = parts;
    this.#plan = plan;
  }

  /** Builds all of it; returns the last stage's image. */
  async build(): Promise<ImageRecord> {
    const { globals, stages, escapeCharacter } = this.#plan;
    const { args, output } = this.#parts;
    for (const warning of this.#plan.warnings) await output.say(warning);
    for (const { pairs, instruction } of globals) {
      await this.#announce(instruction.original);
      for (const { name, value } of pairs)
        args.declareGlobal(name, value === undefined ? undefined : this.#global(value, escapeCharacter));
    }
    let last: ImageRecord | undefined;
    for (const stage of stages) last = await this.#stage(stage);
    if (!last) throw new EngineError("system", "No image was generated. Is your Dockerfile empty?");
    return last;
  }

  #global(text: string, escapeCharacter: string): string {
    return expandWord(text, escapeCharacter, (name) => this.#parts.args.globalValue(name));
  }

  async #announce(original: string): Promise<void> {
    if (this.#parts.signal.aborted) throw new EngineError("system", "Build cancelled");
    await this.#parts.output.say(`Step ${++this.#step}/${this.#plan.steps} : ${original}`);
    await this.#parts.output.say("\n");
  }

  async #stage({ from, commands }: Stage): Promise<ImageRecord | undefined> {
    const { output, args, options, hold, stage: shared } = this.#parts;
    const { escapeCharacter } = this.#plan;
    if (from.stage && this.#done.some(({ name }) => name === from.stage))
      throw invalid(`${from.stage} stage name already used`);
    await this.#announce(from.instruction.original);
    args.beginStage();
    const platform = this.#global(from.platform, escapeCharacter) || options.platform;
    const base = await this.#base(this.#global(from.base, escapeCharacter), from.base, platform);
    if (base) hold(base);
    const parts = { ...shared, hold, escapeCharacter, imageOf: (text: string) => this.#imageOf(text) };
    const stage = new StageBuild(parts, base, !options.noCache);
    await this.#trigger(stage);
    await output.say(` ---> ${shortId(stage.image?.id ?? "")}\n`);
    for (const command of commands) {
      await this.#announce(command.instruction.original);
      await stage.carryOut(command);
      await output.say(` ---> ${shortId(stage.image?.id ?? "")}\n`);
    }
    if (stage.image) await output.send({ aux: { ID: stage.image.id } });
    this.#done.push({ name: from.stage, image: stage.image });
    return stage.image;
  }

  /** ONBUILD: what the base wants done first. */
  async #trigger(stage: StageBuild): Promise<void> {
    const triggers = stage.takeTriggers();
    if (triggers.length === 0) return;
    const plural = triggers.length > 1 ? "s" : "";
    await this.#parts.output.say(`# Executing ${triggers.length} build trigger${plural}\n`);
    for (const trigger of triggers) {
      const { escapeCharacter, instructions } = parseDockerfile(trigger);
      for (const instruction of instructions)
        await stage.carryOut(parseCommand(instruction, escapeCharacter));
    }
  }

  /** What a stage is built on; undefined for nothing. */
  async #base(name: string, written: string, platform: string): Promise<ImageRecord | undefined> {
    if (name === "") throw invalid(`base name (${written}) should not be blank`);
    if (name === "scratch") return undefined;
    const stage = this.#done.find((done) => done.name !== "" && done.name === name.toLowerCase());
    return stage ? stage.image : this.#image(name, platform);
  }

  /** An image by its name, from elsewhere if it is not here, is not for the platform, or is to be looked for anew. */
  async #image(name: string, platform: string): Promise<ImageRecord> {
    const { images, caller, options, pull, output, signal } = this.#parts;
    checkPlatform(platform);
    const here = options.pull ? undefined : images.find(name, caller);
    if (here && fitsPlatform(here, platform)) {
      images.checkUse(here, caller);
      return here;
    }
    const { registryConfig } = options;
    await pull(name, { caller, platform, registryConfig, signal, progress: (line) => output.send(line) });
    const pulled = images.get(name, caller);
    images.checkUse(pulled, caller);
    return pulled;
  }

  /** What --from names: a stage by name or number, or an image. */
  async #imageOf(from: string): Promise<ImageRecord | undefined> {
    const named = this.#done.find(({ name }) => name !== "" && name === from.toLowerCase());
    if (named) return named.image;
    if (/^\d+$/.test(from)) {
      const numbered = this.#done[Number(from)];
      if (!numbered) throw notFound(`invalid from flag value ${from}: invalid stage index ${from}`);
      return numbered.image;
    }
    try {
      return await this.#image(from, this.#parts.options.platform);
    } catch (error) {
      if (error instanceof EngineError)
        throw new EngineError(error.kind, `invalid from flag value ${from}: ${error.message}`);
      throw error;
    }
  }
}
