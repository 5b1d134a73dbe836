// Measuring side by side: containers with different settings that take turns, and pings while something else goes on.
import { Connection, type Engine, median } from "./engine.ts";

/** Milliseconds between two requests that watch for the daemon's silence. */
const WATCH_EVERY = 2;

/** The longest that a ping had to wait while something else went on, in milliseconds. */
export async function longestWait(engine: Engine, work: () => Promise<unknown>): Promise<number> {
  const connection = new Connection(engine);
  let done = false;
  const working = work().finally(() => {
    done = true;
  });
  let longest = 0;
  while (!done) {
    const begin = performance.now();
    await connection.send("GET", "/_ping");
    longest = Math.max(longest, performance.now() - begin);
    await new Promise((resolve) => setTimeout(resolve, WATCH_EVERY));
  }
  connection.close();
  await working;
  return longest;
}

/** Milliseconds, medians. */
export interface LifeTimes {
  create: number;
  start: number;
  /** The two together. */
  made: number;
  remove: number;
}

/** In any order: what one leaves to do when it is gone is to meet each of the others as often. */
const shuffled = <T>(list: readonly T[]): T[] =>
  list
    .map((one): [number, T] => [Math.random(), one])
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);

/** How long parts of a container's life take with each of several settings; they take turns, so that what else goes on meets
 * all. */
export async function inTurns(
  connection: Connection,
  settings: readonly object[],
  rounds: number,
): Promise<LifeTimes[]> {
  const all = settings.map((): [create: number, start: number, remove: number][] => []);
  for (let round = 0; round < rounds; round++)
    for (const [index, HostConfig] of shuffled([...settings.entries()])) {
      const request = { Image: "busybox", Cmd: ["true"], HostConfig };
      const begin = performance.now();
      const text = await connection.send("POST", "/containers/create", request);
      const created = performance.now();
      const { Id } = JSON.parse(text) as { Id: string };
      await connection.send("POST", `/containers/${Id}/start`);
      const started = performance.now();
      await connection.send("POST", `/containers/${Id}/wait`);
      const ended = performance.now();
      await connection.send("DELETE", `/containers/${Id}`);
      all[index]?.push([created - begin, started - created, performance.now() - ended]);
    }
  const middle = (values: number[]): number => median(values.sort((a, b) => a - b));
  return all.map((times) => ({
    create: middle(times.map(([create]) => create)),
    start: middle(times.map(([, start]) => start)),
    made: middle(times.map(([create, start]) => create + start)),
    remove: middle(times.map(([, , remove]) => remove)),
  }));
}
