// Pulls for builds: the credentials of the request's X-Registry-Config header, and no more than that a base is there.
import type { Credentials } from "../../registry/credentials.ts";
import type { PullImage } from "../build/options.ts";
import { notFound } from "../errors.ts";
import { parsePlatform } from "./platform.ts";
import type { Pulls } from "./pull.ts";
import { parseReference, repositoryName, taggedName } from "./reference.ts";

const DEFAULT_KEYS = ["https://index.docker.io/v1/", "docker.io"];

/** The credentials for a registry, out of a map in JSON, in base64. dockerd takes what can't be read for none, too. */
function credentialsFor(registry: string, header: string | undefined): Credentials {
  if (!header) return {};
  try {
    const known = JSON.parse(Buffer.from(header, "base64").toString("utf8")) as Record<string, Credentials>;
    const keys =
      registry === "docker.io" ? DEFAULT_KEYS : [registry, `https://${registry}`, `http://${registry}`];
    const key = keys.find((one) => known[one]);
    return (key && known[key]) || {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

export const pullForBuild =
  (pulls: Pulls): PullImage =>
  async (text, { caller, platform, registryConfig, progress, signal }) => {
    const reference = parseReference(text);
    // To build is not to fetch: who may not pull, or only use certain images, gets what is here.
    if (!caller.allows("image:create") || caller.role?.limits?.images)
      throw notFound(`No such image: ${text}`);
    const { registry } = repositoryName(reference.name);
    await pulls.pull(reference.digest ? text : taggedName(reference), caller, {
      platform: platform ? parsePlatform(platform) : undefined,
      credentials: credentialsFor(registry, registryConfig),
      decryptionKeys: [],
      progress: (line) => {
        progress(line).catch(() => undefined); // who does not hear it any more has ended the build
      },
      signal,
    });
  };
