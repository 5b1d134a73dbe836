// Image references: names, tags and digests, as Docker's clients write and read them.
import { invalid } from "../errors.ts";

/** A parsed reference; the name is in its familiar form (no default registry, no "library/"). */
export interface Reference {
  name: string;
  tag: string | undefined;
  digest: string | undefined;
}

const component = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const host =
  "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?";
const pattern = new RegExp(
  `^((?:${host}/)?${component}(?:/${component})*)(?::([\\w][\\w.-]{0,127}))?(?:@([a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}))?$`,
);
const DEFAULT_DOMAINS = ["docker.io/", "index.docker.io/"];
const MAXIMUM_NAME = 255;

function familiar(name: string): string {
  const domain = DEFAULT_DOMAINS.find((prefix) => name.startsWith(prefix));
  const bare = domain ? name.slice(domain.length) : name;
  return bare.replace(/^library\/(?=[^/]+$)/, "");
}

/** Parses a reference; throws with Docker's words when it is none. */
export function parseReference(text: string): Reference {
  const match = pattern.exec(text);
  const name = match?.[1];
  if (!match || !name || name.length > MAXIMUM_NAME) {
    if (/[A-Z]/.test(text) && pattern.test(text.toLowerCase()))
      throw invalid(
        `invalid reference format: repository name (${text.replace(/[:@].*$/, "")}) must be lowercase`,
      );
    throw invalid("invalid reference format");
  }
  if (/^[0-9a-f]{64}$/.test(name))
    throw invalid(`invalid repository name (${name}), cannot specify 64-byte hexadecimal strings`);
  return { name: familiar(name), tag: match[2], digest: match[3] };
}

/** Algorithms of digests: a repository of such a name could not be told from an image's id. */
export const isDigestAlgorithm = (name: string): boolean => ["sha256", "sha384", "sha512"].includes(name);

/** name:tag, with the default tag where there is none. */
export const taggedName = (reference: Reference): string => `${reference.name}:${reference.tag ?? "latest"}`;

/** A digest or an unambiguous beginning of one: what ids are given as. */
export const looksLikeId = (text: string): boolean => /^(?:sha256:)?[0-9a-f]{1,64}$/.test(text);

/** The registry and the repository there that a familiar name means. */
export function repositoryName(name: string): { registry: string; path: string } {
  const [first = "", ...rest] = name.split("/");
  // Without a dot, a port or capitals it is a folder of the default registry.
  if (rest.length > 0 && (/[.:A-Z]/.test(first) || first === "localhost"))
    return { registry: first, path: rest.join("/") };
  return { registry: "docker.io", path: rest.length > 0 ? name : `library/${name}` };
}
