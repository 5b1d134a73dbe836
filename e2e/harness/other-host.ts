// Another machine: a network namespace with a wire to that of the daemon.
import { output, type Result, type RunOptions, run } from "./command.ts";

const inside = (namespace: string, ...words: string[]): Promise<string> =>
  output("nsenter", [`--net=/run/netns/${namespace}`, "ip", ...words]);

export interface Wire {
  /** The daemon's end, and the other's, without prefix lengths (24 and 64). */
  server: string;
  client: string;
  server6?: string;
  client6?: string;
}

export class OtherHost {
  readonly namespace: string;

  private constructor(namespace: string) {
    this.namespace = namespace;
  }

  /** Makes the namespace and the wire; `number` tells several from each other. */
  static async connect(server: string, wire: Wire, number = 0): Promise<OtherHost> {
    const host = new OtherHost(`${server}-${number === 0 ? "c" : `c${number}`}`);
    const [here, there] = [`wire${2 * number}`, `wire${2 * number + 1}`];
    await output("ip", ["netns", "add", host.namespace]);
    await inside(host.namespace, "link", "set", "lo", "up");
    await inside(server, ..."link add".split(" "), here, "type", "veth", "peer", "name", there);
    await inside(server, "link", "set", there, "netns", `/run/netns/${host.namespace}`);
    for (const [namespace, link, address, address6] of [
      [server, here, wire.server, wire.server6],
      [host.namespace, there, wire.client, wire.client6],
    ] as const) {
      await inside(namespace, "addr", "add", `${address}/24`, "dev", link);
      if (address6) await inside(namespace, "addr", "add", `${address6}/64`, "dev", link, "nodad");
      await inside(namespace, "link", "set", link, "up");
    }
    return host;
  }

  ip(...words: string[]): Promise<string> {
    return inside(this.namespace, ...words);
  }

  /** Runs a program there. */
  run(program: string, words: readonly string[], options: RunOptions = {}): Promise<Result> {
    return run("nsenter", [`--net=/run/netns/${this.namespace}`, program, ...words], options);
  }

  async stop(): Promise<void> {
    await run("ip", ["netns", "del", this.namespace]);
  }
}
