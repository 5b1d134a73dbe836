// Flags about registries become their settings.
import type { RegistrySettings } from "../registry/settings.ts";
import type { Given } from "./options.ts";

const CERTIFICATE_DIRECTORIES = ["/etc/tsd/certs.d", "/etc/docker/certs.d"];
const DEFAULT_REGISTRY = "docker.io";

/** [REGISTRY=]URL. Throws for what is none. */
function parseMirror(text: string): { registry: string; url: string } {
  const [, registry = DEFAULT_REGISTRY, url = ""] = /^(?:([^=/]+)=)?(https?:\/\/.+)$/.exec(text) ?? [];
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed) throw new Error(`--registry-mirror ${text}: not [REGISTRY=]URL`);
  if (parsed.search || parsed.hash || parsed.username)
    throw new Error(`--registry-mirror ${text}: a mirror's URL has no user, query or fragment`);
  return { registry, url };
}

function parseInsecure(text: string): string {
  if (/^\w+:\/\//.test(text)) throw new Error(`--insecure-registry ${text}: is without a scheme`);
  if (!/^[\w.:[\]-]+(?:\/\d+)?$/.test(text))
    throw new Error(`--insecure-registry ${text}: not HOST[:PORT] or CIDR`);
  return text;
}

function positive(
  given: Given,
  name: "max-concurrent-downloads" | "max-concurrent-uploads" | "max-download-attempts",
  usual: number,
): number {
  const value = given[name] ?? usual;
  if (value < 1) throw new Error(`--${name} ${value}: not a number from 1 on`);
  return value;
}

/** Throws for what is wrong, naming the option. `environment` gives the proxies that no flag does. */
export function registrySettings(
  given: Given,
  environment: Readonly<Record<string, string | undefined>>,
): RegistrySettings {
  const mirrors = new Map<string, string[]>();
  for (const { registry, url } of (given["registry-mirror"] ?? []).map(parseMirror))
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), url]);
  const named = (name: string): string => environment[name] ?? environment[name.toLowerCase()] ?? "";
  return {
    mirrors,
    insecure: (given["insecure-registry"] ?? []).map(parseInsecure),
    certificateDirectories: given["registry-certs-dir"] ?? CERTIFICATE_DIRECTORIES,
    proxy: {
      http: given["http-proxy"] ?? named("HTTP_PROXY"),
      https: given["https-proxy"] ?? named("HTTPS_PROXY"),
      exceptions: given["no-proxy"] ?? named("NO_PROXY"),
    },
    maximumDownloads: positive(given, "max-concurrent-downloads", 3),
    maximumUploads: positive(given, "max-concurrent-uploads", 5),
    downloadAttempts: positive(given, "max-download-attempts", 5),
  };
}
