// Legacy links of the default network: other containers' addresses under names of one's own.
import type { LinkedPort } from "../../runtime/network/rules.ts";
import { everything } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import type { ContainerRegistry } from "./registry.ts";

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
