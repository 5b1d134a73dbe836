// The pure parts of networks: subnets, addresses, ports, options, and what is wrong with requests.
import { describe, expect, it } from "vitest";
import { endpointSchema } from "../../api/schemas/container-create.ts";
import { networkCreateSchema } from "../../api/schemas/network.ts";
import { AddressPool } from "./addresses.ts";
import { parseBridgeOptions } from "./bridge-options.ts";
import { gatewayPlace } from "./places.ts";
import { SubnetChooser } from "./pools.ts";
import { HostPorts, requestedPorts } from "./ports.ts";
import { canonicalAddress, Subnet } from "./subnet.ts";
import { checkEndpoint, checkNetworkCreate } from "./validate.ts";

const subnet = (text: string): Subnet => Subnet.parse(text) as Subnet;

describe("subnets", () => {
  it("of both families, and none of other texts", () => {
    expect(String(subnet("10.1.2.3/16"))).toBe("10.1.0.0/16");
    expect(String(subnet("fd00:0:0::1/64"))).toBe("fd00::/64");
    expect(canonicalAddress("FD00:0:0:1::10.0.0.1")).toBe("fd00::1:0:0:a00:1");
    for (const text of ["10.1.0.0", "10.1.0.0/33", "x/8", "::/129", "fe80::1%eth0/64", "1.2.3.4/5/6"])
      expect(Subnet.parse(text)).toBeUndefined();
  });
  it("overlap and hold each other", () => {
    expect(subnet("10.0.0.0/8").overlaps(subnet("10.255.0.0/16"))).toBe(true);
    expect(subnet("10.0.0.0/24").overlaps(subnet("10.0.1.0/24"))).toBe(false);
    expect(subnet("10.0.0.0/25").within(subnet("10.0.0.0/24"))).toBe(true);
    expect(subnet("10.0.0.0/24").contains("10.0.0.255")).toBe(true);
    expect(subnet("10.0.0.0/24").contains("::1")).toBe(false);
  });
});

describe("addresses", () => {
  it("are handed out once, lowest first, and come back", () => {
    const pool = new AddressPool(subnet("10.0.0.0/29"), undefined, ["10.0.0.1"]);
    const all = Array.from({ length: 5 }, () => pool.allocate());
    expect(all).toEqual(["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    expect(pool.allocate()).toBeUndefined();
    pool.release("10.0.0.4");
    expect(pool.allocate()).toBe("10.0.0.4");
    expect(pool.claim("10.0.0.4")).toBe(false);
  });
  it("come from the range that was given", () => {
    const pool = new AddressPool(subnet("10.0.0.0/24"), subnet("10.0.0.128/30"));
    expect([pool.allocate(), pool.allocate()]).toEqual(["10.0.0.128", "10.0.0.129"]);
  });
  it("of IPv6", () => {
    const pool = new AddressPool(subnet("fd00::/64"), undefined, ["fd00::1"]);
    expect(pool.allocate()).toBe("fd00::2");
  });
});

describe("subnets that nobody asked for", () => {
  it("are the first that are free", () => {
    const chooser = new SubnetChooser([{ base: "10.77.0.0/16", size: 24 }], "x");
    expect(String(chooser.choose(4, [subnet("10.77.0.0/24")]))).toBe("10.77.1.0/24");
    expect(String(chooser.choose(6, []))).toMatch(/^fd[0-9a-f:]+\/64$/);
    expect(() =>
      new SubnetChooser([{ base: "10.77.0.0/24", size: 24 }], "x").choose(4, [subnet("10.0.0.0/8")]),
    ).toThrow("could not find an available, non-overlapping IPv4 address pool");
  });
});

describe("ports", () => {
  const host = (PortBindings: object, PublishAllPorts = false) =>
    ({ PortBindings, PublishAllPorts }) as never;
  it("in all forms", () => {
    expect(
      requestedPorts(
        host({ "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080-8090" }], "53/UDP": null }, true),
        { "80/tcp": {}, "81": {} },
      ),
    ).toEqual([
      {
        containerPort: 80,
        protocol: "tcp",
        hostAddress: "127.0.0.1",
        hostPorts: { first: 8080, last: 8090 },
      },
      { containerPort: 53, protocol: "udp", hostAddress: "", hostPorts: undefined },
      { containerPort: 81, protocol: "tcp", hostAddress: "", hostPorts: undefined },
    ]);
  });
  it.each([
    [{ "x/tcp": [] }, 'invalid port specification: "x"'],
    [{ "80/tcp": [{ HostIp: "", HostPort: "99999" }] }, 'invalid port specification: "99999"'],
    [{ "80/tcp": [{ HostIp: "zz", HostPort: "" }] }, "invalid IP address: zz"],
    [{ "80/xyz": [] }, "invalid proto: xyz"],
  ])("refuses %j", (bindings, message) => {
    expect(() => requestedPorts(host(bindings), null)).toThrow(message);
  });
  it("are held once, also against an address of its own", () => {
    const ports = new HostPorts({ first: 42_000, last: 42_010 });
    const request = {
      containerPort: 80,
      protocol: "tcp" as const,
      hostAddress: "",
      hostPorts: { first: 42_500, last: 42_501 },
    };
    const binding = { hostAddress: "127.0.0.1", address: "10.0.0.2" };
    const first = ports.take("a", request, [binding]);
    const second = ports.take("b", request, [binding]);
    expect([...first, ...second].map(({ hostPort }) => hostPort)).toEqual([42_500, 42_501]);
    expect(() => ports.take("c", request, [{ ...binding, hostAddress: "0.0.0.0" }])).toThrow(
      "port is already allocated",
    );
    ports.release(first);
    expect(ports.take("c", request, [binding])).toEqual(first);
    ports.release([...first, ...second]);
  });
});

