// Go templates, as far as docker's users write them in --format: fields, pipes, range, if, with, index, json, join…

type Node =
  | { kind: "text"; text: string }
  | { kind: "value"; pipe: Pipe }
  | {
      kind: "if" | "range" | "with";
      pipe: Pipe;
      variable: readonly string[];
      body: Node[];
      otherwise: Node[];
    };
type Pipe = readonly Expression[];
type Expression = readonly Term[];
type Term =
  | { kind: "path"; root: string; fields: readonly string[] }
  | { kind: "literal"; value: unknown }
  | { kind: "call"; name: string }
  | { kind: "group"; pipe: Pipe; fields: readonly string[] };

export class TemplateError extends Error {}

interface Scope {
  dot: unknown;
  variables: ReadonlyMap<string, unknown>;
}

const tokenPattern =
  /"(?:[^"\\]|\\.)*"|`[^`]*`|-?\d+(?:\.\d+)?|\$?[\w]*(?:\.[\w]+)+|\$\w*|\.|\w+|:=|,|\||\(|\)/g;

function tokens(text: string): string[] {
  const found = text.match(tokenPattern) ?? [];
  if (found.join("").replace(/\s/g, "") !== text.replace(/\s/g, "") && !/["`]/.test(text))
    throw new TemplateError(`template parsing error: unexpected characters in ${JSON.stringify(text)}`);
  return found;
}

class Parser {
  readonly #tokens: readonly string[];
  #at = 0;
  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  /** "$i, $v := pipe" of range, "$x := pipe". */
  declaration(): string[] {
    const end = this.#tokens.indexOf(":=");
    if (end < 0) return [];
    const names = this.#tokens.slice(0, end).filter((token) => token !== ",");
    this.#at = end + 1;
    return names;
  }

  pipe(): Pipe {
    const expressions: Term[][] = [[]];
    for (let token = this.#peek(); token !== undefined && token !== ")"; token = this.#peek()) {
      this.#at++;
      if (token === "|") expressions.push([]);
      else expressions.at(-1)?.push(this.#term(token));
    }
    if (expressions.some((terms) => terms.length === 0))
      throw new TemplateError("template parsing error: missing value for command");
    return expressions;
  }

  #term(token: string): Term {
    if (token === "(") {
      const pipe = this.pipe();
      this.#at++;
      const fields = this.#peek()?.startsWith(".") ? (this.#tokens[this.#at++] ?? "") : "";
      return { kind: "group", pipe, fields: fields.split(".").filter(Boolean) };
    }
    if (token.startsWith('"')) return { kind: "literal", value: JSON.parse(token) };
    if (token.startsWith("`")) return { kind: "literal", value: token.slice(1, -1) };
    if (/^-?\d/.test(token)) return { kind: "literal", value: Number(token) };
    if (token === "true" || token === "false") return { kind: "literal", value: token === "true" };
    if (token === "nil") return { kind: "literal", value: null };
    if (token.startsWith(".") || token.startsWith("$")) {
      const [root = "", ...fields] = token.split(".");
      return { kind: "path", root, fields: fields.filter(Boolean) };
    }
    return { kind: "call", name: token };
  }
}

function parse(source: string): Node[] {
  const root: Node[] = [];
  const stack: { nodes: Node[]; block?: Extract<Node, { body: Node[] }> }[] = [{ nodes: root }];
  const pattern = /\{\{(-\s)?\s*([\s\S]*?)\s*(\s-)?\}\}/g;
  let end = 0;
  let trimNext = false;
  const addText = (text: string, trimEnd: boolean): void => {
    let kept = trimNext ? text.trimStart() : text;
    if (trimEnd) kept = kept.trimEnd();
    if (kept) stack.at(-1)?.nodes.push({ kind: "text", text: kept });
  };
  for (const match of source.matchAll(pattern)) {
    addText(source.slice(end, match.index), match[1] !== undefined);
    end = match.index + match[0].length;
    trimNext = match[3] !== undefined;
    const inside = match[2] ?? "";
    if (inside.startsWith("/*")) continue;
    const [word = ""] = inside.split(/\s/, 1);
    const top = stack.at(-1);
    if (word === "end") {
      if (stack.length === 1) throw new TemplateError("template parsing error: unexpected {{end}}");
      stack.pop();
      // An "else if" chain closes with one end.
      while (
        stack.length > 1 &&
        stack.at(-1)?.block?.kind === "if" &&
        stack.at(-1)?.nodes === stack.at(-1)?.block?.otherwise &&
        chained.has(stack.at(-1)?.block as object)
      )
        stack.pop();
    } else if (word === "else") {
      if (!top?.block) throw new TemplateError("template parsing error: unexpected {{else}}");
      top.nodes = top.block.otherwise;
      const rest = inside.slice(4).trim();
      if (rest.startsWith("if ")) {
        chained.add(top.block);
        open(rest.slice(2), "if");
      }
    } else if (word === "if" || word === "range" || word === "with") open(inside.slice(word.length), word);
    else top?.nodes.push({ kind: "value", pipe: new Parser(inside).pipe() });
  }
  addText(source.slice(end), false);
  if (stack.length > 1) throw new TemplateError("template parsing error: unexpected EOF");
  return root;

  function open(text: string, kind: "if" | "range" | "with"): void {
    const parser = new Parser(text);
    const variable = parser.declaration();
    const block = { kind, pipe: parser.pipe(), variable, body: [] as Node[], otherwise: [] as Node[] };
    stack.at(-1)?.nodes.push(block);
    stack.push({ nodes: block.body, block });
  }
}
const chained = new WeakSet<object>();

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

/** Go's truth: false, 0, nil and what is empty are not true. */
function truth(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isObject(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** How Go prints a value. */
function show(value: unknown): string {
  if (value === undefined) return "<no value>";
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(show).join(" ")}]`;
  if (isObject(value))
    return `map[${Object.keys(value)
      .sort()
      .map((key) => `${key}:${show(value[key])}`)
      .join(" ")}]`;
  return String(value);
}

function fieldsOf(start: unknown, fields: readonly string[]): unknown {
  let value = start;
  for (const field of fields) {
    if (!isObject(value)) return undefined;
    if (!(field in value)) {
      // Go's names and the API's differ in case here and there (ID, Id).
      const similar = Object.keys(value).find((key) => key.toLowerCase() === field.toLowerCase());
      if (similar === undefined) {
        if (Object.keys(value).length > 0 && !Array.isArray(value) && strict.has(value))
          throw new TemplateError(`template: :1: can't evaluate field ${field}`);
        return undefined;
      }
      value = value[similar];
    } else value = value[field];
    if (typeof value === "function") value = (value as () => unknown)();
  }
  return value;
}
/** Rows of tables know all of their fields: a misspelt one is an error. */
const strict = new WeakSet<object>();
export const strictRow = <T extends object>(row: T): T => {
  strict.add(row);
  return row;
};

