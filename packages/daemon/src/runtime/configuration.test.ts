// Reading a configuration: capabilities, users, mounts, environments, security options.
import { capabilityMask } from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { hostConfigSchema } from "../api/schemas/container-create.ts";
import { containerCapabilities, defaultCapabilities } from "./capabilities.ts";
import { parseBind, parseMount, parseTmpfs } from "./mounts.ts";
import { parseSecurityOptions } from "./security.ts";
import { cgroupLimits, mergeEnvironment, processEnvironment } from "./specify.ts";
import { resolveUser } from "./user.ts";

const everything = (1n << 41n) - 1n;

describe("capabilities", () => {
  const of = (add: string[], drop: string[], available = everything) =>
    containerCapabilities({ privileged: false, add, drop }, available);

  it("default to Docker's fourteen", () => {
    expect(capabilityMask(of([], []))).toBe(0xa80425fbn);
    expect(defaultCapabilities).toHaveLength(14);
  });
  it("are added and dropped by either spelling", () => {
    expect(of(["cap_sys_time"], ["CHOWN"])).toContain("SYS_TIME");
    expect(of([], ["CHOWN"])).not.toContain("CHOWN");
    expect(of(["NET_ADMIN"], ["ALL"])).toEqual(["NET_ADMIN"]);
    expect(of(["ALL"], ["SYS_ADMIN"])).toHaveLength(40);
  });
  it("are refused when unknown, or asked for by name and not there", () => {
    expect(() => of(["FOO"], [])).toThrow('invalid CapAdd: unknown capability: "CAP_FOO"');
    expect(() => of(["SYS_RESOURCE"], [], everything & ~(1n << 24n))).toThrow("not supported by your kernel");
    expect(of(["ALL"], [], 3n)).toEqual(["CHOWN", "DAC_OVERRIDE"]);
  });
});

describe("users", () => {
  const files = {
    passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/false\n# comment\nbroken\n",
    group: "root:x:0:\nweb:x:33:\nmedia:x:44:web,root\n",
  };
  it("are found by name and number, with their groups and home", () => {
    expect(resolveUser("", [], files)).toEqual({ uid: 0, gid: 0, groups: [44], home: "/root" });
    expect(resolveUser("web", [], files)).toEqual({ uid: 33, gid: 33, groups: [44], home: "/var/www" });
    expect(resolveUser("33:0", [], files)).toEqual({ uid: 33, gid: 0, groups: [], home: "/var/www" });
    expect(resolveUser("1234", ["media", "7"], files)).toEqual({
      uid: 1234,
      gid: 0,
      groups: [44, 7],
      home: undefined,
    });
  });
  it("are refused in Docker's words", () => {
    expect(() => resolveUser("nosuch", [], files)).toThrow(
      "unable to find user nosuch: no matching entries in passwd file",
    );
    expect(() => resolveUser("web:nosuch", [], files)).toThrow(
      "unable to find group nosuch: no matching entries in group file",
    );
    expect(() => resolveUser("4294967296", [], files)).toThrow("must be in range");
  });
});

