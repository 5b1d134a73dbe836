// Containers that send to each other, and how much of it arrives: TCP and UDP by iperf3, round trips by ping.
import { existsSync } from "node:fs";
import { eventually, type Result, run } from "../harness/command.ts";
import type { TestDaemon } from "../harness/daemon.ts";

export const hasIperf = (process.env.PATH ?? "")
  .split(":")
  .some((directory) => existsSync(`${directory}/iperf3`));

export interface Peer {
  pid: number;
  address: string;
  address6: string;
}

export interface Flow {
  from: string;
  to: string;
  port?: number;
  seconds?: number;
  /** By IPv6. */
  six?: boolean;
}

/** Of UDP in one packet. */
export const PAYLOAD = 1400;
/** Of a frame of 1,514 bytes, TCP carries 1,448, and UDP here 1,400 of 1,442; with IPv6's header 20 bytes less. */
const UDP_HEADERS = 14 + 20 + 8;
export const TCP_SHARE = 1448 / 1514;
export const UDP_SHARE = PAYLOAD / (PAYLOAD + UDP_HEADERS);
/** Of UDP in one packet of a network whose MTU is 9,000. */
export const JUMBO_PAYLOAD = 8900;
export const JUMBO_SHARE = JUMBO_PAYLOAD / (JUMBO_PAYLOAD + UDP_HEADERS);

interface Sum {
  bits_per_second: number;
}

export class Flows {
  readonly #daemon: TestDaemon;
  readonly #peers = new Map<string, Peer>();
  #port = 5400;

  constructor(daemon: TestDaemon) {
    this.#daemon = daemon;
  }

  readonly tsctl = async (...words: string[]): Promise<string> => {
    const { status, stdout, stderr } = await this.#daemon.tsctl(...words);
    if (status !== 0) throw new Error(stderr.trim() || stdout.trim());
    return stdout.trim();
  };

  /** What a command that ought to fail says. */
  readonly fails = async (...words: string[]): Promise<string> => {
    const { status, stderr } = await this.#daemon.tsctl(...words);
    return status === 0 ? "it did not fail" : stderr.trim();
  };

  /** Starts a container, in place of one of that name. */
  async start(name: string, ...words: string[]): Promise<void> {
    await this.#daemon.tsctl("rm", "-f", name);
    await this.tsctl("run", "-d", "--name", name, ...words, "busybox", "sleep", "900");
    const format =
      "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}}{{end}}";
    const [pid, address = "", address6 = ""] = (await this.tsctl("inspect", "-f", format, name)).split(" ");
    this.#peers.set(name, { pid: Number(pid), address, address6 });
  }

  peer(name: string): Peer {
    const peer = this.#peers.get(name);
    if (!peer) throw new Error(`no container ${name}`);
    return peer;
  }

  within(name: string, ...words: string[]): Promise<Result> {
    return run("nsenter", [`--net=/proc/${this.peer(name).pid}/ns/net`, ...words]);
  }

  async #iperf(
    { from, to, port, seconds = 3, six = false }: Flow,
    words: readonly string[],
  ): Promise<number> {
    const own = port ?? this.#port++;
    const server = this.within(to, "timeout", "30", "iperf3", "-s", "-1", "-p", String(own));
    await eventually("iperf3 listens", async () =>
      (await this.within(to, "ss", "-ltn")).stdout.includes(`:${own} `),
    );
    const { address, address6 } = this.peer(to);
    const client = ["-J", "-c", six ? address6 : address, "-p", String(own), "-t", String(seconds), ...words];
    const { stdout } = await this.within(from, "timeout", "30", "iperf3", ...client);
    await server;
    const { end, error } = JSON.parse(stdout) as { end: { sum_received?: Sum }; error?: string };
    if (!end.sum_received) throw new Error(error ?? stdout);
    return end.sum_received.bits_per_second / 1e6;
  }

  /** Megabits per second of TCP's payload that arrive, after a second to warm up. `rate` holds the sender back. */
  tcp(flow: Flow, rate?: number): Promise<number> {
    return this.#iperf(flow, ["-O", "1", ...(rate ? ["-b", `${rate}m`] : [])]);
  }

  /** Megabits per second of datagrams' payload that arrive where so much is sent; 0 for as fast as can be. */
  udp(flow: Flow, sent: number, payload = PAYLOAD): Promise<number> {
    return this.#iperf(flow, ["-O", "1", "-u", "-l", String(payload), "-b", sent ? `${sent}m` : "0"]);
  }

  /** Milliseconds of a round trip, in the mean. */
  async ping(from: string, to: string): Promise<number> {
    const words = ["exec", from, "ping", "-c", "25", "-i", "0.04", this.peer(to).address];
    const stdout = await this.tsctl(...words);
    return Number(/= [\d.]+\/([\d.]+)\//.exec(stdout)?.[1]);
  }
}
