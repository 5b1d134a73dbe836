// A process in a network namespace of its own with a name server's sockets, as a container has it, without an engine; and
// questions that are asked in there.
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  datagramTo,
  Launcher,
  linkUp,
  type Monitor,
  NAME_SERVER_ADDRESS,
  type NameSockets,
  nameServerRules,
  type Plan,
  type Step,
  streamTo,
  takeNameSockets,
} from "@tsd/kernel-bindings";
import { type DecodedPacket, decode, encode, type Packet } from "dns-packet";
import { eventually } from "../harness/command.ts";
import { repository } from "../harness/daemon.ts";

export const launcherProgram = join(repository, "packages/kernel-bindings/launcher/build/tsd-launcher");

/** The steps of a name server in a new network namespace; port 53 needs no rules. */
export function servedPlan(directory: string, port: number, command: readonly string[]): Plan {
  const redirect: Step[] = port === 53 ? [] : [{ op: "netfilter", messages: nameServerRules(port) }];
  return [
    { op: "serve", socket: join(directory, "monitor.sock"), exit: join(directory, "exit") },
    { op: "stdio", terminal: false, openStdin: false, stdinOnce: false, columns: 0, rows: 0, owner: 0 },
    { op: "clone", flags: CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID },
    { op: "await-host" },
    { op: "netlink", messages: linkUp("lo") },
    { op: "name-server.listen", address: NAME_SERVER_ADDRESS, port },
    ...redirect,
    { op: "execute", file: command[0] ?? "", arguments: command, environment: ["PATH=/usr/bin:/bin"] },
  ];
}

export class ServedNamespace {
  readonly directory = mkdtempSync(join(tmpdir(), "tsd-names-"));
  readonly launcher = new Launcher(launcherProgram, () => undefined);
  monitor: Monitor | undefined;
  pid = 0;
  monitorPid = 0;

  /** Carries a plan out and waits until its process runs. */
  async run(plan: Plan): Promise<void> {
    this.monitor = this.launcher.launch(plan).monitor;
    const { pid, monitorPid } = await this.monitor.started;
    this.pid = pid;
    this.monitorPid = monitorPid;
  }

  static async start(port: number): Promise<ServedNamespace> {
    const namespace = new ServedNamespace();
    await namespace.run(servedPlan(namespace.directory, port, ["sleep", "600"]));
    return namespace;
  }

  /** Duplicates of the sockets that the monitor keeps. */
  take(): NameSockets {
    const sockets = takeNameSockets(this.monitorPid);
    if (!sockets) throw new Error("the monitor keeps no sockets");
    return sockets;
  }

  async end(): Promise<void> {
    this.monitor?.signal(9);
    await this.monitor?.exited;
    this.monitor?.release();
    // The launcher's to reap: without it they would be left to whoever is process 1.
    const { pid } = this.launcher;
    await eventually("the monitor is gone", () =>
      Promise.resolve(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8") === ""),
    );
    this.launcher.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const question = (name: string, type: "A" | "AAAA" | "PTR" | "TXT" = "A", id = 7): Packet => ({
  type: "query",
  id,
  flags: 0x100,
  questions: [{ type, name }],
});

/** A decoded answer, with the response code that the library's types leave out. */
export type Reply = DecodedPacket & { rcode: string };

const WAIT = 5000;

/** Asks over UDP in the namespace of a socket. The question is on its way when this returns; the answer comes later. */
export function askIn(beside: number, packet: Packet | Buffer, port = 53): Promise<Reply> {
  const bytes = Buffer.isBuffer(packet) ? packet : encode(packet);
  const descriptor = datagramTo({ address: NAME_SERVER_ADDRESS, port, beside }, bytes);
  const socket = createSocket("udp4");
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.close();
      reject(new Error("no answer"));
    }, WAIT);
    socket.on("error", reject);
    socket.on("message", (answer) => {
      clearTimeout(timer);
      socket.close();
      resolve(decode(answer) as Reply);
    });
    socket.bind({ fd: descriptor, exclusive: true });
  });
}

/** Asks over TCP in the namespace of a socket. */
export function askByStream(beside: number, packet: Packet, port = 53): Promise<Reply> {
  const socket = new Socket({ fd: streamTo({ address: NAME_SERVER_ADDRESS, port, beside }) });
  const message = encode(packet);
  const size = Buffer.alloc(2);
  size.writeUInt16BE(message.length);
  let received: Buffer = Buffer.alloc(0);
  return new Promise((resolve, reject) => {
    socket.setTimeout(WAIT, () => socket.destroy(new Error("no answer")));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      socket.destroy();
      resolve(decode(received.subarray(2)) as Reply);
    });
    socket.write(Buffer.concat([size, message]));
  });
}
