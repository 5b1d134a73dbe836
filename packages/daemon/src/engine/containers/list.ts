// Which containers a list shows: Docker's filters, limits and order.
import { invalid } from "../errors.ts";
import { namePattern } from "../patterns.ts";
import { parseTime } from "../timestamps.ts";
import type { Container } from "./registry.ts";
import { stateName } from "./view.ts";

/** filters as clients send them: a JSON object of lists, or of maps whose keys are the values. */
export type Filters = ReadonlyMap<string, readonly string[]>;

/** Reads the filters parameter; `accepted` are the names that the resource knows. */
export function parseFilters(text: string | undefined, accepted: readonly string[]): Filters {
  const filters = new Map<string, string[]>();
  if (!text) return filters;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid("invalid filter");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("invalid filter");
  for (const [name, given] of Object.entries(value)) {
    if (!accepted.includes(name)) throw invalid(`invalid filter '${name}'`);
    const values: unknown[] = Array.isArray(given)
      ? given
      : given && typeof given === "object"
        ? Object.keys(given)
        : [given];
    if (!values.every((item): item is string => typeof item === "string")) throw invalid("invalid filter");
    filters.set(name, values);
  }
  return filters;
}

/** label=key or label=key=value, all of which must hold. */
export const matchesLabels = (wanted: readonly string[], labels: Readonly<Record<string, string>>): boolean =>
  wanted.every((filter) => {
    const at = filter.indexOf("=");
    return at < 0 ? filter in labels : labels[filter.slice(0, at)] === filter.slice(at + 1);
  });

export const containerFilters = [
  "ancestor",
  "before",
  "exited",
  "expose",
  "health",
  "id",
  "is-task",
  "isolation",
  "label",
  "name",
  "network",
  "publish",
  "since",
  "status",
  "volume",
];

const healths = ["none", "starting", "healthy", "unhealthy"];
const statuses = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

export interface ListOptions {
  all: boolean;
  limit: number;
  filters: Filters;
}

export interface ListContext {
  find(reference: string): Container;
  /** The id of the image a reference names, or undefined. */
  imageId(reference: string): string | undefined;
  /** The id of the image that another one was built on, or "". */
  parentImage(id: string): string;
  /** The name of the network an id belongs to, or undefined. */
  networkName(id: string): string | undefined;
}

interface PortRange {
  first: number;
  last: number;
  protocol: string;
}

/** "80", "80/udp", "8000-8010/tcp". */
function portRange(text: string): PortRange {
  const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (!match) throw invalid(`invalid filter: ${text} is no port`);
  return { first: Number(match[1]), last: Number(match[2] ?? match[1]), protocol: match[3] ?? "tcp" };
}

const inRange = (range: PortRange, port: number, protocol: string): boolean =>
  protocol === range.protocol && port >= range.first && port <= range.last;

const created = (container: Container): bigint => parseTime(container.record.definition.created) ?? 0n;

/** One predicate for each filter that is set. */
function predicates(filters: Filters, context: ListContext): ((container: Container) => boolean)[] {
  const tests: ((container: Container) => boolean)[] = [];
  const on = (
    name: string,
    build: (values: readonly string[]) => (container: Container) => boolean,
  ): void => {
    const values = filters.get(name);
    if (values?.length) tests.push(build(values));
  };
  on("id", (ids) => (container) => ids.some((id) => container.id.startsWith(id)));
  on("name", (names) => {
    const matches = namePattern(names);
    return ({ name }) => matches(name) || matches(`/${name}`);
  });
  on("label", (labels) => (container) => matchesLabels(labels, container.record.definition.config.Labels));
  on("status", (wanted) => {
    for (const status of wanted)
      if (!statuses.includes(status)) throw invalid(`invalid filter 'status=${status}'`);
    return (container) => wanted.includes(stateName(container));
  });
  on("exited", (codes) => {
    for (const code of codes) if (!/^-?\d+$/.test(code)) throw invalid(`invalid filter 'exited=${code}'`);
    return (container) =>
      !container.running &&
      container.state.startedAt !== "" &&
      codes.includes(String(container.state.exitCode));
  });
  on("ancestor", (images) => {
    const ids = images.map((image) => context.imageId(image));
    return (container) => {
      for (let id = container.record.definition.imageId; id !== ""; id = context.parentImage(id))
        if (ids.includes(id)) return true;
      return false;
    };
  });
  on("before", ([reference = ""]) => {
    const limit = created(context.find(reference));
    return (container) => created(container) < limit;
  });
  on("since", ([reference = ""]) => {
    const limit = created(context.find(reference));
    return (container) => created(container) > limit;
  });
  on(
    "volume",
    (names) => (container) =>
      container.record.definition.mounts.some(
        ({ name, target, source }) =>
          names.includes(name) || names.includes(target) || names.includes(source),
      ),
  );
  on("network", (networks) => (container) => {
    const { networks: own } = container.record.definition;
    return networks.some((network) => network in own || (context.networkName(network) ?? "") in own);
  });
  on("health", (values) => {
    for (const value of values)
      if (!healths.includes(value)) throw invalid(`Unrecognised filter value for health: ${value}`);
    return (container) => values.includes(container.state.health?.Status ?? "none");
  });
  on("is-task", (values) => () => values.some((value) => ["false", "0"].includes(value)));
  on("publish", (ports) => {
    const wanted = ports.map(portRange);
    return (container) =>
      container.state.ports.some((port) =>
        wanted.some((range) => inRange(range, port.hostPort, port.protocol)),
      );
  });
  on("expose", (ports) => {
    const wanted = ports.map(portRange);
    return (container) =>
      Object.keys(container.record.definition.config.ExposedPorts ?? {}).some((exposed) => {
        const { first, protocol } = portRange(exposed);
        return wanted.some((range) => inRange(range, first, protocol));
      });
  });
  return tests;
}

/** The containers to show, newest first. */
export function selectContainers(
  containers: readonly Container[],
  options: ListOptions,
  context: ListContext,
): Container[] {
  const tests = predicates(options.filters, context);
  const everything =
    options.all || options.limit > 0 || options.filters.has("status") || options.filters.has("exited");
  const shown = containers
    .filter((container) => (everything || container.running) && tests.every((test) => test(container)))
    .sort((a, b) => (created(a) < created(b) ? 1 : -1));
  return options.limit > 0 ? shown.slice(0, options.limit) : shown;
}
