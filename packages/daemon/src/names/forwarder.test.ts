// Passing on, as data: which servers are asked when, what is kept, and what is refused.
import { beforeEach, describe, expect, it } from "vitest";
import type { Resolver } from "./directory.ts";
import type { Ask, Heard, Transport } from "./exchange.ts";
import { defaultForwardLimits, Forwarder, Origin } from "./forwarder.ts";
import type { Query, UpstreamAnswer } from "./message.ts";
import { query, soa, upstreamAnswer } from "./samples.ts";

interface Asked {
  address: string;
  transport: Transport;
  name: string;
  beside: number | undefined;
  timeout: number;
  hear: Heard;
  abandoned: boolean;
}

let asked: Asked[];
let clock: number;
let forwarder: Forwarder;
const ask: Ask = ({ address, beside }, transport, { question }, timeout, heard) => {
  const entry: Asked = {
    address,
    transport,
    name: question.name,
    beside,
    timeout,
    hear: heard,
    abandoned: false,
  };
  asked.push(entry);
  return () => {
    entry.abandoned = true;
  };
};
const limits = { ...defaultForwardLimits, outstanding: 5, outstandingOfOne: 3 };
const one: Resolver[] = [{ address: "10.0.0.1", fromHost: false }];
const two: Resolver[] = [...one, { address: "10.0.0.2", fromHost: true }];

beforeEach(() => {
  asked = [];
  clock = 1_000_000;
  forwarder = new Forwarder(ask, () => clock, limits);
});

/** Answers as they come: undefined is "none". */
function forward(origin: Origin, servers: readonly Resolver[], what: Query): (UpstreamAnswer | undefined)[] {
  const heard: (UpstreamAnswer | undefined)[] = [];
  forwarder.forward(origin, servers, what, (answer) => heard.push(answer));
  return heard;
}
const last = (): Asked => asked.at(-1) as Asked;
const origin = (scope = "1"): Origin => new Origin(scope, 42);

describe("a question", () => {
  it("goes to the first server, from its side, and its answer is kept", () => {
    const from = origin();
    const heard = forward(from, two, query("x"));
    expect(last()).toMatchObject({ address: "10.0.0.1", transport: "udp", beside: 42, timeout: 2000 });
    last().hear(upstreamAnswer("x"));
    expect(heard).toHaveLength(1);
    expect(forwarder.outstanding).toBe(0);
    clock += 59_000;
    expect(forward(from, two, query("X."))).toHaveLength(1);
    expect(asked).toHaveLength(1);
    clock += 1000;
    expect(forward(from, two, query("x"))).toHaveLength(0);
    expect(asked).toHaveLength(2);
  });

  it("goes to the next server when one is silent, and that one is asked last from then on", () => {
    const from = origin();
    const heard = forward(from, two, query("x"));
    clock += 2000;
    last().hear(undefined);
    expect(last()).toMatchObject({ address: "10.0.0.2", beside: undefined });
    last().hear(upstreamAnswer("x"));
    expect(heard[0]).toBeDefined();
    forward(from, two, query("y"));
    expect(last().address).toBe("10.0.0.2");
    clock += 30_001;
    forward(from, two, query("z"));
    expect(last().address).toBe("10.0.0.1");
  });

  it("goes to the next server when one fails or refuses; if all do, there is no answer, and it is not kept", () => {
    const from = origin();
    const heard = forward(from, two, query("x"));
    last().hear(upstreamAnswer("x", { code: 2, answers: [] }));
    last().hear(upstreamAnswer("x", { code: 5, answers: [] }));
    expect(heard).toEqual([undefined]);
    expect(asked).toHaveLength(2);
    forward(from, two, query("x"));
    expect(asked).toHaveLength(3);
  });

  it("is asked again of a silent server, once, and within the deadline", () => {
    const heard = forward(origin(), one, query("x"));
    clock += 2000;
    last().hear(undefined);
    clock += 2000;
    last().hear(undefined);
    expect(heard).toEqual([undefined]);
    expect(asked).toHaveLength(2);
    const many = [1, 2, 3, 4, 5].map((n) => ({ address: `10.0.0.${n}`, fromHost: true }));
    const later = forward(origin("2"), many, query("y"));
    for (let round = 0; later.length === 0; round++) {
      if (round > 10) throw new Error("no end");
      clock += last().timeout;
      last().hear(undefined);
    }
    expect(asked).toHaveLength(2 + 4);
  });

  it("whose answer was cut is asked again over TCP; without an answer there the cut one has to do", () => {
    const heard = forward(origin(), one, query("x"));
    last().hear(upstreamAnswer("x", { truncated: true }));
    expect(last()).toMatchObject({ transport: "tcp", address: "10.0.0.1" });
    last().hear(upstreamAnswer("x"));
    expect(heard[0]?.truncated).toBe(false);
    const cut = forward(origin(), one, query("y"));
    last().hear(upstreamAnswer("y", { truncated: true }));
    last().hear(undefined);
    expect(cut[0]?.truncated).toBe(true);
    expect(forward(origin(), one, query("y"))).toEqual([]);
  });

  it("that others ask too is asked once", () => {
    const from = origin();
    const first = forward(from, one, query("x"));
    const second = forward(from, one, query("X"));
    expect(asked).toHaveLength(1);
    last().hear(upstreamAnswer("x"));
    expect([first.length, second.length]).toEqual([1, 1]);
    expect([forwarder.outstanding, from.outstanding]).toEqual([0, 0]);
  });

  it("about what is not there is kept as the zone says", () => {
    const from = origin();
    forward(from, one, query("x"));
    last().hear(upstreamAnswer("x", { code: 3, answers: [], authorities: [soa("x", 60, 30)] }));
    expect(forward(from, one, query("x"))[0]?.code).toBe(3);
    clock += 30_000;
    forward(from, one, query("x"));
    expect(asked).toHaveLength(2);
  });
});

describe("containers", () => {
  it("do not share what was asked in their own networks, but what the host's resolver said", () => {
    forward(origin("1"), one, query("x"));
    last().hear(upstreamAnswer("x"));
    expect(forward(origin("2"), one, query("x"))).toEqual([]);
    const host: Resolver[] = [{ address: "127.0.0.53", fromHost: true }];
    forward(origin("1"), host, query("x"));
    last().hear(upstreamAnswer("x"));
    expect(forward(origin("2"), host, query("x"))).toHaveLength(1);
  });

  it("have a bound each, and one for all; over it there is no answer, at once", () => {
    const from = origin("1");
    for (const name of ["a", "b", "c"]) expect(forward(from, one, query(name))).toEqual([]);
    expect(forward(from, one, query("d"))).toEqual([undefined]);
    const other = origin("2");
    forward(other, one, query("a"));
    forward(other, one, query("b"));
    expect(forward(other, one, query("c"))).toEqual([undefined]);
    asked[0]?.hear(upstreamAnswer("a"));
    expect(forward(other, one, query("c"))).toEqual([]);
  });

  it("that end take their questions with them", () => {
    const from = origin("1");
    const heard = forward(from, one, query("x"));
    forwarder.abandon(from);
    expect(last().abandoned).toBe(true);
    expect(heard).toEqual([undefined]);
    expect([forwarder.outstanding, from.outstanding]).toEqual([0, 0]);
  });

  it("without servers get no answer", () => {
    expect(forward(origin(), [], query("x"))).toEqual([undefined]);
  });
});
