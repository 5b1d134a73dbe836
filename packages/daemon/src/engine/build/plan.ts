// A Dockerfile's stages and their commands, all checked before anything is built.
import { invalid } from "../errors.ts";
import { type Arg, type Command, type From, parseCommand } from "./commands.ts";
import type { Dockerfile, Instruction } from "./dockerfile.ts";

type Numbered<T> = T & { instruction: Instruction };

export interface Stage {
  from: Numbered<From>;
  commands: Command[];
}

export interface BuildPlan {
  escapeCharacter: string;
  /** ARGs before the first FROM. */
  globals: Numbered<Arg>[];
  stages: Stage[];
  warnings: readonly string[];
  /** How many steps are counted. */
  steps: number;
}

/** Takes the stages up to `target` (a name, or a number), and adds labels to the last. Throws with Docker's words. */
export function planBuild(
  { instructions, escapeCharacter, warnings }: Dockerfile,
  target: string,
  labels: Readonly<Record<string, string>>,
): BuildPlan {
  const globals: Numbered<Arg>[] = [];
  let stages: Stage[] = [];
  for (const instruction of instructions) {
    const command = parseCommand(instruction, escapeCharacter);
    const stage = stages.at(-1);
    if (command.kind === "from") stages.push({ from: command, commands: [] });
    else if (stage) stage.commands.push(command);
    else if (command.kind === "arg") globals.push(command);
    else throw invalid("no build stage in current context");
  }
  if (target) stages = stages.slice(0, findTarget(stages, target) + 1);
  const last = stages.at(-1);
  if (!last) throw invalid("no build stage in current context");
  for (const [name, value] of Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
    last.commands.push(labelCommand(name, value));
  const steps = globals.length + stages.reduce((sum, { commands }) => sum + 1 + commands.length, 0);
  return { escapeCharacter, warnings, globals, stages, steps };
}

function findTarget(stages: readonly Stage[], target: string): number {
  const wanted = target.toLowerCase();
  const named = stages.findLastIndex(({ from }) => from.stage === wanted);
  if (named >= 0) return named;
  const index = /^\d+$/.test(target) ? Number(target) : -1;
  if (index >= 0 && index < stages.length) return index;
  throw invalid(`target stage ${JSON.stringify(target)} could not be found`);
}

/** A label that the client gave: nothing in it is replaced. */
function labelCommand(name: string, value: string): Command {
  const text = `LABEL ${name}=${value}`;
  return {
    kind: "metadata",
    change: ({ config }) => {
      config.Labels = { ...config.Labels, [name]: value };
      return text;
    },
    instruction: { line: 0, keyword: "LABEL", flags: [], text, original: text, heredocs: [] },
  };
}
