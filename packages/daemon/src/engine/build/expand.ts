// Variables and quotes in an instruction's words, as Docker's builder replaces them: $name, ${name} and its modifiers.

/** The value of a variable; undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

class Reader {
  readonly text: string;
  readonly #escape: string;
  readonly #lookup: Lookup;
  at = 0;
  /** Finished words, where words are wanted. */
  readonly words: string[] = [];

  constructor(text: string, escapeCharacter: string, lookup: Lookup) {
    this.text = text;
    this.#escape = escapeCharacter;
    this.#lookup = lookup;
  }

  #peek(): string {
    return this.text.charAt(this.at);
  }
  #next(): string {
    return this.text.charAt(this.at++);
  }

  /** Reads up to `stop` (which is left), or to the end; splits at blanks when `split`. */
  read(stop: string, split: boolean): string {
    let all = "";
    let word = "";
    let begun = false;
    const add = (text: string, isRaw: boolean): void => {
      all += text;
      if (!split) return;
      if (!isRaw) {
        word += text;
        begun = true;
        return;
      }
      // What a variable stands for is split too, unless it is quoted.
      for (const [index, part] of text.split(/\s/).entries()) {
        if (index > 0) finish();
        if (part) begun = true;
        word += part;
      }
    };
    const finish = (): void => {
      if (begun) this.words.push(word);
      word = "";
      begun = false;
    };
    while (this.at < this.text.length) {
      const character = this.#peek();
      if (stop && character === stop) break;
      if (character === "'") add(this.#single(), false);
      else if (character === '"') add(this.#double(), false);
      else if (character === "$") add(this.#variable(), true);
      else if (character === this.#escape) {
        this.at++;
        // A lone escapeCharacter at the end stands for nothing.
        if (this.at < this.text.length) add(this.#next(), false);
      } else {
        this.at++;
        if (split && /\s/.test(character)) {
          finish();
          all += character;
        } else add(character, false);
      }
    }
    finish();
    return all;
  }

  #single(): string {
    this.at++;
    const end = this.text.indexOf("'", this.at);
    if (end < 0) throw new Error("unexpected end of statement while looking for matching single-quote");
    const value = this.text.slice(this.at, end);
    this.at = end + 1;
    return value;
  }

  #double(): string {
    this.at++;
    let value = "";
    while (this.at < this.text.length) {
      const character = this.#peek();
      if (character === '"') {
        this.at++;
        return value;
      }
      if (character === "$") value += this.#variable();
      else if (character === this.#escape) {
        this.at++;
        const next = this.#next();
        // Before anything but these the escapeCharacter is itself.
        value += ['"', "$", this.#escape].includes(next) ? next : character + next;
      } else value += this.#next();
    }
    throw new Error("unexpected end of statement while looking for matching double-quote");
  }

  #name(): string {
    const match = /^(?:[A-Za-z_]\w*|\d+|[@*#?\-$!])/.exec(this.text.slice(this.at));
    this.at += match?.[0].length ?? 0;
    return match?.[0] ?? "";
  }

  #variable(): string {
    this.at++;
    if (this.#peek() !== "{") {
      const name = this.#name();
      return name === "" ? "$" : (this.#lookup(name) ?? "");
    }
    this.at++;
    if (this.at >= this.text.length) throw new Error("syntax error: missing '}'");
    if (this.#peek() === "}") throw new Error("syntax error: bad substitution");
    const name = this.#name();
    const colon = this.#peek() === ":";
    if (colon) this.at++;
    const modifier = this.#peek();
    if (!colon && modifier === "}") {
      this.at++;
      return this.#lookup(name) ?? "";
    }
    this.at++;
    return this.#modified(name, modifier, colon);
  }

  #modified(name: string, modifier: string, colon: boolean): string {
    const value = this.#lookup(name);
    const isSet = value !== undefined && !(colon && value === "");
    if (["+", "-", "?"].includes(modifier)) {
      const word = this.#rest();
      if (modifier === "+") return isSet ? word : "";
      if (isSet) return value;
      if (modifier === "-") return word;
      throw new Error(`${name}: ${word || "not allowed to be unset"}`);
    }
    if (colon || !["#", "%", "/"].includes(modifier))
      throw new Error(`unsupported modifier (${colon ? ":" : ""}${modifier || "\ufffd"}) in substitution`);
    const twice = this.#peek() === modifier;
    if (twice) this.at++;
    const pattern = this.#rest();
    return strip(value ?? "", modifier, twice, pattern);
  }

  #rest(): string {
    const value = this.read("}", false);
    if (this.#next() !== "}") throw new Error("syntax error: missing '}'");
    return value;
  }
}

/** A shell pattern: * and ?, backslash takes the next as it is. */
function glob(pattern: string, greedy: boolean): string {
  const escapeCharacter = (text: string): string => text.replace(/[.+^${}()|[\]\\*?]/g, "\\$&");
  let result = "";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    if (character === "\\" && at + 1 < pattern.length) result += escapeCharacter(pattern.charAt(++at));
    else if (character === "*") result += greedy ? "[\\s\\S]*" : "[\\s\\S]*?";
    else if (character === "?") result += "[\\s\\S]";
    else result += escapeCharacter(character);
  }
  return result;
}

function strip(value: string, modifier: string, twice: boolean, pattern: string): string {
  if (modifier === "#") return value.replace(new RegExp(`^${glob(pattern, twice)}`), "");
  if (modifier === "/") {
    const slash = pattern.search(/(?<!\\)\//);
    const wanted = slash < 0 ? pattern : pattern.slice(0, slash);
    const replacement = slash < 0 ? "" : pattern.slice(slash + 1);
    return value.replace(new RegExp(glob(wanted, true), twice ? "g" : ""), () => replacement);
  }
  // The shortest or the longest end: a regular expression would always find the longest.
  const end = new RegExp(`^${glob(pattern, true)}$`);
  const starts = [...Array(value.length + 1).keys()];
  const start = (twice ? starts : starts.reverse()).find((at) => end.test(value.slice(at)));
  return start === undefined ? value : value.slice(0, start);
}

const failure = (text: string, error: unknown): Error =>
  new Error(`failed to process ${JSON.stringify(text)}: ${(error as Error).message}`, { cause: error });

/** The text with variables replaced and quotes taken off. */
export function expandWord(text: string, escapeCharacter: string, lookup: Lookup): string {
  try {
    return new Reader(text, escapeCharacter, lookup).read("", false);
  } catch (error) {
    throw failure(text, error);
  }
}

/** As expandWord, split at blanks that are not quoted. */
export function expandWords(text: string, escapeCharacter: string, lookup: Lookup): string[] {
  const reader = new Reader(text, escapeCharacter, lookup);
  try {
    reader.read("", true);
  } catch (error) {
    throw failure(text, error);
  }
  return reader.words;
}

/** A here-document's contents: variables are replaced, quotes are characters like any others. */
export const expandDocument = (text: string, escapeCharacter: string, lookup: Lookup): string =>
  text.replace(/\\.|\$(?:\{[^}]*\}|\w+)/gs, (part) => {
    if (part.startsWith("$")) return expandWord(part, escapeCharacter, lookup);
    return part[1] === "$" || part[1] === "\\" ? (part[1] ?? "") : part;
  });
