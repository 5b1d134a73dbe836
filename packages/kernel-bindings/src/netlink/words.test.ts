// Messages that plans carry, in words.
import { expect, it } from "vitest";
import { addAddress, addRoute, createVeth, linkUp, setBridgePort } from "./route.ts";
import { tokenBucket } from "./traffic-control.ts";
import { describeMessages } from "./words.ts";

it("says what messages do", () => {
  const peer = { name: "eth0", index: 100, mac: "02:42:ac:1e:00:02", namespaceDescriptor: 100 };
  const pair = createVeth({ name: "veth1", index: 5, bridgeIndex: 3, mtu: 1500, peer });
  const messages = [
    pair,
    setBridgePort(5, { isolated: true, hairpin: true }),
    addAddress(100, "172.30.0.2", 16),
    linkUp("eth0"),
    addRoute({ index: 100, gateway: "172.30.0.1", family: 4 }),
    tokenBucket(5, { rate: 8_000_000, burst: 16_000, limit: 32_000, ceiling: undefined }),
  ];
  expect(describeMessages(Buffer.concat(messages))).toEqual([
    "make a veth pair: veth1 (link 5) on bridge 3, up; eth0 (link 100, 02:42:ac:1e:00:02) in the container; MTU 1500",
    "set bridge port 5: isolated from other isolated ports, hairpin on",
    "give link 100 the address 172.30.0.2/16",
    "bring link eth0 up",
    "route everything else by 172.30.0.1 through link 100",
    "put a tbf qdisc of 8000000 bit/s on link 5",
  ]);
});
