// Shapes as requests say them, and as the kernel is told. Pure.
import { parseMessages } from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { hostConfigSchema } from "../../api/schemas/container-create.ts";
import {
  changeMessages,
  portBlocks,
  rootMessages,
  shapeMessages,
  unshaped,
} from "../../runtime/network/shape.ts";
import { mergeShapes, parseRate, readShape } from "./shape-options.ts";

const host = (NetworkShape: object) => hostConfigSchema.parse({ NetworkShape }).NetworkShape;

describe("rates", () => {
  it.each([
    ["10mbit", 10e6],
    ["1.5gbit", 1.5e9],
    ["500k", 500e3],
    ["64000", 64000],
  ])("%s", (text, rate) => expect(parseRate("x", text)).toBe(rate));
  it.each(["", "fast", "1", "-5m", "10tb"])("not %j", (text) => {
    expect(() => parseRate("tsd.rate.out", text)).toThrow(`tsd.rate.out: invalid rate "${text}"`);
  });
});

describe("a shape", () => {
  it("is the network's, the endpoint's, the container's, in this order", () => {
    const shape = readShape(
      { "tsd.rate.out": "1mbit", "tsd.rate.in": "2mbit", "com.docker.network.driver.mtu": "1400" },
      { "tsd.rate.in": "3mbit", "tsd.packets.out": "100", "tsd.class.web": "dir=in,port=80;443,rate=1mbit" },
      host({ Out: { Rate: 5e6 } }),
    );
    expect(shape.out).toMatchObject({ rate: 5e6, packets: 100, classes: [] });
    expect(shape.in.rate).toBe(3e6);
    expect(shape.in.classes).toEqual([
      {
        name: "web",
        protocol: "tcp",
        ports: [
          { first: 80, last: 80 },
          { first: 443, last: 443 },
        ],
        rate: 1e6,
        ceiling: 0,
        priority: 0,
      },
    ]);
  });
  it.each([
    [{ "tsd.speed": "1" }, "unknown option tsd.speed"],
    [{ "tsd.rate.up": "1mbit" }, "unknown option tsd.rate.up"],
    [
      { "tsd.rate.out": "5mbit", "tsd.ceil.out": "4mbit" },
      "the ceiling of direction out is not above its rate",
    ],
    [{ "tsd.packets.out": "many" }, "tsd.packets.out"],
    [{ "tsd.class.a": "rate=1mbit,speed=2" }, 'tsd.class.a: unknown "speed"'],
    [{ "tsd.class.a": "rate=1mbit,port=0" }, 'invalid port "0"'],
  ])("%j is refused", (options, message) => {
    expect(() => readShape(options as unknown as Record<string, string>, {}, null)).toThrow(message);
  });
  it("of an update changes what it names, and takes away what is -1", () => {
    const before = host({ Out: { Rate: 1e6, Burst: 9000 }, Classes: [{ Name: "a", Rate: 8 }] });
    const after = mergeShapes(
      before,
      host({ Out: { Burst: -1 }, In: { Rate: 5e6 }, Classes: [{ Name: "a" }] }),
    );
    expect(after).toMatchObject({ Out: { Rate: 1e6, Burst: 0 }, In: { Rate: 5e6 }, Classes: [] });
    expect(mergeShapes(before, null)).toBe(before);
  });
  it("of an update keeps classes in their places, and adds new ones behind", () => {
    const before = host({
      Classes: [
        { Name: "a", Rate: 8 },
        { Name: "b", Rate: 8 },
      ],
    });
    const update = host({
      Classes: [
        { Name: "c", Rate: 8 },
        { Name: "a", Rate: 16 },
      ],
    });
    expect(mergeShapes(before, update)?.Classes.map(({ Name, Rate }) => `${Name} ${Rate}`)).toEqual([
      "a 16",
      "b 8",
      "c 8",
    ]);
  });
  it("has a ceiling for its bursts, which is the rate where there is none", () => {
    const { out, in: back } = readShape({ "tsd.ceil.in": "9mbit", "tsd.rate.out": "5mbit" }, {}, {
      ...host({ Out: { Ceiling: 7e6, Burst: 1e6 } }),
    } as ReturnType<typeof host>);
    expect(out).toMatchObject({ rate: 5e6, ceiling: 7e6, burst: 1e6 });
    expect(back).toMatchObject({ rate: 9e6, ceiling: 0 });
  });
});

describe("the kernel is told", () => {
  const types = (messages: readonly Buffer[]): number[] =>
    messages.flatMap((one) => parseMessages(one)).map(({ type }) => type);
  it("of a bucket, or of classes with filters for both families and both ends", () => {
    const plain = { ...unshaped.in, rate: 1e6 };
    expect(types(rootMessages(5, plain))).toEqual([36]);
    const web = {
      name: "web",
      protocol: "tcp" as const,
      ports: [{ first: 80, last: 80 }],
      rate: 1e6,
      ceiling: 0,
      priority: 0,
    };
    // A root, its class, the class, the rest, and four filters.
    expect(types(rootMessages(5, { ...plain, rate: 2e6, classes: [web] }))).toEqual([
      36, 40, 40, 40, 44, 44, 44, 44,
    ]);
  });
  it("of an ifb for what is sent, with its root before anything is led to it", () => {
    const shape = { ...unshaped, out: { ...unshaped.out, rate: 1e6 } };
    expect(types(shapeMessages(5, shape, { name: "ifbx", index: 9 }))).toEqual([16, 36, 36, 44]);
    expect(shapeMessages(5, unshaped, undefined)).toEqual([]);
  });
  it("of changes only, where classes stay what they are", () => {
    const one = (name: string, rate: number, port: number) => ({
      name,
      protocol: "tcp" as const,
      ports: [{ first: port, last: port }],
      rate,
      ceiling: 0,
      priority: 0,
    });
    const before = { ...unshaped.in, rate: 1e7, classes: [one("a", 1e6, 80), one("b", 1e6, 81)] };
    const change = (...classes: ReturnType<typeof one>[]) => {
      const messages = changeMessages(5, before, { ...before, classes });
      return messages && types(messages);
    };
    const settings = (count: number): number[] => Array.from({ length: count + 2 }, () => 40);
    expect(change(one("a", 2e6, 80), one("b", 1e6, 81))).toEqual(settings(2));
    // Filters of both families go, and four come; only the new class's come; only the last one's go, and it.
    expect(change(one("a", 1e6, 90), one("b", 1e6, 81))).toEqual([...settings(2), 45, 45, 44, 44, 44, 44]);
    expect(change(...before.classes, one("c", 1e6, 82))).toEqual([...settings(3), 44, 44, 44, 44]);
    expect(change(one("a", 1e6, 80))).toEqual([45, 45, 41, ...settings(1)]);
    // Another's number, or no classes at all: not in their places.
    expect(change(one("b", 1e6, 81))).toBeUndefined();
    expect(change()).toBeUndefined();
  });
  it("of ranges of ports in blocks", () => {
    expect(portBlocks(8000, 8100).length).toBeLessThan(8);
    const covered = portBlocks(1000, 1037).flatMap(({ value, mask }) =>
      Array.from({ length: 0x10000 - mask }, (_, index) => value + index),
    );
    expect(covered).toEqual(Array.from({ length: 38 }, (_, index) => 1000 + index));
  });
});
