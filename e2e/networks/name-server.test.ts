// The name server on the kernel: its sockets are born in the container's network namespace, kept by the monitor, and taken
// by one daemon after the other; port 53 leads to them, and stays free for others.
import { createSocket, type Socket } from "node:dgram";
import { readdirSync, readlinkSync } from "node:fs";
import { createServer } from "node:net";
import {
  closeDescriptor,
  inNamespaceOfSocket,
  type KernelError,
  listenAt,
  nameServerRules,
  openNameSockets,
  takeNameSockets,
} from "@tsd/kernel-bindings";
import { decode, encode, streamDecode, streamEncode } from "dns-packet";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type NameDirectory, NameServer, type Resolver } from "../../packages/daemon/src/names/index.ts";
import { eventually } from "../harness/command.ts";
import { askByStream, askIn, question, type Reply, ServedNamespace, servedPlan } from "./served-namespace.ts";

const PORT = 61234;
let servers: Resolver[] = [];
let forward = true;
const many = Array.from({ length: 60 }, (_, index) => `10.0.1.${index + 1}`);
const directory: NameDirectory = {
  lookup: (_id, name) =>
    ({
      web: { ipv4: ["10.0.0.2"], ipv6: [] },
      service: { ipv4: many, ipv6: ["fd00::1"] },
    })[name],
  reverse: (_id, address) => (address === "10.0.0.2" ? ["web.net"] : undefined),
  resolvers: () => ({ servers, forward }),
};

let namespace: ServedNamespace;
let names: NameServer;
/** A socket in the namespace, to ask from. */
let inside: number;

beforeAll(async () => {
  namespace = await ServedNamespace.start(PORT);
  names = new NameServer(directory, { report: () => undefined });
  const { datagram, stream } = namespace.take();
  closeDescriptor(stream);
  inside = datagram;
});
afterAll(async () => {
  closeDescriptor(inside);
  await namespace.end();
});
afterEach(() => {
  names.closeAll();
  servers = [];
  forward = true;
});

/** A DNS server that gives every name one address, in the namespace or the host's. */
function upstream(beside: number | undefined, address: string): Promise<{ port: number; close: () => void }> {
  const server: Socket = createSocket("udp4");
  server.on("message", (bytes, { address: from, port }) => {
    const { id, questions = [] } = decode(bytes);
    const name = questions[0]?.name ?? "";
    const answer = encode({
      type: "response",
      id: id ?? 0,
      questions,
      answers: [{ type: "A", name, ttl: 60, data: address }],
    });
    server.send(answer, port, from);
  });
  return new Promise((resolve) => {
    const bound = (): void => resolve({ port: server.address().port, close: () => server.close() });
    if (beside === undefined) {
      server.bind(0, "127.0.0.1", bound);
      return;
    }
    const [datagram, stream] = inNamespaceOfSocket(beside, () => listenAt("127.0.0.1", 5300, 1));
    closeDescriptor(stream);
    server.bind({ fd: datagram }, bound);
  });
}

const addresses = (packet: Reply): unknown[] =>
  (packet.answers ?? []).map((answer) => (answer as { data: unknown }).data);

