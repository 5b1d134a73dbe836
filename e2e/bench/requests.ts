// Requests per second and their 99th percentile, over the Unix socket and over mutual TLS, beside a dockerd in turns.
//
// TSD_PEER_DOCKER_TLS and TSD_PEER_DOCKER_CERTS: the dockerd's tcp://HOST:PORT and a client's certificate for it.
// TSD_PEER_NETNS: the network namespace (a path) that it is reached in.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initAuthority, issueClient, issueServer } from "@tsd/certs";
import { output } from "../harness/command.ts";
import { daemonProgram, repository, TestDaemon } from "../harness/daemon.ts";
import { type Engine, median } from "./engine.ts";
import { makeMany, removeMany } from "./life.ts";
import type { Load, LoadOrder } from "./load.ts";
import { add } from "./table.ts";

const CONNECTIONS = 16;
const CONTAINERS = 100;
const ROUNDS = 5;
const SECONDS = 3;
const PORT = 2376;

/** Where an engine's requests go to, and the network namespace they are sent in. */
type Place = Pick<LoadOrder, "path" | "host" | "port" | "certificates"> & { namespace: string | undefined };

async function load(place: Place, path: string, seconds: number): Promise<Load> {
  const { namespace, ...where } = place;
  const order: LoadOrder = {
    ...where,
    request: `GET ${path} HTTP/1.1\r\nHost: bench\r\n\r\n`,
    connections: CONNECTIONS,
    seconds,
  };
  const words = [process.execPath, join(repository, "e2e/bench/.load.mjs"), JSON.stringify(order)];
  const [command = "", ...rest] = namespace ? ["nsenter", `--net=${namespace}`, ...words] : words;
  return JSON.parse(await output(command, rest)) as Load;
}

/** Rounds of both in turns; the medians of what each round found. */
async function compare(what: string, path: string, tsd: Place, peer: Place | undefined): Promise<void> {
  const places = peer ? [tsd, peer] : [tsd];
  const found: Load[][] = places.map(() => []);
  for (const place of places) await load(place, path, 1);
  for (let round = 0; round < ROUNDS; round++)
    for (const [index, place] of places.entries()) found[index]?.push(await load(place, path, SECONDS));
  const middle = (loads: Load[] | undefined, value: (one: Load) => number): number | undefined =>
    loads && median(loads.map(value).sort((a, b) => a - b));
  const [ours, theirs] = found;
  const rate = (one: Load): number => one.requestsPerSecond;
  add(`${what}, requests per second`, "1/s", middle(ours, rate) ?? 0, middle(theirs, rate), "> 1", true);
  add(
    `${what}, 99th percentile`,
    "ms",
    middle(ours, ({ p99 }) => p99) ?? 0,
    middle(theirs, ({ p99 }) => p99),
    "> 1",
  );
}

function peerPlaces(peerHost: string | undefined): { unix: Place | undefined; tls: Place | undefined } {
  const { TSD_PEER_DOCKER_TLS, TSD_PEER_DOCKER_CERTS, TSD_PEER_NETNS } = process.env;
  const url = TSD_PEER_DOCKER_TLS ? new URL(TSD_PEER_DOCKER_TLS) : undefined;
  return {
    unix: peerHost ? { path: peerHost.replace("unix://", ""), namespace: undefined } : undefined,
    tls:
      url && TSD_PEER_DOCKER_CERTS
        ? {
            host: url.hostname,
            port: Number(url.port),
            certificates: TSD_PEER_DOCKER_CERTS,
            namespace: TSD_PEER_NETNS,
          }
        : undefined,
  };
}

/** Measures everything; the dockerd at TSD_PEER_DOCKER_TLS must be the one at `peerHost`. */
export async function measureRequests(peerHost: string | undefined): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "tsd-bench-"));
  await initAuthority({ directory, name: "bench", bits: 2048 });
  await issueServer({ directory, names: ["127.0.0.1"] });
  await issueClient({ directory, name: "bench" });
  const daemon = await TestDaemon.start("requests", [daemonProgram], {
    flags: [
      ...["-H", `tcp://127.0.0.1:${PORT}`, "--tlsverify", "--tlscacert", join(directory, "ca.pem")],
      ...["--tlscert", join(directory, "server/cert.pem"), "--tlskey", join(directory, "server/key.pem")],
    ],
  });
  const tsd: Engine = { name: "tsd", socket: daemon.socket };
  const peer: Engine | undefined = peerHost
    ? { name: "dockerd", socket: peerHost.replace("unix://", "") }
    : undefined;
  try {
    await daemon.importBusybox();
    await makeMany(tsd, CONTAINERS);
    const theirs = peer ? await makeMany(peer, CONTAINERS) : [];
    const unix: Place = { path: daemon.socket, namespace: undefined };
    const tls: Place = {
      host: "127.0.0.1",
      port: PORT,
      certificates: join(directory, "clients/bench"),
      namespace: `/run/netns/${daemon.namespace}`,
    };
    const others = peerPlaces(peerHost);
    const list = "/containers/json?all=1";
    await compare("ping, Unix socket", "/_ping", unix, others.unix);
    await compare("ping, mutual TLS", "/_ping", tls, others.tls);
    await compare(`list of ${CONTAINERS}, Unix socket`, list, unix, others.unix);
    await compare(`list of ${CONTAINERS}, mutual TLS`, list, tls, others.tls);
    if (peer) await removeMany(peer, theirs);
  } finally {
    await daemon.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
