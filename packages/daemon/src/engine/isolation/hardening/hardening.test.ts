// Every check of the configuration finds what it is for, and nothing where all is well.
import { describe, expect, it } from "vitest";
import { containerCreateSchema } from "../../../api/schemas/container-create.ts";
import { type ContainerFacts, containerChecks } from "./container-checks.ts";
import { type DaemonFacts, daemonChecks } from "./daemon-checks.ts";
import { findingsOf } from "./finding.ts";

const now = new Date("2026-01-01T00:00:00Z");
const own = (path: string, mode: number, uid = 0) => ({ path, mode, uid });

const wellKept: DaemonFacts = {
  sockets: [own("/run/tsd.sock", 0o140660)],
  socketGroup: { name: "tsd", members: [] },
  tcp: [{ address: "tcp://0.0.0.0:2376", loopback: false }],
  tls: "mutual",
  allowUnauthenticatedTcp: false,
  anonymousPing: false,
  requestsPerSecond: 100,
  rolesFile: own("/etc/tsd/roles.json", 0o100644),
  policyWarnings: [],
  privateKeys: [own("/etc/tsd/key.pem", 0o100600)],
  trustedFiles: [own("/etc/tsd/ca.pem", 0o100644)],
  expiries: [{ what: "certificate", when: new Date("2027-01-01T00:00:00Z") }],
  revocationList: true,
  auditKey: { given: true },
  dataRoot: own("/var/lib/tsd", 0o40711),
  dataRootOnRootFileSystem: false,
  execRoot: own("/run/tsd", 0o40711),
  logLevel: "info",
  iptables: true,
  icc: false,
  insecureRegistries: ["127.0.0.0/8"],
  imagePolicy: true,
  defaultPids: 4096,
  defaultUlimits: ["nofile"],
  defaultLayerSize: "10g",
  verifyInterval: 300_000,
  defence: "report",
  kernel: { release: "6.12.1", securityModules: ["apparmor"], seccomp: true },
  sysctls: {
    "kernel.unprivileged_bpf_disabled": "2",
    "kernel.kptr_restrict": "1",
    "kernel.core_pattern": "core",
  },
  now,
};

/** For each check what has to be otherwise. The compiler sees only strings: the test below that none is missing. */
const ill: Readonly<Record<string, Partial<DaemonFacts>>> = {
  "daemon.socket.mode": { sockets: [own("/run/tsd.sock", 0o140666)] },
  "daemon.socket.group": { socketGroup: { name: "tsd", members: ["ann"] }, rolesFile: undefined },
  "daemon.tcp.plain": { tls: "none" },
  "daemon.tcp.anonymous": { tls: "server" },
  "daemon.tcp.allowed": { allowUnauthenticatedTcp: true },
  "daemon.tcp.rate": { requestsPerSecond: 0 },
  "daemon.ping.anonymous": { anonymousPing: true },
  "daemon.roles.missing": { rolesFile: undefined },
  "daemon.roles.defaults": { policyWarnings: ["defaults.unix: everybody is root"] },
  "daemon.files.writable": { trustedFiles: [own("/etc/tsd/ca.pem", 0o100666)] },
  "daemon.keys.mode": { privateKeys: [own("/etc/tsd/key.pem", 0o100640)] },
  "daemon.certificates.expiry": { expiries: [{ what: "certificate", when: new Date("2026-01-09") }] },
  "daemon.certificates.revocation": { revocationList: false },
  "daemon.audit.key": { auditKey: { given: false } },
  "daemon.data-root.mode": { dataRoot: own("/var/lib/tsd", 0o40755) },
  "daemon.data-root.partition": { dataRootOnRootFileSystem: true },
  "daemon.exec-root.mode": { execRoot: own("/run/tsd", 0o40777) },
  "daemon.log.level": { logLevel: "debug" },
  "daemon.firewall": { iptables: false },
  "daemon.icc": { icc: true },
  "daemon.registries.insecure": { insecureRegistries: ["registry.example"] },
  "daemon.images.policy": { imagePolicy: false },
  "daemon.defaults.pids": { defaultPids: undefined },
  "daemon.defaults.ulimits": { defaultUlimits: [] },
  "daemon.defaults.storage": { defaultLayerSize: undefined },
  "daemon.verify": { verifyInterval: 0 },
  "daemon.defence": { defence: "off" },
  "host.kernel.version": { kernel: { ...wellKept.kernel, release: "5.10.0" } },
  "host.kernel.seccomp": { kernel: { ...wellKept.kernel, seccomp: false } },
  "host.kernel.security-module": { kernel: { ...wellKept.kernel, securityModules: ["capability"] } },
  "host.kernel.bpf": { sysctls: { "kernel.unprivileged_bpf_disabled": "0" } },
  "host.kernel.pointers": { sysctls: { "kernel.kptr_restrict": "0" } },
  "host.kernel.core-pattern": { sysctls: { "kernel.core_pattern": "|/bin/catch %p" } },
};

