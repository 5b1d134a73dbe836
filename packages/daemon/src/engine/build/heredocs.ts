// Here-documents of RUN, COPY and ADD: their names in an instruction's line, and their contents in the lines below it.

export interface Heredoc {
  name: string;
  /** Variables in it are replaced: its name was not quoted. */
  expand: boolean;
  content: string;
}

interface HeredocName {
  name: string;
  expand: boolean;
  /** Leading tabs are taken off (<<-). */
  chomp: boolean;
}

/** A document's beginning, not within quotes. */
const begin = /^(\d*)<<(-?)(?:"([^"<]+)"|'([^'<]+)'|([^\s<>&|;()"']+))/;

/** The here-documents an instruction's line begins. */
export function heredocNames(text: string): HeredocName[] {
  const names: HeredocName[] = [];
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (quote) {
      if (character === quote) quote = "";
      else if (character === "\\" && quote === '"') at++;
      continue;
    }
    // A word begins here: an arithmetic shift (1<<2) has something in front of it.
    const match = at === 0 || /\s/.test(text.charAt(at - 1)) ? begin.exec(text.slice(at)) : null;
    if (match) {
      const name = match[3] ?? match[4] ?? match[5] ?? "";
      names.push({ name, expand: match[5] !== undefined, chomp: match[2] === "-" });
      at += match[0].length - 1;
    } else if (character === '"' || character === "'") quote = character;
    else if (character === "\\") at++;
  }
  return names;
}

/** The documents' contents, one after the other. */
export function splitHeredocs(
  names: readonly HeredocName[],
  lines: readonly string[],
  unterminated: () => Error,
): Heredoc[] {
  let at = 0;
  return names.map(({ name, expand, chomp }) => {
    const content: string[] = [];
    for (;;) {
      const line = lines[at++];
      if (line === undefined) throw unterminated();
      const kept = chomp ? line.replace(/^\t+/, "") : line;
      if (kept === name) return { name, expand, content: content.map((text) => `${text}\n`).join("") };
      content.push(kept);
    }
  });
}
