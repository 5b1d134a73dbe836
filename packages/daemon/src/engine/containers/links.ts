// Legacy links of the default network: other containers' addresses under names of one's own.
import type { LinkedPort } from "../../runtime/network/rules.ts";
import { type Caller, everything } from "../access/caller.ts";
import { EngineError, invalid } from "../errors.ts";
import type { Container, ContainerRegistry } from "./registry.ts";

/** A link: the container it leads to, and the name it has here. */
export interface Link {
  container: string;
  alias: string;
}

/** Reads "name", "name:alias", or inspect's "/name:/self/alias". */
export function parseLink(text: string): Link {
  const [container = "", alias = container, more] = text.split(":");
  if (!container || more !== undefined) throw invalid(`bad format for links: ${text}`);
  return { container: container.replace(/^\//, ""), alias: alias.split("/").at(-1) ?? alias };
}

/** A link as inspect shows it. */
export const linkText = ({ container, alias }: Link, self: string): string =>
  `/${container}:/${self}/${alias}`;

/** The default network's links: in others they are names that the network's own service gives. */
const linksOf = ({ record: { definition } }: Container): Link[] =>
  "bridge" in definition.networks ? (definition.hostConfig.Links ?? []).map(parseLink) : [];

/** What a name such as "linking/alias" leads to: the name of the container there. */
export function linkedName(
  reference: string,
  named: (name: string) => Container | undefined,
): string | undefined {
  const [holder = "", alias, more] = reference.replace(/^\//, "").split("/");
  if (alias === undefined || more !== undefined) return undefined;
  const linking = named(holder);
  return linking && linksOf(linking).find((link) => link.alias === alias)?.container;
}

/** The names that others' links give a container. */
export const namesByLinks = (container: Container, others: readonly Container[]): string[] =>
  others.flatMap((other) =>
    linksOf(other)
      .filter((link) => link.container === container.name)
      .map(({ alias }) => `/${other.name}/${alias}`),
  );

/** A container's links once another one, or itself, has a new name; undefined when they stay as they are. */
export function renamedLinks(container: Container, from: string, to: string): string[] | undefined {
  const self = container.name === from ? to : container.name;
  const before = container.record.definition.hostConfig.Links ?? [];
  const after = linksOf(container).map((link) =>
    linkText({ ...link, container: link.container === from ? to : link.container }, self),
  );
  return after.some((text, index) => text !== before[index]) ? after : undefined;
}

/** Takes back the link that a name such as "linking/alias" stands for; the container there stays. */
export async function removeLink(
  registry: ContainerRegistry,
  refresh: () => Promise<unknown>,
  reference: string,
  caller: Caller,
): Promise<void> {
  const [holder = "", alias] = reference.replace(/^\//, "").split("/");
  if (alias === undefined)
    throw new EngineError("system", "Conflict, cannot remove the default link name of the container");
  const container = registry.find(holder, caller);
  const left = linksOf(container).filter((link) => link.alias !== alias);
  const Links = left.length > 0 ? left.map((link) => linkText(link, container.name)) : null;
  registry.redefine(container, { hostConfig: { ...container.record.definition.hostConfig, Links } });
  await refresh();
}

/** The ports of running containers of the default network that others there are linked to: those that they expose. */
export function linkedPorts(registry: Pick<ContainerRegistry, "all" | "look">): LinkedPort[] {
  return registry.all().flatMap((container) => {
    const from = container.state.endpoints.bridge?.address;
    if (!from || !container.alive) return [];
    return (container.record.definition.hostConfig.Links ?? []).flatMap((text) => {
      const other = registry.look(parseLink(text).container, everything);
      const to = other?.alive ? other.state.endpoints.bridge?.address : undefined;
      if (!other || !to) return [];
      return Object.keys(other.record.definition.config.ExposedPorts ?? {}).map((exposed) => {
        const [port = "", protocol = "tcp"] = exposed.split("/");
        return { from, to, protocol, port: Number(port) };
      });
    });
  });
}

/** What Docker puts into the environment for a link: where the other one's ports are, and its own environment. */
export function linkEnvironment(
  link: Link,
  self: string,
  other: { address: string; ports: readonly string[]; environment: readonly string[] },
): string[] {
  const prefix = link.alias.toUpperCase().replaceAll("-", "_");
  const ports = [...other.ports].sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  const url = (port: string): string => {
    const [number, protocol = "tcp"] = port.split("/");
    return `${protocol}://${other.address}:${number}`;
  };
  const lines = [`${prefix}_NAME=/${self}/${link.alias}`];
  const [first] = ports;
  if (first) lines.unshift(`${prefix}_PORT=${url(first)}`);
  for (const port of ports) {
    const [number = "", protocol = "tcp"] = port.split("/");
    const name = `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
    lines.push(
      `${name}=${url(port)}`,
      `${name}_ADDR=${other.address}`,
      `${name}_PORT=${number}`,
      `${name}_PROTO=${protocol}`,
    );
  }
  const own = new Set(["PATH", "HOME", "HOSTNAME"]);
  for (const entry of other.environment)
    if (!own.has(entry.split("=", 1)[0] ?? "")) lines.push(`${prefix}_ENV_${entry}`);
  return lines;
}
