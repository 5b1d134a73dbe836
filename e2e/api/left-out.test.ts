// What a request leaves out, says as nothing, or says: how inspect and the lists show it, and, where TSD_PEER_DOCKER_HOST
// names a real dockerd's socket, that it shows the same, key by key.
import { existsSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Answer, apiRequest } from "../harness/api.ts";
import { TestDaemon } from "../harness/daemon.ts";

const peer = (process.env.TSD_PEER_DOCKER_HOST ?? "").replace("unix://", "");
const hasPeer = peer !== "" && existsSync(peer);
const NAME = "tsd-left-out";
const NETWORK = "tsd-left-out-network";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("left-out");
  await daemon.importBusybox();
});
const sockets = (): string[] => [daemon.socket, ...(hasPeer ? [peer] : [])];
afterEach(async () => {
  for (const socket of sockets()) {
    await ask(socket, "DELETE", `/containers/${NAME}?force=1&v=1`);
    await ask(socket, "DELETE", `/networks/${NETWORK}`);
  }
});
afterAll(() => daemon.stop());

const ask = (socket: string, method: string, path: string, body?: unknown): Promise<Answer> =>
  apiRequest(socket, method, `/v1.45${path}`, body);

type Fields = Record<string, unknown>;
interface Shown {
  HostConfig: Fields;
  Config: Fields;
}

/** The container that such a request makes, as inspect shows it. */
async function inspect(socket: string, body: object): Promise<Shown> {
  const made = await ask(socket, "POST", `/containers/create?name=${NAME}`, { Image: "busybox", ...body });
  expect(made.status, made.text).toBe(201);
  const { text } = await ask(socket, "GET", `/containers/${NAME}/json`);
  return JSON.parse(text) as Shown;
}

const fields = (names: string, value: unknown): Fields =>
  Object.fromEntries(names.split(" ").map((name) => [name, value]));

const kept =
  "Binds Devices Ulimits DeviceCgroupRules DeviceRequests BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps " +
  "BlkioDeviceReadIOps BlkioDeviceWriteIOps CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd SecurityOpt VolumesFrom";
const optional = "Mounts Links";
const maps = "Annotations StorageOpt Tmpfs Sysctls";
const ours =
  "HugetlbLimits NetClassId NetPriorities NetworkShape TimeOffset CapAmbient Defence Type SeccompTrace";
const absent = (names: string): Fields => fields(names, undefined);

const nothing: Shown = {
  HostConfig: {
    ...fields(kept, null),
    ...fields("PortBindings Links MemorySwappiness PidsLimit", null),
    ...absent(`Mounts Init ${maps} ${ours}`),
    LogConfig: { Type: "json-file", Config: {} },
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    ConsoleSize: [0, 0],
  },
  Config: {
    ...fields("Env Volumes Entrypoint OnBuild", null),
    ...absent("ExposedPorts Healthcheck Shell StopSignal StopTimeout MacAddress"),
    Cmd: ["sh"],
    Labels: {},
  },
};
const empty: Shown = {
  HostConfig: { ...nothing.HostConfig, ...fields(kept, []), PortBindings: {} },
  Config: { ...nothing.Config, Entrypoint: [], OnBuild: [], Healthcheck: {} },
};

