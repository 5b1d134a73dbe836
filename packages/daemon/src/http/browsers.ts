// Keeps web pages away from callers without a name: a page can make the browser of this machine's user send requests to
// loopback, by its own address or under a name that it made stand for loopback.
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { isLoopback } from "../configuration/endpoints.ts";
import { EngineError } from "../engine/errors.ts";

/** Throws for a request that a browser sends for a page, or that is for another host than this one. */
export function refuseBrowsers({ headers, socket }: IncomingMessage): void {
  if (headers.origin !== undefined)
    throw new EngineError("forbidden", "requests of web pages are refused here: Origin is set");
  const address = (socket.localAddress ?? "").replace(/^::ffff:/, "");
  if (!isLoopback(address) || headers.host === undefined) return;
  const name = headers.host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (name === "localhost" || name === "docker" || name === "" || isIP(name) !== 0) return;
  throw new EngineError("forbidden", `this is loopback, and not ${name}: Host names another machine`);
}
