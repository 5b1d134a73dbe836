// rtnetlink messages in words: what a plan's bytes do to links, addresses, routes and traffic.
import { addressText } from "../addresses.ts";
import { type Answer, parseAttributes, parseMessages } from "./message.ts";

const typeNames: Readonly<Record<number, string>> = {
  16: "RTM_NEWLINK",
  17: "RTM_DELLINK",
  19: "RTM_SETLINK",
  20: "RTM_NEWADDR",
  24: "RTM_NEWROUTE",
  36: "RTM_NEWQDISC",
  40: "RTM_NEWTCLASS",
  44: "RTM_NEWTFILTER",
};

/** The kernel's name of a message type (linux/rtnetlink.h). */
export const netlinkTypeName = (type: number): string => typeNames[type] ?? `message ${type}`;

const text = (bytes: Buffer | undefined): string => bytes?.toString("utf8").replace(/\0.*$/s, "") ?? "";
const mac = (bytes: Buffer): string => bytes.toString("hex").replace(/(..)(?=.)/g, "$1:");
const handle = (value: number): string =>
  value === 0xffffffff ? "root" : `${(value >>> 16).toString(16)}:${(value & 0xffff).toString(16)}`;
const none = Buffer.alloc(0);

function link(body: Buffer): string {
  const attributes = parseAttributes(body.subarray(16));
  const name = text(attributes.get(3));
  const index = body.readInt32LE(4);
  const information = parseAttributes(attributes.get(18) ?? none);
  const kind = text(information.get(1));
  const up = (body.readUInt32LE(8) & 1) === 1;
  const mtu = attributes.get(4)?.readUInt32LE(0);
  if (kind === "veth") {
    const peer = parseAttributes(information.get(2) ?? none).get(1) ?? none;
    const inside = parseAttributes(peer.subarray(16));
    const bridge = attributes.get(10)?.readUInt32LE(0) ?? 0;
    return `make a veth pair: ${name} (link ${index}) on bridge ${bridge}, up; ${text(inside.get(3))} (link ${peer.readInt32LE(4)}, ${mac(inside.get(1) ?? none)}) in the container; MTU ${mtu}`;
  }
  if (kind) {
    const parent = attributes.get(5)?.readUInt32LE(0);
    return `make ${kind} link ${name} (link ${index})${parent ? ` on link ${parent}` : ""}${attributes.has(28) ? " in the container" : ""}${up ? ", up" : ""}`;
  }
  if (text(information.get(4)) === "bridge") {
    const port = parseAttributes(information.get(5) ?? none);
    const isolated = port.get(33)?.[0] === 1;
    return `set bridge port ${index}: ${isolated ? "isolated from other isolated ports" : "reachable by its neighbours"}, hairpin ${port.get(4)?.[0] === 1 ? "on" : "off"}`;
  }
  if (attributes.has(28)) return `move link ${name} into the container`;
  return `bring link ${name || index} up`;
}

function address(body: Buffer): string {
  const attributes = parseAttributes(body.subarray(8));
  return `give link ${body.readUInt32LE(4)} the address ${addressText(attributes.get(2) ?? attributes.get(1) ?? none)}/${body[1]}`;
}

function route(body: Buffer): string {
  const attributes = parseAttributes(body.subarray(12));
  const destination = attributes.get(1);
  const gateway = attributes.get(5);
  const out = attributes.get(4)?.readUInt32LE(0);
  return `route ${destination ? `${addressText(destination)}/${body[1]}` : "everything else"}${gateway ? ` by ${addressText(gateway)}` : ""}${out ? ` through link ${out}` : ""}`;
}

const rate = (bytesPerSecond: number): string => `${bytesPerSecond * 8} bit/s`;

function traffic({ type, body }: Answer): string {
  const attributes = parseAttributes(body.subarray(20));
  const kind = text(attributes.get(1));
  const options = parseAttributes(attributes.get(2) ?? none);
  const index = body.readInt32LE(4);
  const own = options.get(1);
  if (type === 36) {
    const bucket = kind === "tbf" && own ? ` of ${rate(own.readUInt32LE(8))}` : "";
    return `put a ${kind} qdisc${bucket} on link ${index}`;
  }
  if (type === 40)
    return `make class ${handle(body.readUInt32LE(8))} below ${handle(body.readUInt32LE(12))} on link ${index}${own ? `: ${rate(own.readUInt32LE(8))}, at most ${rate(own.readUInt32LE(20))}` : ""}`;
  return `put a ${kind} filter on link ${index} at ${handle(body.readUInt32LE(12))}`;
}

const words: Readonly<Record<number, (answer: Answer) => string>> = {
  16: ({ body }) => link(body),
  20: ({ body }) => address(body),
  24: ({ body }) => route(body),
  36: traffic,
  40: traffic,
  44: traffic,
};

/** What each of these messages asks the kernel for. */
export const describeMessages = (bytes: Uint8Array): string[] =>
  parseMessages(Buffer.from(bytes)).map(
    (answer) => words[answer.type]?.(answer) ?? netlinkTypeName(answer.type),
  );