const text = (value: unknown): string => (typeof value === "string" ? value : show(value));
const sortedJson = (value: unknown): string => JSON.stringify(value === undefined ? null : value);

const functions: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
  json: (value) => sortedJson(value),
  println: (...values) => `${values.map(text).join(" ")}\n`,
  print: (...values) => values.map(text).join(""),
  printf: (format, ...values) => {
    let index = 0;
    return text(format).replace(/%(-?\d*)([svdqtx%])/g, (_, width: string, verb: string) => {
      if (verb === "%") return "%";
      const value = values[index++];
      const shown =
        verb === "q" ? JSON.stringify(text(value)) : verb === "x" ? Number(value).toString(16) : show(value);
      const size = Math.abs(Number(width || 0));
      return width.startsWith("-") ? shown.padEnd(size) : shown.padStart(size);
    });
  },
  join: (list, separator) => (Array.isArray(list) ? list.map(text).join(text(separator)) : ""),
  split: (value, separator) => text(value).split(text(separator)),
  upper: (value) => text(value).toUpperCase(),
  lower: (value) => text(value).toLowerCase(),
  title: (value) => text(value).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  pad: (value, before, after) => `${" ".repeat(Number(before))}${text(value)}${" ".repeat(Number(after))}`,
  truncate: (value, length) => text(value).slice(0, Number(length)),
  len: (value) =>
    Array.isArray(value) || typeof value === "string"
      ? value.length
      : isObject(value)
        ? Object.keys(value).length
        : 0,
  index: (value, ...keys) =>
    keys.reduce<unknown>(
      (current, key) => (isObject(current) ? (current as Record<string, unknown>)[String(key)] : undefined),
      value,
    ),
  not: (value) => !truth(value),
  and: (...values) => values.find((value) => !truth(value)) ?? values.at(-1),
  or: (...values) => values.find(truth) ?? values.at(-1),
  eq: (value, ...others) => others.some((other) => other === value),
  ne: (value, other) => value !== other,
  lt: (a, b) => (a as number) < (b as number),
  le: (a, b) => (a as number) <= (b as number),
  gt: (a, b) => (a as number) > (b as number),
  ge: (a, b) => (a as number) >= (b as number),
  html: (value) => text(value),
};