describe("the default route", () => {
  const place = (name: string, GwPriority: number, leadsOut = true) =>
    ({
      name,
      request: { GwPriority },
      network: { leadsOut },
      endpoint: { gateway: name, gateway6: "" },
    }) as never;
  it("goes by priority, then by name, and never through a closed network", () => {
    const chosen = (...places: never[]) => (gatewayPlace(places, 4) as { name: string } | undefined)?.name;
    expect(chosen(place("b", 0), place("a", 0))).toBe("a");
    expect(chosen(place("a", 0), place("b", 5))).toBe("b");
    expect(chosen(place("a", 9, false), place("b", 0))).toBe("b");
    expect(gatewayPlace([place("a", 0)], 6)).toBeUndefined();
  });
});

describe("requests", () => {
  const create = (value: object) => networkCreateSchema.parse({ Name: "n", ...value });
  const ipam = (config: object) => ({ IPAM: { Config: [config] } });
  it.each([
    [{ Name: "" }, "invalid name: "],
    [{ Name: "bridge" }, "operation is not permitted on predefined bridge network "],
    [{ Driver: "nope" }, 'plugin "nope" not found'],
    [{ Driver: "host" }, 'only one instance of "host" network is allowed'],
    [ipam({ Subnet: "bad" }), "invalid subnet bad: invalid CIDR block notation"],
    [ipam({ Subnet: "10.67.0.5/24" }), "invalid subnet 10.67.0.5/24: it should be 10.67.0.0/24"],
    [
      ipam({ Subnet: "10.67.0.0/24", Gateway: "10.99.0.1" }),
      "parent subnet 10.67.0.0/24 doesn't contain this address",
    ],
    [ipam({ Subnet: "10.67.0.0/24", IPRange: "10.99.0.0/25" }), "doesn't contain ip-range"],
    [ipam({ Subnet: "fd00::/64" }), "IPv6 is not enabled"],
  ])("%j", (value, message) => {
    expect(() => checkNetworkCreate(create(value))).toThrow(message);
  });
  it("endpoints", () => {
    const endpoint = (value: object) => endpointSchema.parse(value);
    const wrong = (value: object, userDefined: boolean, subnets: string[]) => () =>
      checkEndpoint(endpoint(value), { userDefined, subnets: subnets.map(subnet) });
    const address = (IPv4Address: string) => ({ IPAMConfig: { IPv4Address } });
    expect(wrong(address("1.2.3.4"), false, [])).toThrow(
      "* user specified IP address is supported on user defined networks only\n* ",
    );
    expect(wrong(address("1.2.3.4"), true, ["10.0.0.0/8"])).toThrow(
      "no configured subnet or ip-range contain the IP address 1.2.3.4",
    );
    expect(wrong(address("10.2.3.4"), true, ["10.0.0.0/8"])).not.toThrow();
    expect(wrong(address("bad"), true, [])).toThrow("invalid IPv4 address: bad");
    expect(wrong({ MacAddress: "zz" }, true, [])).toThrow("invalid MAC address zz");
    expect(wrong({ Aliases: ["x"] }, false, [])).toThrow("network-scoped alias");
    expect(wrong({ Aliases: ["x"] }, true, [])).not.toThrow();
  });
  it("options", () => {
    const icc = "com.docker.network.bridge.enable_icc";
    expect(() => parseBridgeOptions({ [icc]: "perhaps" }, true)).toThrow(
      'strconv.ParseBool: parsing "perhaps"',
    );
    expect(parseBridgeOptions({ [icc]: "false" }, true)).toMatchObject({
      icc: false,
      hostAccess: false,
      guard: true,
    });
    expect(parseBridgeOptions({}, true)).toMatchObject({ icc: true, hostAccess: true });
  });
});
