// A Dockerfile as a list of instructions. dockerfile-ast finds directives and where each instruction begins and ends;
// continued lines, flags and here-documents are put together here as Docker's builder has them.
import { DockerfileParser } from "dockerfile-ast";
import { invalid } from "../errors.ts";
import { closest } from "./closest.ts";
import { type Heredoc, heredocNames, splitHeredocs } from "./heredocs.ts";

export interface Instruction {
  /** Counted from 1. */
  line: number;
  /** In upper case. */
  keyword: string;
  /** Words that begin with -- in front of the arguments, by name, without the dashes; in the order they came. */
  flags: readonly (readonly [name: string, value: string])[];
  /** The arguments, continued lines joined. */
  text: string;
  /** All of it as it is shown while it is built. */
  original: string;
  heredocs: readonly Heredoc[];
}

export interface Dockerfile {
  /** The character that escapes, and continues lines. */
  escapeCharacter: string;
  instructions: Instruction[];
  /** What will not be taken for ever. */
  warnings: string[];
}

export const keywords: readonly string[] = [
  "FROM",
  "RUN",
  "COPY",
  "ADD",
  "ENV",
  "ARG",
  "LABEL",
  "CMD",
  "ENTRYPOINT",
  "WORKDIR",
  "USER",
  "EXPOSE",
  "VOLUME",
  "SHELL",
  "STOPSIGNAL",
  "HEALTHCHECK",
  "ONBUILD",
  "MAINTAINER",
];
const withHeredocs = new Set(["RUN", "COPY", "ADD"]);
const withFlags = new Set(["FROM", "RUN", "COPY", "ADD", "HEALTHCHECK"]);

/** An error of a line, in Docker's words. */
export const lineError = (line: number, message: string): Error =>
  invalid(`dockerfile parse error on line ${line}: ${message}`);

/** The lines of one instruction as one; what does not belong to it any more (here-documents) is returned as `rest`. */
function joinLines(
  lines: readonly string[],
  escapeCharacter: string,
): { text: string; rest: readonly string[]; hasEmptyLines: boolean } {
  const quoted = escapeCharacter === "\\" ? "\\\\" : escapeCharacter;
  const continued = new RegExp(`(^|[^${quoted}])${quoted}[ \\t]*$`);
  let text = "";
  let hasEmptyLines = false;
  for (const [index, line] of lines.entries()) {
    const isFirst = index === 0;
    if (!isFirst && line.trim() === "") hasEmptyLines = true;
    if (!isFirst && /^\s*(?:#.*)?$/.test(line)) continue; // empty lines and comments between continued ones
    const body = isFirst ? line.trimStart() : line;
    if (!continued.test(body)) return { text: text + body, rest: lines.slice(index + 1), hasEmptyLines };
    text += body.replace(continued, "$1");
  }
  return { text, rest: [], hasEmptyLines };
}

/** Takes --name=value words off the front. */
export function takeFlags(text: string): { flags: [string, string][]; rest: string } {
  const flags: [string, string][] = [];
  let rest = text;
  for (;;) {
    const match = /^--([^\s=]*)(?:=((?:"[^"]*"|'[^']*'|\\.|[^\s"'\\])*))?(?:\s+|$)/.exec(rest);
    if (!match) return { flags, rest };
    rest = rest.slice(match[0].length);
    if (match[1] === "" && match[2] === undefined) return { flags, rest };
    flags.push([match[1] ?? "", (match[2] ?? "").replace(/^(["'])(.*)\1$/s, "$2")]);
  }
}

/** One instruction of its text, as it stands in a Dockerfile or behind ONBUILD. */
export function readInstruction(line: number, joined: string, rest: readonly string[]): Instruction {
  const [word = ""] = joined.trim().split(/\s/, 1);
  const keyword = word.toUpperCase();
  const after = joined.trim().slice(word.length).trim();
  if (!keywords.includes(keyword))
    throw lineError(line, `unknown instruction: ${word}${closest(word, keywords)}`);
  const { flags, rest: text } = withFlags.has(keyword) ? takeFlags(after) : { flags: [], rest: after };
  const inner = keyword === "ONBUILD" ? (text.split(/\s/, 1)[0] ?? "").toUpperCase() : keyword;
  const names = withHeredocs.has(inner) ? heredocNames(text) : [];
  const heredocs = splitHeredocs(names, rest, () => lineError(line, "unterminated heredoc"));
  const original = [joined.trim(), ...(names.length > 0 ? rest : [])].join("\n");
  return { line, keyword, flags, text, original, heredocs };
}

/** Parses a Dockerfile. Throws with Docker's words, naming the line. */
export function parseDockerfile(source: string, name = "Dockerfile"): Dockerfile {
  if (source.length === 0) throw invalid(`the Dockerfile (${name}) cannot be empty`);
  const text = source.replace(/^\uFEFF/, "").replace(/\r\n/g, "\n");
  const parsed = DockerfileParser.parse(text);
  const escapeCharacter = parsed.getEscapeCharacter() || "\\";
  const lines = text.split("\n");
  const warnings: string[] = [];
  const instructions = parsed.getInstructions().map((instruction) => {
    const { start, end } = instruction.getRange();
    const {
      text: joined,
      rest,
      hasEmptyLines,
    } = joinLines(lines.slice(start.line, end.line + 1), escapeCharacter);
    if (hasEmptyLines) warnings.push(`[WARNING]: Empty continuation line found in: ${joined.trim()}\n`);
    return readInstruction(start.line + 1, joined, rest);
  });
  if (instructions.length === 0) throw invalid("failed to parse Dockerfile: file with no instructions");
  if (warnings.length > 0)
    warnings.push("[WARNING]: Empty continuation lines will become errors in a future release.\n");
  return { escapeCharacter, instructions, warnings };
}
