// A container's name server as the kernel has it: its sockets, which the monitor keeps, and the rules that lead port 53 to
// them.
import { KernelError } from "./errors.ts";
import { closeDescriptor, inNetworkNamespace } from "./libc.ts";
import {
  compare,
  immediate,
  meta,
  network16,
  payload,
  register,
  writePayload,
} from "./netfilter/expressions.ts";
import { batch, emptyTable, newChain, newRule, type Table } from "./netfilter/tables.ts";
import { addressBytes } from "./netlink/route.ts";
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

/** Descriptors of a name server's sockets: UDP, and TCP that listens. */
export interface NameSockets {
  datagram: number;
  stream: number;
}

/** A port for the sockets of one start. A container may have a DNS server of its own on port 53 of all its addresses, so
 * ours listens elsewhere, where it is in nobody's way. */
export const randomNameServerPort = (): number =>
  FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));

/** nf_tables messages that rewrite the port in packets to and from 127.0.0.11, without connection tracking: what goes to
 * port 53 arrives at `port`, and answers seem to come from 53. Another port's rules are replaced. */
export function nameServerRules(port: number): Buffer {
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
    ...emptyTable(table),
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

/** Opens the sockets in a container that runs without, by its /proc/<pid>/ns/net. Nobody keeps these for the next daemon. */
export function openNameSockets(namespace: string, port: number): NameSockets {
  const [datagram, stream] = inNetworkNamespace(namespace, () =>
    listenAt(NAME_SERVER_ADDRESS, port, BACKLOG),
  );
  return { datagram, stream };
}
