// A process full of clients that do not behave: it opens connections, lets them be idle or slow, and counts what becomes of
// them. Told what to do by its parent (crowd.ts).
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";

/** Where to, and how; without certificates it is plain. */
export interface Target {
  path?: string;
  host?: string;
  port?: number;
  /** The directory of a client's certificate. */
  certificates?: string;
}

/** idle: one ping, then nothing. silent: nothing at all (after the handshake). The others send a byte now and then: of their
 * headers, of a JSON body, of a body that comes before an upgrade, of a body nobody asked for, of a TLS handshake.
 * unread: asks for `request` and reads none of the answer. */
export type Kind =
  | "idle"
  | "silent"
  | "slow-head"
  | "slow-body"
  | "slow-upgrade"
  | "slow-extra"
  | "slow-hello"
  | "unread";

export interface Order {
  open: Kind;
  count: number;
  target: Target;
  request?: string;
}

export interface Tally {
  opened: number;
  /** Refused or broken before they were what they should be. */
  failed: number;
  /** Ended by the daemon since. */
  closed: number;
  /** First words of its answers, and how often they came. */
  said: Record<string, number>;
}

const DRIP_MILLISECONDS = 500;
const AT_ONCE = 64;

const tallies = new Map<Kind, Tally>();
const dripping = new Map<Socket, () => string>();

const heads: Readonly<Record<Kind, string>> = {
  idle: "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
  silent: "",
  "slow-head": "GET /_ping HTTP/1.1\r\nHost: x\r\nX-Slow: ",
  "slow-body":
    "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
  "slow-upgrade":
    "POST /exec/none/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 100000\r\n\r\n{",
  "slow-extra": "GET /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
  "slow-hello": "\x16\x03\x01\x02\x00\x01",
  unread: "",
};

function tallyOf(kind: Kind): Tally {
  const tally = tallies.get(kind) ?? { opened: 0, failed: 0, closed: 0, said: {} };
  tallies.set(kind, tally);
  return tally;
}

const materials = new Map<string, { ca: Buffer; cert: Buffer; key: Buffer }>();
function material(directory: string) {
  const read = (name: string): Buffer => readFileSync(join(directory, name));
  const found = materials.get(directory) ?? {
    ca: read("ca.pem"),
    cert: read("cert.pem"),
    key: read("key.pem"),
  };
  materials.set(directory, found);
  return found;
}

function dial({ path, host, port, certificates }: Target): { socket: Socket; ready: string } {
  if (path) return { socket: connect(path), ready: "connect" };
  const where = { host: host ?? "", port: port ?? 0 };
  if (!certificates) return { socket: connect(where), ready: "connect" };
  return {
    socket: connectTls({ ...where, ...material(certificates), minVersion: "TLSv1.3" }),
    ready: "secureConnect",
  };
}

/** One connection; resolves when it is as it should be, or can't be. */
function open({ open: kind, target, request }: Order): Promise<void> {
  const tally = tallyOf(kind);
  return new Promise((resolve) => {
    const { socket, ready } = dial(target);
    let settled = false;
    const settle = (well: boolean): void => {
      if (settled) return;
      settled = true;
      tally[well ? "opened" : "failed"]++;
      resolve();
    };
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      dripping.delete(socket);
      if (settled) tally.closed++;
      settle(false);
    });
    socket.once(ready, () => {
      socket.write(request ?? heads[kind], "latin1");
      if (kind === "unread") socket.pause();
      if (kind !== "idle") settle(true);
      if (kind.startsWith("slow-")) dripping.set(socket, () => "a");
    });
    if (kind === "unread") return;
    socket.on("data", (data: Buffer) => {
      const first = data.toString("latin1", 0, 12);
      tally.said[first] = (tally.said[first] ?? 0) + 1;
      settle(first === "HTTP/1.1 200");
    });
  });
}

async function carryOut(order: Order): Promise<void> {
  let left = order.count;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await open(order);
    }),
  );
}

setInterval(() => {
  for (const [socket, next] of dripping) if (socket.writable) socket.write(next());
}, DRIP_MILLISECONDS);

process.on("message", (message: Order | "count") => {
  const answer = (): void => {
    process.send?.(Object.fromEntries(tallies));
  };
  if (message === "count") answer();
  else
    carryOut(message).then(answer, (error: Error) => {
      console.error(error);
      process.exit(1);
    });
});
process.on("disconnect", () => process.exit(0));
