// One engine under measurement: requests over a single keep-alive connection, and its clients.

import { spawn } from "node:child_process";
import { Agent, request } from "node:http";

export interface Engine {
  name: string;
  socket: string;
}

/** A connection that is kept, as an SDK keeps it. */
export class Connection {
  readonly #socket: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  constructor(engine: Engine) {
    this.#socket = engine.socket;
  }

  send(method: string, path: string, body?: object): Promise<string> {
    return new Promise((resolve, reject) => {
      const sending = request(
        {
          socketPath: this.#socket,
          method,
          path,
          agent: this.#agent,
          headers: body ? { "content-type": "application/json" } : {},
        },
        (response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => {
            text += chunk.toString("utf8");
          });
          response.on("end", () => {
            if ((response.statusCode ?? 500) >= 400)
              reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
            else resolve(text);
          });
        },
      );
      sending.on("error", reject);
      sending.end(body && JSON.stringify(body));
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

const idOf = (text: string): string => (JSON.parse(text) as { Id: string }).Id;

/** A whole life: create, start, wait, remove. */
export async function life(connection: Connection): Promise<void> {
  const id = idOf(await connection.send("POST", "/containers/create", { Image: "busybox", Cmd: ["true"] }));
  await connection.send("POST", `/containers/${id}/start`);
  await connection.send("POST", `/containers/${id}/wait`);
  await connection.send("DELETE", `/containers/${id}`);
}

/** A container that stays, for execs. */
export async function sleeper(connection: Connection): Promise<string> {
  const id = idOf(
    await connection.send("POST", "/containers/create", { Image: "busybox", Cmd: ["sleep", "600"] }),
  );
  await connection.send("POST", `/containers/${id}/start`);
  return id;
}

/** An exec of true, waited for by its stream's end. */
export async function execTrue(connection: Connection, container: string): Promise<void> {
  const id = idOf(
    await connection.send("POST", `/containers/${container}/exec`, {
      Cmd: ["true"],
      AttachStdout: true,
      AttachStderr: true,
    }),
  );
  await connection.send("POST", `/exec/${id}/start`, { Detach: false, Tty: false });
}

/** Milliseconds that an action takes, sorted. */
export async function times(count: number, action: () => Promise<void>): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await action();
    found.push(performance.now() - start);
  }
  return found.sort((a, b) => a - b);
}

export const median = (sorted: readonly number[]): number =>
  sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;

/** Runs a program to its end. */
export function program(
  command: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: "ignore", env: { ...process.env, ...env } });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${words.join(" ")}: ${code}`)),
    );
  });
}
