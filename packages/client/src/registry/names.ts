// What registries are called: in images' names, and where their credentials are kept.

export const DEFAULT_REGISTRY = "docker.io";
/** The default registry's key in docker's configuration. */
const DEFAULT_KEY = "https://index.docker.io/v1/";

/** The registry that an image's name leads to. */
export function registryOf(image: string): string {
  const [first = "", ...rest] = image.split("/");
  if (rest.length === 0) return DEFAULT_REGISTRY;
  return /[.:]/.test(first) || first === "localhost" ? first : DEFAULT_REGISTRY;
}

/** The registry that a person means by what they typed, with or without a scheme. */
export function registryName(typed: string): string {
  const host = typed.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return ["", "docker.io", "index.docker.io", "registry-1.docker.io"].includes(host)
    ? DEFAULT_REGISTRY
    : host;
}

/** Its key in configuration files and helper programs. */
export const credentialKey = (registry: string): string =>
  registry === DEFAULT_REGISTRY ? DEFAULT_KEY : registry;
