// A daemon that is reached over mutual TLS from another network namespace, with certificates of its own authority.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { initAuthority, issueClient, issueServer } from "@tsd/certs";
import { type Result, type RunOptions, run } from "./command.ts";
import { daemonProgram, TestDaemon } from "./daemon.ts";
import { OtherHost } from "./other-host.ts";

export const SERVER_ADDRESS = "10.231.0.1";
export const PORT = 2376;
const CLIENT_ADDRESS = "10.231.0.2";
/** Small keys: the tests make many. */
const BITS = 2048;

export interface RemoteRequest {
  /** The certificate's directory. */
  certificates: string;
  method: string;
  path: string;
  headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  body?: unknown;
}

interface Requester {
  child: ChildProcessByStdio<Writable, Readable, null>;
  lines: AsyncIterator<string>;
}

export class RemoteDaemon {
  readonly daemon: TestDaemon;
  readonly authority: string;
  readonly namespace: string;
  #requester: Requester | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly host = `tcp://${SERVER_ADDRESS}:${PORT}`;

  private constructor(daemon: TestDaemon, authority: string) {
    this.daemon = daemon;
    this.authority = authority;
    this.namespace = `${daemon.namespace}-c`;
  }

  /** An authority with a server's certificate for the address. */
  static async makeAuthority(): Promise<string> {
    const authority = mkdtempSync(join(tmpdir(), "tsd-authority-"));
    await initAuthority({ directory: authority, name: "Test CA", bits: BITS });
    await issueServer({ directory: authority, names: [SERVER_ADDRESS, "tsd.test"], bits: BITS });
    return authority;
  }

  static tlsFlags(authority: string): string[] {
    return [
      ...["-H", `tcp://0.0.0.0:${PORT}`, "--tlsverify"],
      ...["--tlscacert", join(authority, "ca.pem"), "--tlscrl", join(authority, "crl.pem")],
      ...["--tlscert", join(authority, "server/cert.pem"), "--tlskey", join(authority, "server/key.pem")],
    ];
  }

  static async start(
    name: string,
    flags: readonly string[] = [],
    given: string | undefined = undefined,
  ): Promise<RemoteDaemon> {
    const authority = given ?? (await RemoteDaemon.makeAuthority());
    const daemon = await TestDaemon.start(name, [daemonProgram], {
      flags: [...RemoteDaemon.tlsFlags(authority), ...flags],
    });
    const remote = new RemoteDaemon(daemon, authority);
    await OtherHost.connect(daemon.namespace, {
      server: SERVER_ADDRESS,
      client: CLIENT_ADDRESS,
    });
    return remote;
  }

  /** Issues a client's certificate; returns its directory, which is a DOCKER_CERT_PATH. */
  async client(name: string, role?: string): Promise<string> {
    await issueClient({ directory: this.authority, name, bits: BITS, ...(role ? { role } : {}) });
    return join(this.authority, "clients", name);
  }

  /** Runs a program on the other host. */
  run(program: string, words: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run("nsenter", [`--net=/run/netns/${this.namespace}`, program, ...words], options);
  }

  /** A client program on the other host, with a certificate. */
  cli(program: string, certificates: string, words: readonly string[], input = ""): Promise<Result> {
    return this.run(program, words, {
      input,
      env: { DOCKER_HOST: this.host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: certificates },
    });
  }

  /** One request by curl; the certificate's directory, or none. */
  async curl(
    certificates: string | undefined,
    path: string,
    words: readonly string[] = [],
  ): Promise<{ status: number; text: string; error: string; exit: number }> {
    const own = certificates
      ? ["--cert", join(certificates, "cert.pem"), "--key", join(certificates, "key.pem")]
      : [];
    const result = await this.run("curl", [
      ...["-sS", "--max-time", "20", "--path-as-is", "-w", "\n%{http_code}"],
      ...["--cacert", join(this.authority, "ca.pem"), ...own, ...words],
      `https://${SERVER_ADDRESS}:${PORT}${path}`,
    ]);
    const lines = result.stdout.split("\n");
    return {
      status: Number(lines.pop()),
      text: lines.join("\n"),
      error: result.stderr.trim(),
      exit: result.status,
    };
  }

  /** Requests sent from the other host, one after the other, by Node's own client. */
  send(requests: readonly RemoteRequest[]): Promise<{ status: number; text: string }[]> {
    const answered = this.#turn.then(() => this.#exchange(requests));
    this.#turn = answered.catch(() => undefined);
    return answered;
  }

  async #exchange(requests: readonly RemoteRequest[]): Promise<{ status: number; text: string }[]> {
    this.#requester ??= this.#startRequester();
    const { child, lines } = this.#requester;
    child.stdin.write(`${JSON.stringify(requests)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error("the requester ended");
    return JSON.parse(value) as { status: number; text: string }[];
  }

  #startRequester(): Requester {
    const program = join(import.meta.dirname, "requester.mjs");
    const words = [`--net=/run/netns/${this.namespace}`, "node", program, SERVER_ADDRESS, String(PORT)];
    const child = spawn("nsenter", words, { stdio: ["pipe", "pipe", "inherit"] });
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  }

  async stop(): Promise<void> {
    this.#requester?.child.stdin.end();
    await run("ip", ["netns", "del", this.namespace]);
    await this.daemon.stop();
    rmSync(this.authority, { recursive: true, force: true });
  }
}
