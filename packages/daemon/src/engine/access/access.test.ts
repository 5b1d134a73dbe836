// Who gets which role, what a role allows, and how far a create may go.
import { describe, expect, it } from "vitest";
import { containerCreateSchema } from "../../api/schemas/container-create.ts";
import { Caller, type Peer } from "./caller.ts";
import { checkCreate } from "./create-limits.ts";
import { fitsPatterns } from "./image-patterns.ts";
import { allPermissions, expandPatterns, isChange } from "./permissions.ts";
import { Policy } from "./policy.ts";
import { builtInRoles } from "./role.ts";

const certificate = (commonName: string, ...organizationalUnits: string[]): Peer => ({
  kind: "certificate",
  commonName,
  organizationalUnits,
  alternativeNames: ["DNS:laptop.test"],
  serial: "1",
  fingerprint: "",
  expires: Number.POSITIVE_INFINITY,
});
const unix = (uid: number, gid = uid): Peer => ({ kind: "unix", uid, gid, pid: 1 });
const roleOf = (policy: Policy, peer: Peer): string | undefined => policy.callerOf(peer, "here").role?.name;

describe("permissions", () => {
  it("patterns name operations, and only those that there are", () => {
    expect(expandPatterns(["container:start"]).has("container:start")).toBe(true);
    expect([...expandPatterns(["container:*"])].every((one) => /^(container|system):/.test(one))).toBe(true);
    expect(expandPatterns(["*:list"]).has("image:list")).toBe(true);
    expect(expandPatterns(["*"]).size).toBe(allPermissions.length);
    for (const wrong of ["container:fly", "containers:*", "", "container", ":start"])
      expect(() => expandPatterns([wrong]), wrong).toThrow("names no operation");
  });
  it("of a viewer change nothing", () => {
    expect([...(builtInRoles.viewer?.permissions ?? [])].filter(isChange)).toEqual([]);
  });
  it("of an operator are not those of the machine's owner", () => {
    const permissions = builtInRoles.operator?.permissions ?? new Set();
    for (const none of ["system:shutdown", "audit:read", "metrics:read", "swarm:change"] as const)
      expect(permissions.has(none)).toBe(false);
  });
});

describe("roles without a file", () => {
  const policy = Policy.docker();
  it("are Docker's: everybody is admin, but who is named otherwise by a certificate", () => {
    expect(roleOf(policy, unix(0))).toBe("admin");
    expect(roleOf(policy, unix(1000))).toBe("admin");
    expect(roleOf(policy, { kind: "anonymous" })).toBe("admin");
    expect(roleOf(policy, certificate("plain"))).toBe("admin");
    expect(roleOf(policy, certificate("vera", "tsd:viewer", "Sales"))).toBe("viewer");
  });
  it("a certificate that names no role that there is, or two, has none", () => {
    for (const units of [["tsd:king"], ["tsd:viewer", "tsd:admin"], ["tsd:"]])
      expect(roleOf(policy, certificate("x", ...units)), units.join()).toBeUndefined();
    expect(policy.callerOf(certificate("x", "tsd:king"), "").reason).toContain('"king"');
  });
  it("strangers may ping", () => {
    const stranger = policy.callerOf({ kind: "stranger" }, "");
    expect(stranger.allows("system:ping")).toBe(true);
    expect(stranger.allows("system:whoami")).toBe(false);
  });
});

