// RUN with here-documents: a script for the shell, or one that names its own interpreter.
import type { ContainerMount } from "../containers/record.ts";
import type { Heredoc } from "./heredocs.ts";

export interface Script {
  /** What the shell is given. */
  text: string;
  /** A program's text, for one that begins with #!. */
  file?: string;
  /** Where the program is to be, from a file of the host's. */
  mount(path: string): ContainerMount;
}

const PLACE = "/dev/pipes";

/** A document alone is the script; with a command, it is what the shell's own here-documents are. */
export function scriptOf(text: string, heredocs: readonly Heredoc[]): Script {
  const [first] = heredocs;
  const target = `${PLACE}/${first?.name.replaceAll("/", "_") ?? ""}`;
  const mount = (source: string): ContainerMount => ({
    type: "bind",
    name: "",
    source,
    target,
    readOnly: true,
    subpath: "",
    readOnlyRecursive: true,
    recursive: false,
    propagation: "rprivate",
    mode: "",
    tmpfsOptions: "",
    anonymous: false,
    confined: true,
  });
  const alone = heredocs.length === 1 && /^<<-?\s*(["']?)[^\s"']+\1$/.test(text.trim());
  if (!first || !alone) {
    // Tabs that <<- takes off are gone already; the shell's own << must then find the name as it stands.
    const documents = heredocs.map(({ name, content }) => `${content}${name}\n`).join("");
    return { text: `${text}\n${documents}`, mount };
  }
  if (first.content.startsWith("#!")) return { text: target, file: first.content, mount };
  return { text: first.content, mount };
}