function evaluateTerm(term: Term, scope: Scope): unknown {
  switch (term.kind) {
    case "literal":
      return term.value;
    case "path": {
      const start = term.root === "" ? scope.dot : scope.variables.get(term.root);
      return fieldsOf(start, term.fields);
    }
    case "group":
      return fieldsOf(evaluatePipe(term.pipe, scope), term.fields);
    case "call":
      return call(term.name, []);
  }
}

function call(name: string, values: readonly unknown[]): unknown {
  const run = functions[name];
  if (!run) throw new TemplateError(`template parsing error: template: :1: function "${name}" not defined`);
  return run(...values);
}

function evaluatePipe(pipe: Pipe, scope: Scope): unknown {
  let result: unknown;
  for (const [position, expression] of pipe.entries()) {
    const [head, ...rest] = expression;
    if (!head) continue;
    const values = rest.map((term) => evaluateTerm(term, scope));
    const piped = position > 0 ? [result] : [];
    result = head.kind === "call" ? call(head.name, [...values, ...piped]) : evaluateTerm(head, scope);
  }
  return result;
}

function render(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => renderNode(node, scope)).join("");
}

function renderNode(node: Node, scope: Scope): string {
  if (node.kind === "text") return node.text;
  if (node.kind === "value") return show(evaluatePipe(node.pipe, scope));
  const value = evaluatePipe(node.pipe, scope);
  if (!truth(value)) return render(node.otherwise, scope);
  if (node.kind === "if") return render(node.body, scope);
  const bind = (dot: unknown, key: unknown): Scope => {
    const variables = new Map(scope.variables);
    const [first, second] = node.variable;
    if (second) variables.set(first ?? "", key).set(second, dot);
    else if (first) variables.set(first, dot);
    return { dot, variables };
  };
  if (node.kind === "with") return render(node.body, bind(value, undefined));
  const entries: [unknown, unknown][] = Array.isArray(value)
    ? value.map((item, index) => [index, item])
    : isObject(value)
      ? Object.keys(value)
          .sort()
          .map((key) => [key, value[key]])
      : [];
  return entries.map(([key, item]) => render(node.body, bind(item, key))).join("");
}

/** Compiles a template; the result turns a value into text. Throws TemplateError. */
export function compileTemplate(source: string): (value: unknown) => string {
  const nodes = parse(source.replaceAll("\\t", "\t").replaceAll("\\n", "\n"));
  return (value) => render(nodes, { dot: value, variables: new Map([["$", value]]) });
}