describe("a container's name server", () => {
  it("answers at 127.0.0.11:53 over UDP and TCP", async () => {
    names.open("c", namespace.take());
    expect(addresses(await askIn(inside, question("Web.")))).toEqual(["10.0.0.2"]);
    const v6 = await askIn(inside, question("web", "AAAA"));
    expect([v6.rcode, v6.answers?.length]).toEqual(["NOERROR", 0]);
    expect(addresses(await askIn(inside, question("2.0.0.10.in-addr.arpa", "PTR")))).toEqual(["web.net"]);
    expect(addresses(await askByStream(inside, question("web")))).toEqual(["10.0.0.2"]);
  });

  it("tells a client to come again over TCP for what does not fit", async () => {
    names.open("c", namespace.take());
    const cut = await askIn(inside, question("service"));
    expect(cut.flag_tc).toBe(true);
    const whole = await askByStream(inside, question("service"));
    expect(whole.flag_tc).toBe(false);
    expect(addresses(whole).toSorted()).toEqual(many.toSorted());
  });

  it("leaves port 53 of the container to a server of its own", async () => {
    names.open("c", namespace.take());
    const [datagram, stream] = inNamespaceOfSocket(inside, () => listenAt("0.0.0.0", 53, 1));
    try {
      expect(addresses(await askIn(inside, question("web")))).toEqual(["10.0.0.2"]);
    } finally {
      closeDescriptor(datagram);
      closeDescriptor(stream);
    }
  });

  it("has questions wait for a daemon that is away", async () => {
    const waiting = askIn(inside, question("web"));
    const connecting = askByStream(inside, question("web"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    names.open("c", namespace.take());
    expect(addresses(await waiting)).toEqual(["10.0.0.2"]);
    expect(addresses(await connecting)).toEqual(["10.0.0.2"]);
  });

  it("loses none of a thousand that wait", async () => {
    const waiting = Array.from({ length: 1000 }, (_, id) => askIn(inside, question("web", "A", id)));
    names.open("c", namespace.take());
    expect(new Set((await Promise.all(waiting)).map(({ id }) => id)).size).toBe(1000);
  });

  it("passes questions on from the container's network, or from the host's", async () => {
    names.open("c", namespace.take());
    const own = await upstream(inside, "192.0.2.1");
    const host = await upstream(undefined, "192.0.2.2");
    try {
      servers = [{ address: "127.0.0.1", port: own.port, fromHost: false }];
      expect(addresses(await askIn(inside, question("example.org")))).toEqual(["192.0.2.1"]);
      servers = [{ address: "127.0.0.1", port: host.port, fromHost: true }];
      expect(addresses(await askIn(inside, question("example.org")))).toEqual(["192.0.2.2"]);
      // One that nobody listens at, and one without a route, cost no time.
      servers = [
        { address: "127.0.0.1", port: 9, fromHost: false },
        { address: "198.51.100.1", fromHost: false },
        { address: "127.0.0.1", port: host.port, fromHost: true },
      ];
      const begun = Date.now();
      expect(addresses(await askIn(inside, question("example.net")))).toEqual(["192.0.2.2"]);
      expect(Date.now() - begun).toBeLessThan(1000);
    } finally {
      own.close();
      host.close();
    }
  });

  it("asks again over TCP for an answer that was cut, and believes nobody but the server", async () => {
    names.open("c", namespace.take());
    const whole = many.map((data) => ({ type: "A", name: "large.org", ttl: 60, data }) as const);
    const [datagram, stream] = inNamespaceOfSocket(inside, () => listenAt("127.0.0.1", 5301, 8));
    const cutting = createSocket("udp4");
    cutting.on("message", (bytes, { address, port }) => {
      const { id = 0, questions = [] } = decode(bytes);
      const reply = (wrong: number, flags: number): void => {
        const forged = [{ type: "A", name: "large.org", ttl: 60, data: "6.6.6.6" } as const];
        const answers = flags ? [] : forged;
        cutting.send(encode({ type: "response", id: id ^ wrong, flags, questions, answers }), port, address);
      };
      reply(1, 0); // another id, as somebody who guesses would have it
      reply(0, 0x200);
    });
    cutting.bind({ fd: datagram });
    const full = createServer((connection) => {
      connection.on("data", (bytes) => {
        const { id = 0, questions = [] } = streamDecode(bytes);
        connection.end(streamEncode({ type: "response", id, questions, answers: whole }));
      });
    });
    full.listen({ fd: stream });
    try {
      servers = [{ address: "127.0.0.1", port: 5301, fromHost: false }];
      expect((await askIn(inside, question("large.org"))).flag_tc).toBe(true);
      expect(addresses(await askByStream(inside, question("large.org")))).toEqual(many);
    } finally {
      cutting.close();
      full.close();
    }
  });

  it("lets nothing out of internal networks", async () => {
    names.open("c", namespace.take());
    forward = false;
    expect((await askIn(inside, question("example.org"))).rcode).toBe("SERVFAIL");
  });
});

describe("the sockets", () => {
  it("go with the process, and its network namespace with them", async () => {
    const short = await ServedNamespace.start(PORT);
    const { datagram, stream } = short.take();
    const network = readlinkSync(`/proc/${short.pid}/ns/net`);
    const users = (): string[] =>
      readdirSync("/proc").filter((entry) => {
        try {
          return /^\d+$/.test(entry) && readlinkSync(`/proc/${entry}/ns/net`) === network;
        } catch {
          return false; // ended meanwhile
        }
      });
    expect(users()).toHaveLength(1);
    await short.end();
    closeDescriptor(datagram);
    closeDescriptor(stream);
    await eventually("the monitor is gone", () =>
      Promise.resolve(!readdirSync("/proc").includes(String(short.monitorPid))),
    );
    expect(users()).toEqual([]);
  });

  it("may be at port 53 itself, without rules", async () => {
    const plain = await ServedNamespace.start(53);
    names.open("p", plain.take());
    const { datagram, stream } = plain.take();
    try {
      expect(addresses(await askIn(datagram, question("web")))).toEqual(["10.0.0.2"]);
    } finally {
      names.close("p");
      closeDescriptor(datagram);
      closeDescriptor(stream);
      await plain.end();
    }
  });
});

describe("a container that runs without a name server", () => {
  it("is given one, and another one by the next daemon", async () => {
    const bare = new ServedNamespace();
    const plan = servedPlan(bare.directory, PORT, ["sleep", "600"]);
    await bare.run(plan.filter(({ op }) => op !== "name-server.listen" && op !== "netfilter"));
    const network = `/proc/${bare.pid}/ns/net`;
    expect(takeNameSockets(bare.monitorPid)).toBeUndefined();
    for (const port of [PORT, PORT + 1]) {
      const sockets = openNameSockets(network, port);
      names.open("b", sockets);
      expect(addresses(await askIn(sockets.datagram, question("web")))).toEqual(["10.0.0.2"]);
      expect(addresses(await askByStream(sockets.datagram, question("web")))).toEqual(["10.0.0.2"]);
      names.close("b");
    }
    await bare.end();
  });
});

describe("a start that fails", () => {
  const failing = async (change: (plan: ReturnType<typeof servedPlan>) => ReturnType<typeof servedPlan>) => {
    const broken = new ServedNamespace();
    try {
      await broken.run(change(servedPlan(broken.directory, PORT, ["true"])));
      return undefined;
    } catch (error) {
      return error as KernelError;
    } finally {
      await broken.end();
    }
  };

  it("says which step it was, for each of them, and leaves no process", async () => {
    const steps = servedPlan("/x", PORT, ["true"]);
    for (let at = 3; at < steps.length; at++) {
      const error = await failing((plan) => [
        ...plan.slice(0, at),
        { op: "fail.child", errno: 5 },
        ...plan.slice(at),
      ]);
      expect([error?.code, error?.step]).toEqual(["EIO", at]);
    }
  });

  it("tells why sockets or rules could not be made", async () => {
    const replaced = (op: string, step: (typeof steps)[number]) => (plan: typeof steps) =>
      plan.map((present) => (present.op === op ? step : present));
    const steps = servedPlan("/x", PORT, ["true"]);
    const listen = await failing(
      replaced("name-server.listen", { op: "name-server.listen", address: "10.9.8.7", port: 1 }),
    );
    expect([listen?.call, listen?.code]).toEqual(["bind", "EADDRNOTAVAIL"]);
    const address = await failing(
      replaced("name-server.listen", { op: "name-server.listen", address: "::1", port: 1 }),
    );
    expect([address?.call, address?.code]).toEqual(["inet_pton", "EINVAL"]);
    const rules = nameServerRules(PORT);
    // The last rule is for a table that is not there.
    const wrong = Buffer.from(rules);
    wrong.write("tsd-nemas", wrong.lastIndexOf("tsd-names"));
    const refused = await failing(replaced("netfilter", { op: "netfilter", messages: wrong }));
    expect([refused?.call, refused?.code]).toEqual(["netlink", "ENOENT"]);
    const cut = await failing(replaced("netfilter", { op: "netfilter", messages: rules.subarray(0, 30) }));
    expect([cut?.call, cut?.code]).toEqual(["netlink", "EINVAL"]);
  });
});
