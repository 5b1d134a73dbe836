// What an instruction asks for, checked before anything is built: the words of its errors are Docker's.
import { closest } from "./closest.ts";
import { type Instruction, keywords, lineError } from "./dockerfile.ts";
import type { Heredoc } from "./heredocs.ts";
import { type Change, parseChange } from "./metadata.ts";
import { jsonList, listOrWords, quotedWords } from "./words.ts";

export interface From {
  kind: "from";
  base: string;
  stage: string;
  platform: string;
}
export interface Arg {
  kind: "arg";
  pairs: readonly { name: string; value: string | undefined }[];
}
export interface Run {
  kind: "run";
  /** A list, or the shell's text. */
  words: string[] | undefined;
  text: string;
  heredocs: readonly Heredoc[];
  /** As it was asked for: "" for the build's. */
  network: string;
  mounts: readonly string[];
}
export interface Copy {
  kind: "copy";
  isAdd: boolean;
  sources: readonly string[];
  target: string;
  from: string;
  chown: string;
  chmod: string;
  heredocs: readonly Heredoc[];
}
export interface Metadata {
  kind: "metadata";
  change: Change;
}
export interface Workdir {
  kind: "workdir";
  path: string;
}
export type Command = (From | Arg | Run | Copy | Metadata | Workdir) & { instruction: Instruction };

type Flags = ReadonlyMap<string, string>;

const known: Readonly<Record<string, readonly string[]>> = {
  FROM: ["platform"],
  RUN: ["mount", "network", "security"],
  COPY: ["from", "chown", "chmod", "link", "parents", "exclude"],
  ADD: ["chown", "chmod", "link", "checksum", "keep-git-dir", "exclude"],
  HEALTHCHECK: ["interval", "timeout", "start-period", "start-interval", "retries"],
};

function readFlags({ line, keyword, flags }: Instruction): Flags {
  const found = new Map<string, string>();
  const names = known[keyword] ?? [];
  for (const [name, value] of flags) {
    if (!names.includes(name)) throw lineError(line, `unknown flag: ${name}${closest(name, names)}`);
    if (found.has(name) && !["mount", "exclude"].includes(name))
      throw lineError(line, `duplicate flag specified: ${name}`);
    found.set(name, value);
  }
  return found;
}

function parseFrom({ line, text }: Instruction, flags: Flags): From {
  const words = text.split(/\s+/).filter(Boolean);
  const [base = "", as = "", name = ""] = words;
  if (words.length === 3 && as.toUpperCase() === "AS") {
    if (!/^[a-z][a-z0-9-_.]*$/.test(name.toLowerCase()))
      throw lineError(
        line,
        `invalid name for build stage: ${JSON.stringify(name)}, name can't start with a number or contain symbols`,
      );
  } else if (words.length !== 1) throw lineError(line, "FROM requires either one or three arguments");
  return { kind: "from", base, stage: name.toLowerCase(), platform: flags.get("platform") ?? "" };
}

function parseArg({ line, text }: Instruction, escapeCharacter: string): Arg {
  const words = quotedWords(text, escapeCharacter);
  if (words.length === 0) throw lineError(line, "ARG requires at least one argument");
  const pairs = words.map((word) => {
    const at = word.indexOf("=");
    if (at === 0) throw lineError(line, "ARG names can not be blank");
    return at < 0 ? { name: word, value: undefined } : { name: word.slice(0, at), value: word.slice(at + 1) };
  });
  return { kind: "arg", pairs };
}

function parseRun({ line, text, heredocs, flags }: Instruction, values: Flags): Run {
  if (values.has("security"))
    throw lineError(line, "RUN --security is not supported: a build's containers have no other privileges");
  const network = values.get("network") ?? "";
  if (!["", "default", "none", "host"].includes(network))
    throw lineError(line, `invalid network mode: ${JSON.stringify(network)}`);
  return {
    kind: "run",
    words: jsonList(text),
    text,
    heredocs,
    network: network === "default" ? "" : network,
    mounts: flags.filter(([name]) => name === "mount").map(([, value]) => value),
  };
}

function parseCopy({ line, text, heredocs, keyword }: Instruction, flags: Flags): Copy {
  for (const name of ["parents", "exclude", "checksum", "keep-git-dir"])
    if (flags.has(name)) throw lineError(line, `${keyword} --${name} is not supported`);
  const words = listOrWords(text);
  if (words.length <= 1)
    throw lineError(
      line,
      `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`,
    );
  const documents = new Set(heredocs.map(({ name }) => name));
  const isDocument = (word: string): boolean =>
    heredocs.length > 0 && documents.has(word.replace(/^<<-?/, "").replace(/^(["'])(.*)\1$/, "$2"));
  const chmod = flags.get("chmod") ?? "";
  return {
    kind: "copy",
    isAdd: keyword === "ADD",
    sources: words.slice(0, -1).filter((word) => !(word.startsWith("<<") && isDocument(word))),
    target: words.at(-1) ?? "",
    from: flags.get("from") ?? "",
    chown: flags.get("chown") ?? "",
    chmod,
    heredocs,
  };
}

function parseWorkdir({ line, text }: Instruction): Workdir {
  if (!text) throw lineError(line, "WORKDIR requires exactly one argument");
  return { kind: "workdir", path: text };
}

/** Throws what Docker says of an instruction that can't be. */
export function parseCommand(instruction: Instruction, escapeCharacter: string): Command {
  const { keyword, line } = instruction;
  const flags = readFlags(instruction);
  if (keyword === "FROM") return { instruction, ...parseFrom(instruction, flags) };
  if (keyword === "ARG") return { instruction, ...parseArg(instruction, escapeCharacter) };
  if (keyword === "RUN") return { instruction, ...parseRun(instruction, flags) };
  if (keyword === "COPY" || keyword === "ADD") return { instruction, ...parseCopy(instruction, flags) };
  if (keyword === "WORKDIR") return { instruction, ...parseWorkdir(instruction) };
  if (!keywords.includes(keyword)) throw lineError(line, `unknown instruction: ${keyword}`);
  return { instruction, kind: "metadata", change: parseChange(instruction, flags, escapeCharacter) };
}