describe("checks of the daemon", () => {
  it("find nothing where all is well", () => {
    expect(findingsOf(daemonChecks, wellKept)).toEqual([]);
  });
  it("are all tried below", () => {
    expect(daemonChecks.map(({ id }) => id).sort()).toEqual(Object.keys(ill).sort());
  });
  for (const [id, change] of Object.entries(ill))
    it(`find ${id}`, () => {
      const found = findingsOf(daemonChecks, { ...wellKept, ...change });
      expect(found.map((one) => one.id)).toContain(id);
      // What stands beside it stands there for a reason of its own.
      expect(found.length).toBeLessThanOrEqual(2);
    });
  it("weigh what has expired more than what will, and loopback less than the world", () => {
    const expired = findingsOf(daemonChecks, {
      ...wellKept,
      expiries: [{ what: "x", when: new Date("2025-12-01") }],
    });
    expect(expired[0]?.severity).toBe("high");
    const near = findingsOf(daemonChecks, { ...wellKept, ...ill["daemon.certificates.expiry"] });
    expect(near[0]?.severity).toBe("medium");
  });
});

type Host = ContainerFacts["definition"]["hostConfig"];
type Mount = ContainerFacts["definition"]["mounts"][number];

function facts(
  host: Partial<Host> = {},
  config: Partial<ContainerFacts["definition"]["config"]> = {},
  more: Partial<ContainerFacts> = {},
  mounts: Partial<Mount>[] = [],
): ContainerFacts {
  const {
    HostConfig,
    NetworkingConfig: _networking,
    ...base
  } = containerCreateSchema.parse({
    Image: "app@sha256:00",
    User: "1000",
    Healthcheck: { Test: ["CMD", "true"] },
    HostConfig: {
      CapDrop: ["ALL"],
      ReadonlyRootfs: true,
      Memory: 64 << 20,
      NanoCpus: 1e9,
      PidsLimit: 10,
      SecurityOpt: ["no-new-privileges"],
      MaskedPaths: ["/proc/kcore"],
      ReadonlyPaths: ["/proc/sys"],
    },
  });
  return {
    definition: {
      id: "0".repeat(64),
      name: "app",
      created: "",
      owner: "",
      imageId: "",
      config: { ...base, ...config },
      hostConfig: { ...HostConfig, ...host },
      networks: {},
      networkIds: {},
      mounts: mounts as Mount[],
    },
    image: { name: "app@sha256:00", signed: true, createdDaysAgo: 3 },
    daemonPaths: ["/run/tsd.sock"],
    dataRoot: "/var/lib/tsd",
    published: [],
    processes: ["app"],
    hostUsers: false,
    defaultPids: 4096,
    securityModules: ["apparmor"],
    ...more,
  };
}
const bind = (source: string, readOnly = false): Partial<Mount> => ({
  type: "bind",
  source,
  target: "/there",
  readOnly,
  propagation: "rprivate",
});
const port = { hostAddress: "10.0.0.1", hostPort: 8080, containerPort: 80, protocol: "tcp" };

