// Gives memory back after a crowd has gone. Neither the heap nor the C library lets go of what a crowd needed by itself: a
// daemon at rest collects no garbage, and freed blocks lie between others (docs/performance.md).
import type { Server } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { trimMemory } from "@tsd/kernel-bindings";

const LOOK_MILLISECONDS = 2000;
/** So many connections less than there were at most are a crowd that has gone. */
const CROWD = 500;

/** V8's collector, which it only shows when asked. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

/** Those whose handshake is not finished among them. */
async function connectionsOf(servers: readonly Server[]): Promise<number> {
  const counts = servers.map(
    (server) =>
      new Promise<number>((resolve) => server.getConnections((error, count) => resolve(error ? 0 : count))),
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}

/** Watches how many connections there are; returns what ends that. */
export function releaseAfterCrowds(servers: readonly Server[]): () => void {
  let most = 0;
  let last = 0;
  let collect: (() => void) | undefined;
  const look = async (): Promise<void> => {
    const present = await connectionsOf(servers);
    const leaving = present < last - CROWD / 10;
    last = present;
    most = Math.max(most, present);
    if (leaving || most - present < CROWD) return;
    most = present;
    collect ??= collector();
    collect();
    // What the first collection found dead frees its native parts afterwards; the second gives the heap's pages back.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    trimMemory();
  };
  const timer = setInterval(() => void look(), LOOK_MILLISECONDS).unref();
  return () => clearInterval(timer);
}
