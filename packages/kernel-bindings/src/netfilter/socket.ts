// Sends nf_tables messages from the daemon's network namespace, synchronously: a small batch takes some 50 microseconds.
import { KernelError } from "../errors.ts";
import { allowMessages, netlinkSocket, receive, receiveNow, send } from "../libc.ts";
import { type Answer, NLM_F_ACK, NLM_F_DUMP, parseAttributes, parseMessages } from "../netlink/message.ts";
import { batch, type Table, tablesMessage } from "./tables.ts";

const NETLINK_NETFILTER = 12;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** One socket for the daemon's life: closing one waits until what was removed is freed, 5 to 20 ms. */
let socket: number | undefined;
const buffer = Buffer.alloc(65536);
/** Bytes of one transaction: some 50,000 elements. */
const LARGEST_BATCH = 8 << 20;

function openSocket(): number {
  const opened = netlinkSocket(NETLINK_NETFILTER);
  allowMessages(opened, LARGEST_BATCH);
  return opened;
}

function exchange(bytes: Uint8Array): void {
  socket ??= openSocket();
  // What a request that failed has left.
  while (receiveNow(socket, buffer) > 0);
  send(socket, bytes);
}

/** The answers that are there: the kernel gives them all before send(2) returns. */
function answers(): Answer[] {
  const found: Answer[] = [];
  for (;;) {
    const size = receiveNow(socket as number, buffer);
    if (size <= 0) return found;
    found.push(...parseMessages(Buffer.from(buffer.subarray(0, size))));
  }
}

const unacknowledged = (bytes: Buffer): Buffer => {
  const copy = Buffer.from(bytes);
  copy.writeUInt16LE(copy.readUInt16LE(6) & ~NLM_F_ACK, 6);
  return copy;
};

const errnoOf = (answer: Answer): number => (answer.type === NLMSG_ERROR ? -answer.body.readInt32LE(0) : 0);

/** Carries out messages as one transaction. Throws KernelError for the first that the kernel refuses; nothing has changed
 * then. */
export function changeTables(messages: readonly Buffer[], about: string): void {
  const last = messages.at(-1);
  if (!last) return;
  // Errors come in any case; acknowledgements of each would overflow the socket's buffer.
  exchange(batch([...messages.slice(0, -1).map(unacknowledged), last]));
  const received = answers();
  const errno = received.map(errnoOf).find((code) => code !== 0);
  if (errno) throw new KernelError("nf_tables", errno, about);
  if (received.length === 0) throw new KernelError("nf_tables", 5, `${about}: no answer`);
}

/** The number of the last transaction in this namespace: it tells that somebody has changed something. */
export function tablesGeneration(): number {
  exchange(unacknowledged(tablesMessage("getGeneration", "inet", 0, [])));
  const [answer] = answers();
  const errno = answer ? errnoOf(answer) : 5;
  if (!answer || errno) throw new KernelError("nf_tables", errno, "generation");
  return parseAttributes(answer.body.subarray(4)).get(1)?.readUInt32BE(0) ?? 0;
}

/** Everything of one kind in a table: rules of a chain, or elements of a set, each with its attributes. */
export function dumpTable(
  table: Table,
  what: { rules: string } | { elements: string },
): Map<number, Buffer>[] {
  const [type, name] =
    "rules" in what ? (["getRules", what.rules] as const) : (["getElements", what.elements] as const);
  const request = tablesMessage(type, table.family, NLM_F_DUMP, [
    [1, { string: table.name }],
    [2, { string: name }],
  ]);
  return dump(unacknowledged(request), table.name);
}

/** One acknowledged message of any subsystem of nfnetlink. Throws KernelError. */
export function ask(request: Buffer, about: string): void {
  exchange(request);
  const errno = answers()
    .map(errnoOf)
    .find((code) => code !== 0);
  if (errno) throw new KernelError("netfilter", errno, about);
}

/** Everything that a request (of NLM_F_DUMP, and not acknowledged) brings, each with its attributes. Throws KernelError. */
export function dump(request: Buffer, about: string): Map<number, Buffer>[] {
  exchange(request);
  const found: Map<number, Buffer>[] = [];
  for (;;) {
    // A dump goes on as it is read.
    const size = receive(socket as number, buffer);
    for (const answer of parseMessages(Buffer.from(buffer.subarray(0, size)))) {
      const errno = errnoOf(answer);
      if (errno) throw new KernelError("netfilter", errno, about);
      if (answer.type === NLMSG_DONE || answer.type === NLMSG_ERROR) return found;
      found.push(parseAttributes(answer.body.subarray(4)));
    }
  }
}

/** What a rule's or an element's counter shows. */
export interface Counted {
  packets: bigint;
  bytes: bigint;
}

const none: Counted = { packets: 0n, bytes: 0n };

/** The attributes of the expression of this name in a list of them, or in one alone. */
function findExpression(list: Buffer, name: string): Map<number, Buffer> | undefined {
  for (let offset = 0; offset + 4 <= list.length; ) {
    const length = list.readUInt16LE(offset);
    if (length < 4) return undefined;
    const found = parseAttributes(list.subarray(offset + 4, offset + length));
    if (found.get(1)?.toString("latin1") === `${name}\0`)
      return parseAttributes(found.get(2) ?? Buffer.alloc(0));
    offset += (length + 3) & ~3;
  }
  return undefined;
}

const counted = (attributes: Map<number, Buffer> | undefined): Counted =>
  attributes
    ? {
        bytes: attributes.get(1)?.readBigUInt64BE() ?? 0n,
        packets: attributes.get(2)?.readBigUInt64BE() ?? 0n,
      }
    : none;

/** The rules of a chain in their order: their comments, and what their counters show. */
export function readRules(table: Table, chain: string): (Counted & { comment: string })[] {
  return dumpTable(table, { rules: chain }).map((rule) => {
    const userdata = rule.get(7);
    return {
      comment: userdata ? userdata.toString("utf8", 2, userdata.length - 1) : "",
      ...counted(findExpression(rule.get(4) ?? Buffer.alloc(0), "counter")),
    };
  });
}

/** The elements of a set: their keys, what maps lead them to, and what their counters show. */
export function readElements(table: Table, set: string): (Counted & { key: Buffer; data: Buffer })[] {
  return dumpTable(table, { elements: set }).flatMap((part) => {
    const list = part.get(3) ?? Buffer.alloc(0);
    const found: (Counted & { key: Buffer; data: Buffer })[] = [];
    for (let offset = 0; offset + 4 <= list.length; ) {
      const length = list.readUInt16LE(offset);
      if (length < 4) break;
      const element = parseAttributes(list.subarray(offset + 4, offset + length));
      const key = parseAttributes(element.get(1) ?? Buffer.alloc(0)).get(1) ?? Buffer.alloc(0);
      // One expression stands alone (NFTA_SET_ELEM_EXPR), several in a list (NFTA_SET_ELEM_EXPRESSIONS).
      const alone = element.get(7);
      const own = alone
        ? parseAttributes(parseAttributes(alone).get(2) ?? Buffer.alloc(0))
        : findExpression(element.get(11) ?? Buffer.alloc(0), "counter");
      const data = parseAttributes(element.get(2) ?? Buffer.alloc(0)).get(1) ?? Buffer.alloc(0);
      found.push({ key, data, ...counted(own) });
      offset += (length + 3) & ~3;
    }
    return found;
  });
}
