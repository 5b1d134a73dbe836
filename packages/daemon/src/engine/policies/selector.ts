// Which containers a rule means: by their labels, or by name. Pure.
import { invalid } from "../errors.ts";

type Labels = Readonly<Record<string, string>>;

export interface Selector {
  /** In one spelling, so that equal selectors are found. */
  text: string;
  matches(labels: Labels): boolean;
}

/** The label under which a container's own name can be asked for. */
export const NAME_LABEL = "container";

const part = /^([^\s=!,]+)(?:(!?=)([^\s,]*))?$/;

/** "app=web", "app=web,tier!=test", "app" (whatever its value), "container=NAME", "*". Throws for what is none. */
export function parseSelector(text: string): Selector {
  const trimmed = text.trim();
  if (trimmed === "*") return { text: "*", matches: () => true };
  const terms = trimmed.split(",").map((one) => {
    const match = part.exec(one.trim());
    if (!match?.[1]) throw invalid(`invalid selector "${text}": not LABEL=VALUE, LABEL!=VALUE, LABEL or *`);
    return { label: match[1], operator: match[2], value: match[3] ?? "" };
  });
  return {
    text: terms
      .map(({ label, operator = "", value }) => `${label}${operator}${value}`)
      .sort()
      .join(","),
    matches: (labels) =>
      terms.every(({ label, operator, value }) => {
        if (operator === undefined) return label in labels;
        return operator === "=" ? labels[label] === value : labels[label] !== value;
      }),
  };
}
