// Connections that the kernel keeps track of (linux/netfilter/nfnetlink_conntrack.h): forgotten when those who had them are gone.
import { isIPv4 } from "node:net";
import { addressBytes } from "../addresses.ts";
import { KernelError } from "../errors.ts";
import {
  type Attribute,
  attributesBytes,
  message,
  NLM_F_ACK,
  NLM_F_DUMP,
  parseAttributes,
} from "../netlink/message.ts";
import { ask, dump } from "./socket.ts";

const SUBSYSTEM = 1 << 8;
const GET = 1;
const DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_FILTER = 25;
const NESTED = 0x8000;
const ENOENT = 2;

/** Numbers of protocols without connections of their own: what is not forgotten goes on to whoever had the port. */
export const connectionless = { udp: 17, sctp: 132 } as const;

const header = (address: string): Buffer => Buffer.from([isIPv4(address) ? 2 : 10, 0, 0, 0]);

/** The beginning of a tuple: its source address. */
const sourceOf = (address: string): Attribute["1"] => ({
  nested: [[1, { nested: [[isIPv4(address) ? 1 : 3, { bytes: addressBytes(address) }]] }]],
});

/** Forgets every connection of these protocols that an address answers: packets of clients that go on find out anew where
 * a published port leads. The kernel looks for them itself where it can (Linux 5.8). Throws KernelError. */
export function forgetConnections(address: string, protocols: readonly number[]): void {
  const request = message(SUBSYSTEM | GET, NLM_F_DUMP, header(address), [
    [CTA_TUPLE_REPLY, sourceOf(address)],
    [
      CTA_FILTER | NESTED,
      {
        nested: [
          [1, { u32: 0 }],
          [2, { u32: 1 }], // the source address of the answers
        ],
      },
    ],
  ]);
  request.writeUInt16LE(request.readUInt16LE(6) & ~NLM_F_ACK, 6);
  const wanted = Buffer.from(addressBytes(address));
  for (const connection of dump(request, address)) {
    const original = connection.get(CTA_TUPLE_ORIG);
    const reply = parseAttributes(connection.get(CTA_TUPLE_REPLY) ?? Buffer.alloc(0));
    const source = parseAttributes(reply.get(1) ?? Buffer.alloc(0)).get(isIPv4(address) ? 1 : 3);
    const protocol =
      parseAttributes(reply.get(2) ?? Buffer.alloc(0))
        .get(1)
        ?.readUInt8(0) ?? 0;
    if (!original || !source?.equals(wanted) || !protocols.includes(protocol)) continue;
    try {
      const tuple = attributesBytes([[CTA_TUPLE_ORIG, { bytes: original }]]);
      ask(message(SUBSYSTEM | DELETE, 0, Buffer.concat([header(address), tuple]), []), address);
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof KernelError) || error.errno !== ENOENT) throw error;
    }
  }
}