describe("mounts", () => {
  it("binds, volumes and their modes", () => {
    expect(parseBind("/a:/b:ro,rslave")).toMatchObject({
      type: "bind",
      source: "/a",
      target: "/b",
      readOnly: true,
      propagation: "rslave",
    });
    expect(parseBind("name:/b/../c/")).toMatchObject({
      type: "volume",
      source: "name",
      target: "/c",
      readOnly: false,
    });
    expect(parseBind("/lone")).toMatchObject({ type: "volume", source: "", target: "/lone" });
  });
  it("what is wrong with them", () => {
    expect(() => parseBind("/a:/b:zz")).toThrow("invalid mode: zz");
    expect(() => parseBind("/a:/b:ro,rw")).toThrow("invalid mode: ro,rw");
    expect(() => parseBind("/a:/")).toThrow("destination can't be '/'");
    const bind = (Target: string) => ({ Type: "bind", Source: "/x", Target, ReadOnly: false });
    expect(() => parseMount(bind(""))).toThrow("field Target must not be empty");
    expect(() => parseMount({ ...bind("/y"), Type: "npipe" })).toThrow('mount type unknown: "npipe"');
  });
  it("images, which are never written to", () => {
    const image = { Type: "image", Source: "tools:1", Target: "/x/", ReadOnly: false };
    const ImageOptions = { Subpath: "a/b" };
    expect(parseMount({ ...image, ImageOptions })).toMatchObject({
      type: "image",
      source: "tools:1",
      target: "/x",
      readOnly: true,
      subpath: "a/b",
    });
    expect(() => parseMount({ ...image, Source: "" })).toThrow("field Source must not be empty");
    expect(() => parseMount({ ...image, ImageOptions: { Subpath: "../a" } })).toThrow(
      'invalid mount config for type "image": subpath must be a relative path',
    );
    expect(() => parseMount({ ...image, Type: "bind", Source: "/a", ImageOptions })).toThrow(
      "ImageOptions must not be specified",
    );
  });

  it("volumes of the long form", () => {
    const volume = { Type: "volume", Source: "vol", Target: "/x", ReadOnly: true };
    const DriverConfig = { Name: "local", Options: { type: "tmpfs" } };
    const VolumeOptions = { NoCopy: true, Subpath: "a/./b", Labels: { a: "b" }, DriverConfig };
    expect(parseMount({ ...volume, VolumeOptions })).toMatchObject({
      noCopy: true,
      subpath: "a/./b",
      driver: "local",
      driverOptions: { type: "tmpfs" },
      labels: { a: "b" },
      readOnlyRecursive: true,
    });
    const subpath = (Subpath: string) => () =>
      parseMount({ ...volume, VolumeOptions: { ...VolumeOptions, Subpath } });
    for (const out of ["..", "../a", "a/../..", "/a", "a\0b"])
      expect(subpath(out), out).toThrow("subpath must be a relative path within the volume");
    for (const inside of ["..a", "a/..", "a/../b"]) expect(subpath(inside), inside).not.toThrow();
    const BindOptions = {
      Propagation: "",
      NonRecursive: false,
      CreateMountpoint: false,
      ReadOnlyNonRecursive: true,
      ReadOnlyForceRecursive: false,
    };
    const bind = { Type: "bind", Source: "/a", Target: "/x", ReadOnly: true };
    expect(parseMount({ ...bind, BindOptions }).readOnlyRecursive).toBe(false);
    expect(() =>
      parseMount({ ...bind, BindOptions: { ...BindOptions, ReadOnlyForceRecursive: true } }),
    ).toThrow("mount options conflict");
    expect(() => parseMount({ ...bind, VolumeOptions })).toThrow(
      'VolumeOptions must not be specified on mount type "bind"',
    );
    const TmpfsOptions = { SizeBytes: 1024, Mode: 0o700, Options: [["noexec"], ["uid", "5"]] };
    expect(
      parseMount({ Type: "tmpfs", Source: "", Target: "/x", ReadOnly: false, TmpfsOptions }).tmpfsOptions,
    ).toBe("size=1024,mode=700,noexec,uid=5");
  });
  it("tmpfs options", () => {
    expect(parseTmpfs("size=1m,exec,mode=700")).toEqual({ options: ["size=1m", "mode=700"], attributes: 6 });
    expect(() => parseTmpfs("foo")).toThrow('invalid tmpfs option "foo"');
  });
});

describe("environment", () => {
  it("merges in place, and unsets by a bare name", () => {
    expect(mergeEnvironment(["A=1", "B=2"], ["A=3", "B", "C="])).toEqual(["A=3", "C="]);
  });
  it("has a path, a host name and a home", () => {
    const made = processEnvironment(["X=y"], { hostname: "box", terminal: true, home: "/root" });
    expect(made).toEqual([
      expect.stringMatching(/^PATH=/),
      "HOSTNAME=box",
      "TERM=xterm",
      "X=y",
      "HOME=/root",
    ]);
    expect(processEnvironment(["HOME=/h"], { hostname: "", terminal: false, home: "/root" })).toContain(
      "HOME=/h",
    );
  });
});

describe("limits and security options", () => {
  it("NanoCpus become a quota, zero means none", () => {
    expect(cgroupLimits(hostConfigSchema.parse({ NanoCpus: 1_500_000_000 }))).toMatchObject({
      cpuQuota: 150_000,
      cpuPeriod: 100_000,
    });
    expect(cgroupLimits(hostConfigSchema.parse({}))).toMatchObject({ memory: undefined, pids: undefined });
    expect(cgroupLimits(hostConfigSchema.parse({ PidsLimit: -7, MemorySwap: -1 }))).toMatchObject({
      pids: -1,
      memorySwap: -1,
    });
  });
  it("security options", () => {
    expect(parseSecurityOptions(["no-new-privileges", "seccomp=unconfined"], false)).toMatchObject({
      noNewPrivileges: true,
      seccomp: "unconfined",
    });
    expect(parseSecurityOptions([], true)).toMatchObject({ seccomp: "unconfined", unconfinedPaths: true });
    expect(() => parseSecurityOptions(["foo"], false)).toThrow('invalid --security-opt 1: "foo"');
    expect(
      parseSecurityOptions(["apparmor=strict", "label=type:my_t", "label:level:s0:c1,c2"], false),
    ).toMatchObject({ appArmor: "strict", labels: ["type:my_t", "level:s0:c1,c2"] });
    expect(parseSecurityOptions(["label=disable"], false).labels).toEqual(["disable"]);
    expect(() => parseSecurityOptions(["label=typ:x"], false)).toThrow('bad label option "typ"');
    expect(() => parseSecurityOptions(["label=x"], false)).toThrow('bad label option "x"');
    expect(() => parseSecurityOptions(["label=type:a b"], false)).toThrow("not a SELinux type");
    expect(() => parseSecurityOptions(["apparmor="], false)).toThrow("not the name of a profile");
  });
});
