// This engine, and a dockerd to compare it with where TSD_PEER_DOCKER_HOST names one; what dockerd made is on record for
// where there is none.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasDocker, repository, TestDaemon } from "../harness/daemon.ts";
import { BASE, type Docker, dockerAt, removeImages } from "./outcome.ts";

const peer = process.env.TSD_PEER_DOCKER_HOST ?? "";
export const hasPeer = hasDocker && existsSync(peer.replace("unix://", ""));

export interface Engine {
  host: string;
  docker: Docker;
  /** Images to remove in the end. */
  made: string[];
}

export interface Engines {
  daemon: TestDaemon;
  ours: Engine;
  theirs: Engine | undefined;
  /** Everything that was made is removed. */
  stop(): Promise<void>;
}

/** Imports busybox. */
async function importBase(host: string, base: string): Promise<void> {
  const { importBusybox } = (await import(join(repository, "scripts/busybox.mjs"))) as {
    importBusybox(client: string, name: string, environment: NodeJS.ProcessEnv): void;
  };
  importBusybox("docker", base, { ...process.env, DOCKER_HOST: host });
}

async function engineAt(host: string, base: string): Promise<Engine> {
  await importBase(host, base);
  return { host, docker: dockerAt(host), made: [] };
}

/** `base` is a suite's own: the dockerd is everybody's. */
export async function startEngines(name: string, base = BASE): Promise<Engines> {
  const daemon = await TestDaemon.start(name);
  const ours = await engineAt(daemon.host, base);
  const theirs = hasPeer ? await engineAt(peer, base) : undefined;
  const stop = async (): Promise<void> => {
    if (theirs) await removeImages(theirs.docker, [base, ...theirs.made]);
    await daemon.stop();
  };
  return { daemon, ours, theirs, stop };
}

/** What dockerd answered, by name; with TSD_RECORD_BUILDS=1 it is asked, and written down anew. */
export class Recording<T> {
  readonly isOn = hasPeer && process.env.TSD_RECORD_BUILDS === "1";
  readonly #file: string;
  readonly #entries: Record<string, T>;

  constructor(name: string) {
    this.#file = join(import.meta.dirname, `fixtures/${name}.json`);
    this.#entries = existsSync(this.#file) && !this.isOn ? JSON.parse(readFileSync(this.#file, "utf8")) : {};
  }

  get(name: string): T | undefined {
    return this.#entries[name];
  }

  set(name: string, value: T): void {
    if (this.isOn) this.#entries[name] = value;
  }

  save(): void {
    if (this.isOn) writeFileSync(this.#file, `${JSON.stringify(this.#entries, null, 1)}\n`);
  }
}
