// Sends rtnetlink messages from the daemon's own network namespace, synchronously: each answer takes microseconds.

import { randomInt } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import koffi from "koffi";
import { KernelError } from "../errors.ts";
import { later } from "../later.ts";
import { closeDescriptor, inNetworkNamespace, netlinkSocket, receive, send } from "../libc.ts";
import { type Answer, message, NLM_F_ACK, NLM_F_DUMP, parseAttributes, parseMessages } from "./message.ts";
import { deleteGroup, deleteLink, getLink, groupLink, moveLink, RTM_GETLINK, RTM_NEWLINK } from "./route.ts";
import { missingInKernel } from "./traffic-control.ts";

const NETLINK_ROUTE = 0;
const NLMSG_ERROR = 2;
const ENODEV = 19;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_ADDRESS = 1;
const IFLA_LINKINFO = 18;

const openSocket = (namespace: string | undefined): number =>
  namespace
    ? inNetworkNamespace(namespace, () => netlinkSocket(NETLINK_ROUTE))
    : netlinkSocket(NETLINK_ROUTE);

/** Sends one acknowledged message; returns what came besides the acknowledgement. `namespace` is the path of another
 * network namespace to send it in. Throws KernelError. */
export function netlinkRequest(bytes: Uint8Array, about: string, namespace?: string): Answer[] {
  const socket = openSocket(namespace);
  try {
    send(socket, bytes);
    const answers: Answer[] = [];
    const buffer = Buffer.alloc(32768);
    for (;;) {
      const received = parseMessages(buffer.subarray(0, receive(socket, buffer)));
      for (const answer of received) {
        if (answer.type !== NLMSG_ERROR) answers.push({ type: answer.type, body: Buffer.from(answer.body) });
        else if (answer.body.readInt32LE(0) === 0) return answers;
        else throw refusal(bytes, -answer.body.readInt32LE(0), about);
      }
    }
  } finally {
    closeDescriptor(socket);
  }
}

/** What a request was refused with, which names what the kernel lacks if it is that. */
function refusal(bytes: Uint8Array, errno: number, about: string): KernelError {
  const missing = missingInKernel(Buffer.from(bytes), errno);
  return new KernelError("netlink", errno, missing ? `${about}: ${missing}` : about);
}

/** Dumps are read one at a time, and what is in them is copied. */
const dumpBuffer = Buffer.alloc(65536);

function dumpFrom(socket: number, bytes: Buffer, about: string): Buffer[] {
  const NLMSG_DONE = 3;
  const request = Buffer.from(bytes);
  request.writeUInt16LE(request.readUInt16LE(6) & ~NLM_F_ACK, 6);
  send(socket, request);
  const found: Buffer[] = [];
  for (;;)
    for (const { type, body } of parseMessages(dumpBuffer.subarray(0, receive(socket, dumpBuffer)))) {
      if (type === NLMSG_DONE) return found;
      if (type === NLMSG_ERROR) throw new KernelError("netlink", -body.readInt32LE(0), about);
      found.push(Buffer.from(body));
    }
}

/** The bodies of everything that each of some requests (of NLM_F_DUMP) brings, by one socket. `namespace` is the path of another
 * network namespace to ask in. Throws KernelError. */
export function netlinkDumps(requests: readonly Buffer[], about: string, namespace?: string): Buffer[][] {
  const socket = openSocket(namespace);
  try {
    return requests.map((bytes) => dumpFrom(socket, bytes, about));
  } finally {
    closeDescriptor(socket);
  }
}

/** As netlinkDumps, of one request in the daemon's own network namespace. */
export const netlinkDump = (bytes: Buffer, about: string): Buffer[] => netlinkDumps([bytes], about)[0] ?? [];

/** The names of the links of a kind in the daemon's network namespace. */
export function linksOfKind(kind: string): string[] {
  const request = getLink("");
  const all = message(RTM_GETLINK, NLM_F_DUMP, request.subarray(16, 32), []);
  return netlinkDump(all, kind).flatMap((body) => {
    const attributes = parseAttributes(body.subarray(16));
    const information = parseAttributes(attributes.get(IFLA_LINKINFO) ?? Buffer.alloc(0));
    const own = information.get(1)?.toString("latin1").replace(/\0$/, "");
    const name = attributes.get(IFLA_IFNAME)?.toString("utf8").replace(/\0$/, "");
    return own === kind && name ? [name] : [];
  });
}

const sendLater = koffi
  .load("libc.so.6")
  .func("intptr_t send(int descriptor, const void *bytes, size_t length, int flags)");

/** As netlinkRequest, on the thread pool: for what the kernel takes its time over, 20 to 30 ms. */
export async function requestLater(bytes: Buffer, about: string, namespace?: string): Promise<void> {
  const socket = openSocket(namespace);
  try {
    await later("send", about, sendLater, socket, bytes, bytes.length, 0);
    const buffer = Buffer.alloc(4096);
    const [answer] = parseMessages(buffer.subarray(0, receive(socket, buffer)));
    const errno = answer ? -answer.body.readInt32LE(0) : 0;
    if (errno) throw refusal(bytes, errno, about);
  } finally {
    closeDescriptor(socket);
  }
}

/** As requestLater, about a link that need not be there. */
async function requestIfThere(bytes: Buffer, about: string, namespace?: string): Promise<void> {
  try {
    await requestLater(bytes, about, namespace);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== ENODEV) throw error;
  }
}

/** Removes a link, by name: the kernel waits for those who still use it. It is fine if the link is not there. */
export const removeLink = (name: string, namespace?: string): Promise<void> =>
  requestIfThere(deleteLink(name), name, namespace);

/** Group numbers that nobody else gives. */
const GROUPS = [2 ** 30, 2 ** 31 - 1] as const;

/** Removes several links of the daemon's network namespace, for which the kernel waits only once. */
export async function removeLinks(names: readonly string[]): Promise<void> {
  const [first = ""] = names;
  if (names.length < 2) return names.length === 1 ? removeLink(first) : undefined;
  const group = randomInt(...GROUPS);
  for (const name of names) await requestIfThere(groupLink(name, group), name);
  await requestIfThere(deleteGroup(group), `links ${names.join(" ")}`);
}

/** Brings a link of another network namespace, by name, into the daemon's. */
export async function fetchLink(name: string, namespace: string): Promise<void> {
  const own = openSync("/proc/self/ns/net", "r");
  try {
    await requestLater(moveLink(name, own), name, namespace);
  } finally {
    closeSync(own);
  }
}

/** A network interface as the kernel shows it. */
export interface Link {
  index: number;
  name: string;
  mtu: number;
  mac: string;
  up: boolean;
}

/** The link of this name in the daemon's network namespace, or undefined. */
export function findLink(name: string): Link | undefined {
  try {
    const answer = netlinkRequest(getLink(name), name).find(({ type }) => type === RTM_NEWLINK);
    if (!answer) return undefined;
    const attributes = parseAttributes(answer.body.subarray(16));
    return {
      index: answer.body.readInt32LE(4),
      name: attributes.get(IFLA_IFNAME)?.toString("utf8").replace(/\0$/, "") ?? name,
      mtu: attributes.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
      mac:
        attributes
          .get(IFLA_ADDRESS)
          ?.toString("hex")
          .replace(/(..)(?=.)/g, "$1:") ?? "",
      up: (answer.body.readUInt32LE(8) & 1) === 1,
    };
  } catch (error) {
    if (error instanceof KernelError && error.errno === ENODEV) return undefined;
    throw error;
  }
}
