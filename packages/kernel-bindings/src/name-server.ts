// A container's name server as the kernel has it: its sockets, which the monitor keeps, and the rules that lead port 53 to
// them.

import { addressBytes } from "./addresses.ts";
import { KernelError } from "./errors.ts";
import { closeDescriptor, inNetworkNamespace, netlinkSocket, receiveNow, send } from "./libc.ts";
import {
  compare,
  immediate,
  meta,
  network16,
  payload,
  register,
  writePayload,
} from "./netfilter/expressions.ts";
import { tablesGeneration } from "./netfilter/socket.ts";
import { batch, emptyTable, newChain, newRule, newTable, type Table } from "./netfilter/tables.ts";
import { parseMessages } from "./netlink/message.ts";
import { boundAddress, listenAt, takeDescriptors } from "./sockets.ts";

/** Where resolvers in containers ask, as in Docker: resolv.conf names it. */
export const NAME_SERVER_ADDRESS = "127.0.0.11";
const DNS_PORT = 53;
/** Above the ports that Linux gives to outgoing connections. */
const FIRST_PORT = 61000;
const LAST_PORT = 65000;
/** launcher/context.h: where the monitor keeps them. */
const DATAGRAM_FD = 110;
const STREAM_FD = 111;
const BACKLOG = 128;
const EBADF = 9;
const ENOENT = 2;
const EIO = 5;
const NETLINK_NETFILTER = 12;

/** Descriptors of a name server's sockets: UDP, and TCP that listens. */
export interface NameSockets {
  datagram: number;
  stream: number;
}

let hasTables: boolean | undefined;

/** A port for the sockets of one start. A container may have a DNS server of its own on port 53 of all its addresses, so ours
 * listens elsewhere, where it is in nobody's way. Where the kernel has no nf_tables to lead port 53 there, it is 53. */
export function nameServerPort(): number {
  hasTables ??= probeTables();
  return hasTables ? FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT)) : DNS_PORT;
}

function probeTables(): boolean {
  try {
    tablesGeneration();
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}

/** nf_tables messages that rewrite the port in packets to and from 127.0.0.11, without connection tracking: what goes to
 * port 53 arrives at `port`, and answers seem to come from 53. Rules of another port are replaced only if asked for: removing
 * anything makes the kernel wait some 12 ms as the socket is closed, which a new namespace need not. */
export function nameServerRules(port: number, replace = false): Buffer {
  const table: Table = { family: "ip", name: "tsd-names" };
  const chain = "output";
  const SOURCE = { address: 12, port: 0 };
  const DESTINATION = { address: 16, port: 2 };
  const protocols = [
    { number: 17, checksum: 6 },
    { number: 6, checksum: 16 },
  ];
  const rewrite = (end: typeof SOURCE, from: number, to: number): Buffer[] =>
    protocols.map(({ number, checksum }) =>
      newRule(table, chain, [
        payload("network", end.address, 4),
        compare("==", addressBytes(NAME_SERVER_ADDRESS)),
        meta("l4proto"),
        compare("==", Buffer.from([number])),
        payload("transport", end.port, 2),
        compare("==", network16(from)),
        immediate(register(0), network16(to)),
        writePayload("transport", end.port, 2, register(0), checksum),
      ]),
    );
  const MANGLE = -150;
  return batch([
    ...(replace ? emptyTable(table) : [newTable(table)]),
    newChain(table, { name: chain, hook: { type: "filter", at: "output", priority: MANGLE } }),
    ...rewrite(DESTINATION, DNS_PORT, port),
    ...rewrite(SOURCE, port, DNS_PORT),
  ]);
}

/** Duplicates of the sockets that a monitor keeps for its container, or undefined if it keeps none. The caller closes them.
 * Throws KernelError. */
export function takeNameSockets(monitorPid: number): NameSockets | undefined {
  let taken: number[];
  try {
    taken = takeDescriptors(monitorPid, [DATAGRAM_FD, STREAM_FD]);
  } catch (error) {
    if (error instanceof KernelError && error.errno === EBADF) return undefined;
    throw error;
  }
  const [datagram = -1, stream = -1] = taken;
  const right = taken.every((descriptor) => boundAddress(descriptor)?.address === NAME_SERVER_ADDRESS);
  if (right) return { datagram, stream };
  // A process that has got the monitor's number since.
  for (const descriptor of taken) closeDescriptor(descriptor);
  throw new KernelError("pidfd_getfd", ENOENT, `process ${monitorPid} keeps no name server`);
}

/** What the kernel says to a batch: one acknowledgement for each message, or an error. */
function checkBatch(socket: number): void {
  const NLMSG_ERROR = 2;
  const buffer = Buffer.alloc(16384);
  const answers: number[] = [];
  for (let size = receiveNow(socket, buffer); size > 0; size = receiveNow(socket, buffer))
    for (const { type, body } of parseMessages(buffer.subarray(0, size)))
      if (type === NLMSG_ERROR) answers.push(-body.readInt32LE(0));
  const errno = answers.find((code) => code !== 0);
  if (errno || answers.length === 0) throw new KernelError("nf_tables", errno ?? EIO, "name server");
}

/** Gives a name server to a container that runs without, by its /proc/<pid>/ns/net, as the launch plan would have: for a
 * container that is connected to its first user-defined network while it runs. Its monitor is to keep them from then on
 * (giveNameSockets). Throws KernelError. */
export function openNameSockets(namespace: string, port: number): NameSockets {
  const [datagram, stream] = inNetworkNamespace(namespace, () =>
    listenAt(NAME_SERVER_ADDRESS, port, BACKLOG),
  );
  if (port === DNS_PORT) return { datagram, stream };
  const link = inNetworkNamespace(namespace, () => netlinkSocket(NETLINK_NETFILTER));
  try {
    send(link, nameServerRules(port, true));
    checkBatch(link);
    return { datagram, stream };
  } catch (error) {
    closeDescriptor(datagram);
    closeDescriptor(stream);
    throw error;
  } finally {
    closeDescriptor(link);
  }
}
