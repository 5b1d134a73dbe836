// What is told of a container beside its lines: its tag, and those of its labels and variables that were asked for.
import { invalid } from "../errors.ts";
import { compilePattern, type Pattern } from "../patterns.ts";
import type { Container } from "./registry.ts";

/** What a driver may know of a container. */
export interface LoggedContainer {
  id: string;
  name: string;
  image: string;
  imageId: string;
  labels: Readonly<Record<string, string>>;
  environment: readonly string[];
}

/** A driver's options as they were given. */
export type LogOptionValues = Readonly<Record<string, string>>;

export function loggedContainer({ id, name, record: { definition } }: Container): LoggedContainer {
  const { config, imageId } = definition;
  return {
    id,
    name,
    image: config.Image,
    imageId,
    labels: config.Labels,
    environment: config.Env ?? [],
  };
}

/** The tag's template, with what Docker's templates are mostly asked for. */
export function tagOf(template: string, container: LoggedContainer): string {
  const values: Readonly<Record<string, string>> = {
    ID: container.id.slice(0, 12),
    FullID: container.id,
    Name: container.name,
    ImageName: container.image,
    ImageID: container.imageId.replace("sha256:", "").slice(0, 12),
    ImageFullID: container.imageId,
    DaemonName: "docker",
  };
  return (template || "{{.ID}}").replace(/\{\{\s*\.(\w+)\s*\}\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) throw invalid(`invalid log opt tag: no field ${name} in ${whole}`);
    return value;
  });
}

/** Whether a name is one of those that an option lists, or has a match of the expression in the other option. */
function chosen(options: LogOptionValues, option: string): Pattern {
  const names = (options[option] ?? "").split(",");
  const expression = options[`${option}-regex`];
  if (!expression) return (name) => names.includes(name);
  try {
    const matches = compilePattern(expression);
    return (name) => names.includes(name) || matches(name);
  } catch (error) {
    throw invalid(`invalid log opt ${option}-regex: ${(error as Error).message}`);
  }
}

/** Labels and variables that were asked for, by name or by pattern. Throws for a pattern that is none. */
export function extras(
  options: LogOptionValues,
  container: LoggedContainer,
): [name: string, value: string][] {
  const variables = container.environment.map((entry): [string, string] => {
    const at = entry.indexOf("=");
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  const isLabel = chosen(options, "labels");
  const isVariable = chosen(options, "env");
  return [
    ...Object.entries(container.labels).filter(([name]) => isLabel(name)),
    ...variables.filter(([name]) => isVariable(name)),
  ];
}

/** As in a URL's query. */
const escaped = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");

/** What goes before each line for who asks for details; only json-file has any. */
export function logDetails(container: Container): string {
  const { Type, Config } = container.record.definition.hostConfig.LogConfig;
  if (Type && Type !== "json-file") return "";
  const logged = loggedContainer(container);
  const all = extras(Config, logged);
  if (Config.tag) all.push(["tag", tagOf(Config.tag, logged)]);
  return all
    .map(([name, value]) => `${escaped(name)}=${escaped(value)}`)
    .sort()
    .join(",");
}
