// OCI configurations as data: limits, device rules, limits without a limit; and a bundle's options as our steps have them.
import { MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_SLAVE } from "@tsd/kernel-bindings";
import { describe, expect, it } from "vitest";
import { ociText } from "../../api/oci-config.ts";
import { mountOptions } from "../../oci-runtime/plan.ts";
import { BundleError, cgroupOf, specifyBundle } from "../../oci-runtime/specify.ts";
import { ForeignRuntimes } from "./foreign.ts";
import { ociResources } from "./resources.ts";

describe("resources", () => {
  it("name only what is limited", () => {
    expect(ociResources({}, "all")).toEqual({ devices: [{ allow: true, access: "rwm" }] });
    expect(
      ociResources(
        {
          memory: 64,
          pids: 10,
          blockThrottles: [{ major: 8, minor: 0, direction: "read", unit: "bps", rate: 1 }],
        },
        ["c 1:3 rwm", "b *:* m"],
      ),
    ).toEqual({
      devices: [
        { allow: false, access: "rwm" },
        { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
        { allow: true, type: "b", access: "m" },
      ],
      memory: { limit: 64 },
      pids: { limit: 10 },
      blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] },
    });
  });
});

describe("text", () => {
  it("has exactly what no limit is, and leaves strings alone", () => {
    const hard = Number(2n ** 64n - 1n);
    const env = '"hard":18446744073709552000';
    expect(ociText({ hard, env }, 0)).toBe(`{"hard":18446744073709551615,"env":${JSON.stringify(env)}}`);
  });
});

describe("a bundle", () => {
  const config = {
    ociVersion: "1.0.0",
    root: { path: "rootfs" },
    process: { user: { uid: 0, gid: 0 }, args: ["sh"], cwd: "/" },
    linux: { namespaces: [{ type: "mount" }, { type: "pid" }, { type: "network", path: "/run/netns/x" }] },
  };
  const places = { id: "x", bundle: "/b", staging: "/s", cgroups: {} as never };

  it("has the namespaces that it lists, and the host's for the rest", () => {
    const { namespaces, root, cgroup } = specifyBundle(config, places);
    expect(namespaces.pid).toEqual({ kind: "private" });
    expect(namespaces.network).toEqual({ kind: "join", path: "/run/netns/x" });
    expect(namespaces.ipc).toEqual({ kind: "host" });
    expect(root.base).toBe("/b/rootfs");
    expect(cgroup).toBe("/tsd-runtime/x");
  });

  it("is refused by the field that is wrong", () => {
    const wrong =
      (more: object): (() => unknown) =>
      () =>
        specifyBundle({ ...config, ...more }, places);
    expect(wrong({ process: undefined })).toThrow("process:");
    expect(wrong({ process: { ...config.process, cwd: "tmp" } })).toThrow("process.cwd");
    expect(wrong({ linux: { namespaces: [] } })).toThrow("linux.namespaces");
    expect(wrong({ linux: { ...config.linux, namespaces: [{ type: "mount" }, { type: "user" }] } })).toThrow(
      "uidMappings",
    );
    expect(() => cgroupOf({ ...config, linux: { cgroupsPath: "/../up" } }, "x")).toThrow(BundleError);
    expect(() => cgroupOf({ ...config, linux: { cgroupsPath: "a.slice:b:c" } }, "x")).toThrow("systemd");
  });

  it("has mount options as attributes, propagation and the file system's own", () => {
    expect(mountOptions(["rbind", "ro", "nosuid", "rslave"])).toMatchObject({
      bind: true,
      recursive: true,
      attributes: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
      propagation: MS_SLAVE,
      data: [],
    });
    expect(mountOptions(["mode=755", "strictatime", "size=1m"])).toMatchObject({
      bind: false,
      propagation: MS_PRIVATE,
      data: ["mode=755", "size=1m"],
    });
    expect(() => mountOptions(["tmpcopyup"])).toThrow("tmpcopyup");
  });
});

describe("names of runtimes", () => {
  const runtimes = new ForeignRuntimes([{ name: "mine", path: "/bin/sh", arguments: ["-x"] }]);
  it("are ours, configured, or a path to a program", () => {
    expect(runtimes.find("")).toBeUndefined();
    expect(runtimes.find("tsd")).toBeUndefined();
    expect(runtimes.find("mine")?.arguments).toEqual(["-x"]);
    expect(runtimes.find("/bin/sh")?.path).toBe("/bin/sh");
    expect(() => runtimes.find("nosuch")).toThrow("unknown or invalid runtime name: nosuch");
    expect(() => runtimes.find("/nosuch")).toThrow("/nosuch");
  });
});
