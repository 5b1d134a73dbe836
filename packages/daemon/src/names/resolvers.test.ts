// Whom to ask.
import { describe, expect, it } from "vitest";
import { resolversFor } from "./resolvers.ts";

const host =
  "# a comment\nnameserver 127.0.0.53\n  nameserver 10.0.0.1 # why\nnameserver fd00::1\nnameserver fe80::1%eth0\nnameserver x\n";

describe("servers", () => {
  it("are the host's, its loopback asked from its own side", () => {
    expect(resolversFor([], host, true)).toEqual([
      { address: "127.0.0.53", fromHost: true },
      { address: "10.0.0.1", fromHost: false },
      { address: "fd00::1", fromHost: false },
    ]);
    expect(resolversFor([], host, false)[2]).toEqual({ address: "fd00::1", fromHost: true });
  });

  it("that were asked for are reached from the container, its own loopback too", () => {
    expect(resolversFor(["127.0.0.1", "10.9.9.9"], host, false)).toEqual([
      { address: "127.0.0.1", fromHost: false },
      { address: "10.9.9.9", fromHost: false },
    ]);
  });
});
