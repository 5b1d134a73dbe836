// .dockerignore: which files of a build's context it leaves out. Part of the API, so that client and daemon agree.

interface Rule {
  keeps: boolean;
  expression: RegExp;
}

const special = /[.+^${}()|]/;

/** A pattern's regular expression: * and ? stay within one part, ** goes across. */
function expressionOf(pattern: string): RegExp {
  let text = "^";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    if (character === "*" && pattern.charAt(at + 1) === "*") {
      at++;
      if (pattern.charAt(at + 1) === "/") at++;
      text += at + 1 >= pattern.length ? ".*" : "(.*/)?";
    } else if (character === "*") text += "[^/]*";
    else if (character === "?") text += "[^/]";
    else if (character === "\\") {
      const next = pattern.charAt(++at);
      text += /\w/.test(next) ? next : `\\${next || "\\"}`;
    } else text += special.test(character) ? `\\${character}` : character;
  }
  return new RegExp(`${text}$`, "s");
}

/** A path without ".", ".." where it can be, and double slashes. */
function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

export class IgnoreRules {
  readonly #rules: Rule[] = [];

  /** Throws for a pattern that is none. */
  constructor(text: string) {
    for (const raw of text.replace(/^\uFEFF/, "").split("\n")) {
      if (raw.startsWith("#")) continue;
      const line = raw.trim();
      const keeps = line.startsWith("!");
      const pattern = clean(keeps ? line.slice(1).trim() : line);
      if (keeps && pattern === "") throw new Error(`illegal exclusion pattern: ${JSON.stringify(line)}`);
      if (pattern === "") continue;
      let expression: RegExp;
      try {
        expression = expressionOf(pattern);
      } catch (error) {
        throw new Error(`syntax error in pattern ${JSON.stringify(pattern)}`, { cause: error });
      }
      this.#rules.push({ keeps, expression });
    }
  }

  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  /** Whether a path (from the context's root, no slash in front) is left out: the last rule that fits it, or a directory it
   * is in, decides. */
  excludes(path: string): boolean {
    const parts = path.split("/");
    const parents = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join("/"));
    let excluded = false;
    for (const { keeps, expression } of this.#rules) {
      if (keeps !== excluded) continue; // would change nothing
      const fits = expression.test(path) || parents.some((parent) => expression.test(parent));
      if (fits) excluded = !keeps;
    }
    return excluded;
  }

  /** Whether something in an excluded directory may be kept. */
  get hasExceptions(): boolean {
    return this.#rules.some(({ keeps }) => keeps);
  }
}
