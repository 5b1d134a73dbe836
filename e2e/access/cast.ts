// Who plays in the suites about roles: two callers of one bounded role, an admin, a viewer, an operator, and what they ask.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { RemoteDaemon, type RemoteRequest } from "../harness/remote.ts";

export let remote: RemoteDaemon;
/** A directory with one that the bounded role may bind, and one that it may not. */
export let scratch: string;
/** Directories of certificates. */
export let ann: string;
export let ben: string;
export let admin: string;
export let viewer: string;
export let operator: string;

export const MEMORY = 64 << 20;
/** What ann's and ben's role must always ask for. */
const within = { Memory: MEMORY, MemorySwap: MEMORY, PidsLimit: 50, NanoCpus: 500_000_000 };
const labels = { team: "ci" };

/** Brings them all on before a file's tests, with a daemon of its own, and off after them. */
export function useCast(): void {
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), "tsd-bypass-"));
    mkdirSync(join(scratch, "allowed/inner"), { recursive: true });
    mkdirSync(join(scratch, "secret"));
    writeFileSync(join(scratch, "secret/key"), "the secret\n");
    writeFileSync(join(scratch, "allowed/inner/file"), "allowed\n");
    symlinkSync(join(scratch, "secret"), join(scratch, "allowed/link"));
    const rolesFile = join(scratch, "roles.json");
    const limits = {
      bindSources: [join(scratch, "allowed")],
      capabilities: ["NET_ADMIN"],
      images: ["busybox"],
      memory: "64m",
      pids: 50,
      cpus: 0.5,
      labels,
    };
    const allow = ["container:*", "image:*", "volume:*", "network:*", "event:read", "system:info"];
    writeFileSync(rolesFile, JSON.stringify({ version: 1, roles: { ci: { allow, scope: "own", limits } } }));
    remote = await RemoteDaemon.start("bypass", ["--roles-file", rolesFile]);
    await remote.daemon.importBusybox();
    [ann, ben] = [await remote.client("ann", "ci"), await remote.client("ben", "ci")];
    admin = await remote.client("root-of-all", "admin");
    viewer = await remote.client("vera", "viewer");
    operator = await remote.client("otto", "operator");
  });
  afterAll(async () => {
    await remote?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });
}

export interface Answer {
  status: number;
  text: string;
}
export async function send(request: RemoteRequest): Promise<Answer> {
  const [answer] = await remote.send([request]);
  return answer ?? { status: 0, text: "" };
}
export const post = (certificates: string, path: string, body?: unknown): Promise<Answer> =>
  send({ certificates, method: "POST", path, ...(body === undefined ? {} : { body }) });
export const get = (certificates: string, path: string): Promise<Answer> =>
  send({ certificates, method: "GET", path });

export const create = (
  certificates: string,
  hostConfig: object = {},
  config: object = {},
  name = "",
): Promise<Answer> =>
  post(certificates, `/containers/create?name=${name}`, {
    Image: "busybox",
    Cmd: ["sleep", "600"],
    Labels: labels,
    ...config,
    HostConfig: { ...within, ...hostConfig },
  });
export const idOf = (answer: Answer): string => {
  expect(answer.status, answer.text).toBe(201);
  return (JSON.parse(answer.text) as { Id: string }).Id;
};
export async function running(certificates: string, name: string, hostConfig: object = {}): Promise<string> {
  const id = idOf(await create(certificates, hostConfig, {}, name));
  expect((await post(certificates, `/containers/${id}/start`)).status).toBe(204);
  return id;
}