const illContainers: Readonly<Record<string, ContainerFacts>> = {
  "container.privileged": facts({ Privileged: true }),
  "container.capabilities.added": facts({ CapAdd: ["SYS_ADMIN"] }),
  "container.capabilities.kept": facts({ CapDrop: [] }),
  "container.namespace.network": facts({ NetworkMode: "host" }),
  "container.namespace.pid": facts({ PidMode: "host" }),
  "container.namespace.ipc": facts({ IpcMode: "host" }),
  "container.namespace.uts": facts({ UTSMode: "host" }),
  "container.namespace.cgroup": facts({ CgroupnsMode: "host" }),
  "container.namespace.user": facts({ UsernsMode: "host" }),
  "container.seccomp.unconfined": facts({ SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] }),
  "container.label.disabled": facts({ SecurityOpt: ["no-new-privileges", "apparmor=unconfined"] }),
  "container.paths.unmasked": facts({ MaskedPaths: [] }),
  "container.new-privileges": facts({ SecurityOpt: [] }),
  "container.mounts.sensitive": facts({}, {}, {}, [bind("/etc")]),
  "container.mounts.propagation": facts({}, {}, {}, [{ ...bind("/srv"), propagation: "rshared" }]),
  "container.devices": facts({
    Devices: [{ PathOnHost: "/dev/sda", PathInContainer: "/dev/sda", CgroupPermissions: "rwm" }],
  }),
  "container.limits.memory": facts({ Memory: 0 }),
  "container.limits.cpu": facts({ NanoCpus: 0 }),
  "container.limits.pids": facts({ PidsLimit: -1 }),
  "container.limits.storage": facts({ ReadonlyRootfs: false }),
  "container.oom.disabled": facts({ OomKillDisable: true }),
  "container.oom.score": facts({ OomScoreAdj: -500 }),
  "container.user.root": facts({}, { User: "" }),
  "container.user.host": facts({}, {}, { hostUsers: true }),
  "container.root.writable": facts({ ReadonlyRootfs: false }),
  "container.ports.low": facts({}, {}, { published: [{ ...port, hostPort: 80 }] }),
  "container.ports.everywhere": facts({}, {}, { published: [{ ...port, hostAddress: "0.0.0.0" }] }),
  "container.health": facts({}, { Healthcheck: null }),
  "container.restart.unbounded": facts({ RestartPolicy: { Name: "always", MaximumRetryCount: 0 } }),
  "container.image.pinned": facts({}, {}, { image: { name: "app:latest", signed: true, createdDaysAgo: 3 } }),
  "container.image.unsigned": facts(
    {},
    {},
    { image: { name: "app@sha256:00", signed: false, createdDaysAgo: 3 } },
  ),
  "container.image.old": facts(
    {},
    {},
    { image: { name: "app@sha256:00", signed: true, createdDaysAgo: 700 } },
  ),
  "container.environment.secrets": facts({}, { Env: ["DB_PASSWORD=x"] }),
  "container.ssh": facts({}, {}, { processes: ["sshd"] }),
  "container.log.none": facts({ LogConfig: { Type: "none", Config: {} } }),
  "container.cgroup-parent": facts({ CgroupParent: "/mine" }),
  "container.system": facts({ Type: "system" }),
};

describe("checks of containers", () => {
  it("find nothing about one that asks for little", () => {
    expect(findingsOf(containerChecks, facts())).toEqual([]);
  });
  it("are all tried below, and there are no two of one name", () => {
    expect(containerChecks.map(({ id }) => id).sort()).toEqual(Object.keys(illContainers).sort());
  });
  for (const [id, ill] of Object.entries(illContainers))
    it(`find ${id}`, () => {
      const found = findingsOf(containerChecks, ill, "app");
      expect(found.map((one) => one.id)).toContain(id);
      expect(found.length).toBeLessThanOrEqual(2);
    });
  it("weigh binds by what they lead to", () => {
    const severityOf = (mount: Partial<Mount>): string | undefined =>
      findingsOf(containerChecks, facts({}, {}, {}, [mount]))[0]?.severity;
    expect(severityOf(bind("/"))).toBe("critical");
    expect(severityOf(bind("/", true))).toBe("critical");
    expect(severityOf(bind("/var/run/docker.sock", true))).toBe("critical");
    expect(severityOf(bind("/run/tsd.sock"))).toBe("critical");
    expect(severityOf(bind("/var/lib/tsd/volumes"))).toBe("critical");
    expect(severityOf(bind("/etc/"))).toBe("high");
    expect(severityOf(bind("/etc", true))).toBe("medium");
    expect(severityOf(bind("/etc/nginx", true))).toBe("low");
    expect(severityOf(bind("/srv/data"))).toBeUndefined();
  });
  it("never tell a secret itself", () => {
    const found = findingsOf(containerChecks, facts({}, { Env: ["API_TOKEN=abc123"] }));
    expect(JSON.stringify(found)).not.toContain("abc123");
  });
});
