// The /v1.NN prefix of request paths: taken off before routing, remembered for handlers.
import type { IncomingMessage } from "node:http";
import { invalid } from "../engine/errors.ts";
import { API_VERSION, MINIMUM_API_VERSION } from "../engine/system/info.ts";

const versions = new WeakMap<IncomingMessage, string>();
const minor = (version: string): number => Number(version.split(".")[1]);

/** What the router sees of a request's URL. */
export const rewriteUrl = (request: IncomingMessage): string => {
  const method = request.method ?? "";
  return joinLinkName(method, joinImageName(method, stripVersion(request)));
};

/** Links have names of two parts, "linking/alias", which become one segment as well. */
function joinLinkName(method: string, url: string): string {
  const [, name, alias = "", action = "", query = ""] =
    /^\/containers\/([^/?]+)\/([^/?]+)(\/[^/?]+)?(\?.*)?$/.exec(url) ?? [];
  const isLink = action ? !["attach", "checkpoints"].includes(alias) : method === "DELETE";
  return name && alias && isLink ? `/containers/${name}%2F${alias}${action}${query}` : url;
}

/** Names of images hold slashes; they become one segment of the path, so that routes can be told apart by what follows. */
function joinImageName(method: string, url: string): string {
  const match =
    /^\/((?:tsd\/)?images|distribution)\/([^?]+?)(\/(?:json|history|get|tag|push|verify|signature))?\/?(\?.*)?$/.exec(
      url,
    );
  const [, resource, name, action = "", query = ""] = match ?? [];
  if (!resource || !name?.includes("/") || (action === "" && method !== "DELETE")) return url;
  return `/${resource}/${name.replaceAll("/", "%2F")}${action}${query}`;
}

/** The path without its version, which is kept for versionOf. */
function stripVersion(request: IncomingMessage): string {
  const url = request.url ?? "/";
  const match = /^\/v(\d+\.\d+)(\/.*)$/.exec(url);
  if (!match?.[1] || !match[2]) return url;
  versions.set(request, match[1]);
  return match[2];
}

/** The API version a request asked for; this daemon's own where it asked for none. */
export const versionOf = (request: IncomingMessage): string => versions.get(request) ?? API_VERSION;

/** Throws Docker's answer for a version that this daemon does not speak. */
export function checkVersion(version: string): void {
  if (!version.startsWith("1.") || minor(version) > minor(API_VERSION))
    throw invalid(`client version ${version} is too new. Maximum supported API version is ${API_VERSION}`);
  if (minor(version) < minor(MINIMUM_API_VERSION))
    throw invalid(
      `client version ${version} is too old. Minimum supported API version is ${MINIMUM_API_VERSION}, please upgrade your client to a newer version`,
    );
}

/** Whether a request's version is at least 1.`wanted`. */
export const atLeast = (request: IncomingMessage, wanted: number): boolean =>
  minor(versionOf(request)) >= wanted;