/** What a request says, and what of the answer is fixed. */
const cases: Readonly<Record<string, [body: object, expected: { [K in keyof Shown]?: Fields }]>> = {
  nothing: [{}, nothing],
  "no field of the host's": [{ HostConfig: {} }, nothing],
  "null everywhere": [
    {
      ...fields("Env Cmd Entrypoint OnBuild Shell ExposedPorts Volumes Labels Healthcheck StopTimeout", null),
      NetworkingConfig: null,
      HostConfig: {
        ...fields(`${kept} ${optional} ${maps} PortBindings RestartPolicy ConsoleSize LogConfig`, null),
        ...fields("MemorySwappiness OomKillDisable PidsLimit Init Memory MaskedPaths ReadonlyPaths", null),
      },
    },
    nothing,
  ],
  "empty everywhere": [
    {
      ...fields("Env Cmd Entrypoint OnBuild Shell", []),
      ...fields("ExposedPorts Volumes Labels Healthcheck", {}),
      HostConfig: { ...fields(`${kept} ${optional}`, []), ...fields(`${maps} PortBindings`, {}) },
    },
    empty,
  ],
  zeros: [
    { StopTimeout: 0, HostConfig: { PidsLimit: 0, MemorySwappiness: 0, Init: false, Memory: 0 } },
    { Config: { StopTimeout: 0 }, HostConfig: { Init: false, PidsLimit: null, MemorySwappiness: 0 } },
  ],
  "no paths to hide": [
    { HostConfig: { MaskedPaths: [], ReadonlyPaths: [] } },
    { HostConfig: { MaskedPaths: [], ReadonlyPaths: [] } },
  ],
  privileged: [
    { HostConfig: { Privileged: true } },
    { HostConfig: { MaskedPaths: null, ReadonlyPaths: null } },
  ],
  "an empty entrypoint": [{ Entrypoint: [], Cmd: ["x"] }, { Config: { Entrypoint: [], Cmd: ["x"] } }],
  "an entrypoint that is reset": [{ Entrypoint: [""], Cmd: ["x"] }, { Config: { Entrypoint: null } }],
  "an entrypoint with an empty command": [{ Entrypoint: ["e"], Cmd: [] }, { Config: { Cmd: [] } }],
  values: [
    {
      Env: ["A=b"],
      StopTimeout: 3,
      HostConfig: {
        PortBindings: { "80/tcp": [{ HostPort: "18080" }], "82/tcp": [], "83/tcp": null },
        Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/n", CgroupPermissions: "rwm" }],
        Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }],
        Sysctls: { "net.ipv4.ip_forward": "1" },
        Memory: 64 << 20,
        PidsLimit: 50,
      },
    },
    {
      Config: { Env: ["A=b"], StopTimeout: 3 },
      HostConfig: {
        PortBindings: { "80/tcp": [{ HostIp: "", HostPort: "18080" }], "82/tcp": [], "83/tcp": null },
        Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/n", CgroupPermissions: "rwm" }],
        Ulimits: [{ Name: "nofile", Hard: 200, Soft: 100 }],
        BlkioWeightDevice: null,
        MemorySwap: 128 << 20,
        PidsLimit: 50,
      },
    },
  ],
};

describe.each(Object.entries(cases))("a request that says: %s", (_, [body, expected]) => {
  it("is shown so", async () => {
    const shown = await inspect(daemon.socket, body);
    for (const part of ["HostConfig", "Config"] as const)
      for (const [name, value] of Object.entries(expected[part] ?? {}))
        expect([name, shown[part][name]]).toEqual([name, value]);
  });

  it.skipIf(!hasPeer)("is shown as by dockerd", async () => {
    // The name is the id's beginning; the runtime is another, and control groups of version 1 have the host's namespace there.
    const comparable = async (socket: string): Promise<Shown> => {
      const { HostConfig, Config } = await inspect(socket, body);
      const { CgroupnsMode, Runtime, ...host } = HostConfig;
      const { Hostname, ...config } = Config;
      expect([CgroupnsMode, Runtime, Hostname]).not.toContain(undefined);
      return { HostConfig: host, Config: config };
    };
    expect(await comparable(daemon.socket)).toEqual(await comparable(peer));
  });
});

describe("networks", () => {
  const endpoint = { Aliases: ["al"], DriverOpts: { a: "b" } };
  const listed = async (socket: string): Promise<Fields> => {
    await ask(socket, "POST", "/networks/create", { Name: NETWORK });
    const NetworkingConfig = { EndpointsConfig: { [NETWORK]: endpoint } };
    await inspect(socket, { HostConfig: { NetworkMode: NETWORK }, NetworkingConfig });
    const { text } = await ask(socket, "GET", `/containers/json?all=1&filters={"name":["${NAME}"]}`);
    const [{ NetworkSettings }] = JSON.parse(text) as [
      { NetworkSettings: { Networks: Record<string, Fields> } },
    ];
    return NetworkSettings.Networks[NETWORK] ?? {};
  };
  const told = (shown: Fields): unknown[] => [shown.Aliases, shown.DriverOpts, shown.Links, shown.DNSNames];

  it("in a list do not tell what was asked of them", async () => {
    for (const socket of sockets()) expect(told(await listed(socket))).toEqual([null, null, null, null]);
  });

  it("without addresses have no list of these", async () => {
    for (const socket of sockets())
      for (const name of ["host", "none"]) {
        const { text } = await ask(socket, "GET", `/networks/${name}`);
        expect((JSON.parse(text) as { IPAM: Fields }).IPAM).toEqual({
          Driver: "default",
          Options: null,
          Config: null,
        });
      }
  });
});