describe("a roles file", () => {
  const policy = Policy.parse({
    version: 1,
    roles: { ci: { allow: ["container:*"] } },
    callers: [
      { match: { commonName: "build", organizationalUnit: "Build" }, role: "ci" },
      { match: { alternativeName: "DNS:laptop.test", commonName: "mobile" }, role: "viewer" },
      { match: { uid: 1000 }, role: "operator" },
      { match: { gid: 50 }, role: "viewer" },
    ],
  });
  it("gives roles by all that an entry asks for, the first entry first", () => {
    expect(roleOf(policy, certificate("build", "Build"))).toBe("ci");
    expect(roleOf(policy, certificate("build"))).toBeUndefined();
    expect(roleOf(policy, certificate("mobile"))).toBe("viewer");
    expect(roleOf(policy, unix(1000, 50))).toBe("operator");
    expect(roleOf(policy, unix(1001, 50))).toBe("viewer");
    expect(roleOf(policy, unix(1001))).toBeUndefined();
    expect(roleOf(policy, unix(0))).toBe("admin");
    expect(roleOf(policy, certificate("any", "tsd:ci"))).toBe("ci");
  });
  it("may say that certificates don't name roles themselves", () => {
    const strict = Policy.parse({ version: 1, certificateRoles: false });
    expect(roleOf(strict, certificate("x", "tsd:admin"))).toBeUndefined();
  });
  it("with something wrong in it is refused, and the field named", () => {
    const wrong: [unknown, RegExp][] = [
      [{}, /version/],
      [{ version: 2 }, /version/],
      [{ version: 1, rolls: {} }, /rolls/],
      [
        { version: 1, roles: { ci: { allow: ["container:fly"] } } },
        /roles\.ci\.allow\.0: "container:fly" names no/,
      ],
      [{ version: 1, roles: { admin: { allow: [] } } }, /roles\.admin: built in/],
      [{ version: 1, roles: { ci: { allow: [], limits: { bindSources: ["/a/../b"] } } } }, /bindSources\.0/],
      [{ version: 1, roles: { ci: { allow: [], limits: { bindSources: ["a"] } } } }, /bindSources\.0/],
      [{ version: 1, roles: { ci: { allow: [], limits: { capabilities: ["FLY"] } } } }, /capabilities\.0/],
      [{ version: 1, roles: { ci: { allow: [], limits: { memory: "lots" } } } }, /memory/],
      [{ version: 1, callers: [{ match: {}, role: "viewer" }] }, /callers\.0\.match: matches nobody/],
      [
        { version: 1, callers: [{ match: { uid: 1, commonName: "x" }, role: "viewer" }] },
        /callers\.0\.match/,
      ],
      [
        { version: 1, callers: [{ match: { uid: 1 }, role: "nosuch" }] },
        /callers\.0\.role: there is no role/,
      ],
      [{ version: 1, defaults: { unix: "nosuch" } }, /defaults\.unix/],
    ];
    for (const [content, reason] of wrong)
      expect(() => Policy.parse(content), String(reason)).toThrow(reason);
  });
  it("is warned about where it gives the machine away", () => {
    const { warnings } = Policy.parse({
      version: 1,
      roles: { ci: { allow: ["container:create"], limits: { privileged: true, bindSources: ["/"] } } },
      defaults: { certificate: "admin" },
    });
    expect(warnings).toHaveLength(3);
  });
});

describe("callers", () => {
  it("see what is theirs, or everything", () => {
    const policy = Policy.parse({
      version: 1,
      roles: { ci: { allow: ["*"], scope: "own" } },
      defaults: { certificate: "ci" },
    });
    const ann = policy.callerOf(certificate("ann"), "");
    expect([ann.sees("cert:ann"), ann.sees("cert:ben"), ann.sees("")]).toEqual([true, false, false]);
    const root = policy.callerOf(unix(0), "");
    expect([root.sees("cert:ann"), root.sees("")]).toEqual([true, true]);
    const nobody = new Caller("cert:x", "", undefined);
    expect(nobody.sees("cert:x")).toBe(false);
  });
});

describe("a create's limits", () => {
  const operator = new Caller("cert:otto", "", builtInRoles.operator);
  const ask = (hostConfig: object): (() => void) => {
    const request = containerCreateSchema.parse({ Image: "x", HostConfig: hostConfig });
    return () => checkCreate(operator, request);
  };
  it("name the field and the role", () => {
    expect(ask({ Privileged: true })).toThrow(
      "authorization denied: role operator of cert:otto does not allow HostConfig.Privileged",
    );
    expect(ask({ CapAdd: ["sys_admin"] })).toThrow("HostConfig.CapAdd: capability SYS_ADMIN");
    expect(ask({ PidMode: "host" })).toThrow("HostConfig.PidMode: the host's pid namespace");
  });
  it("let pass what stays within the container", () => {
    expect(ask({})).not.toThrow();
    expect(ask({ Memory: 1 << 30, CapDrop: ["ALL"], CapAdd: ["CHOWN"], ReadonlyRootfs: true })).not.toThrow();
    expect(ask({ SecurityOpt: ["no-new-privileges"], Tmpfs: { "/tmp": "" } })).not.toThrow();
  });
  it("are not an admin's", () => {
    const request = containerCreateSchema.parse({
      Image: "x",
      HostConfig: { Privileged: true, PidMode: "host" },
    });
    expect(() => checkCreate(new Caller("unix:0", "", builtInRoles.admin), request)).not.toThrow();
  });
});

describe("image patterns", () => {
  it("fit a name with or without its tag, whole", () => {
    expect(fitsPatterns("busybox:latest", ["busybox"])).toBe(true);
    expect(fitsPatterns("busybox:1.36", ["busybox:1.36"])).toBe(true);
    expect(fitsPatterns("reg.test:5000/team/app:v1", ["reg.test:5000/team/*"])).toBe(true);
    expect(fitsPatterns("anything/else:x", ["*"])).toBe(true);
    for (const other of ["busybox2:latest", "my/busybox:latest", "busybox.evil:latest"])
      expect(fitsPatterns(other, ["busybox"]), other).toBe(false);
    expect(fitsPatterns("regxtest/team/app:v1", ["reg.test/team/*"])).toBe(false);
  });
});
