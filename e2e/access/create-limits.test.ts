// Creates that ask for more than a role allows, under every name the API has for it.
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  admin,
  ann,
  create,
  get,
  idOf,
  MEMORY,
  operator,
  post,
  running,
  scratch,
  send,
  useCast,
} from "./cast.ts";

useCast();

describe("a create beyond the role", () => {
  const beyond: readonly (readonly [what: string, hostConfig: object, config?: object])[] = [
    ["Privileged", { Privileged: true }],
    ["CapAdd ALL", { CapAdd: ["ALL"] }],
    ["CapAdd cap_sys_admin", { CapAdd: ["cap_sys_admin"] }],
    ["CapAdd SYS_ADMIN", { CapAdd: ["SYS_ADMIN"] }],
    ["one allowed capability and another", { CapAdd: ["NET_ADMIN", "SYS_PTRACE"] }],
    ["the host's network", { NetworkMode: "host" }],
    ["the host's processes", { PidMode: "host" }],
    ["the host's IPC", { IpcMode: "host" }],
    ["the host's names", { UTSMode: "host" }],
    ["the host's control groups", { CgroupnsMode: "host" }],
    ["the host's users", { UsernsMode: "host" }],
    ["a bind of the root", { Binds: ["/:/host"] }],
    ["a bind with dots", { Binds: [`${"$"}ALLOWED/../secret:/x`] }],
    ["a bind as a mount", { Mounts: [{ Type: "bind", Source: "/etc", Target: "/x" }] }],
    ["a bind through a link", { Binds: ["$ALLOWED/link:/x"] }],
    ["a bind beside, by its beginning", { Binds: ["$ALLOWED-not:/x"] }],
    [
      "a volume that is a bind",
      {
        Mounts: [
          {
            Type: "volume",
            Source: "vol",
            Target: "/x",
            VolumeOptions: {
              DriverConfig: { Name: "local", Options: { type: "none", o: "bind", device: "/" } },
            },
          },
        ],
      },
    ],
    [
      "a device",
      { Devices: [{ PathOnHost: "/dev/kmsg", PathInContainer: "/dev/kmsg", CgroupPermissions: "rwm" }] },
    ],
    ["device rules", { DeviceCgroupRules: ["a *:* rwm"] }],
    ["device requests", { DeviceRequests: [{ Count: -1, Capabilities: [["gpu"]] }] }],
    ["no seccomp", { SecurityOpt: ["seccomp=unconfined"] }],
    ["no seccomp, with a colon", { SecurityOpt: ["seccomp:unconfined"] }],
    ["a seccomp profile of one's own", { SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'] }],
    ["no masked paths by option", { SecurityOpt: ["systempaths=unconfined"] }],
    ["no AppArmor", { SecurityOpt: ["apparmor=unconfined"] }],
    ["no masked paths", { MaskedPaths: [] }],
    ["no read-only paths", { ReadonlyPaths: [] }],
    ["another control group", { CgroupParent: "/" }],
    ["a system container", { Type: "system" }],
    ["protection from the OOM killer", { OomScoreAdj: -900 }],
    ["no OOM killer", { OomKillDisable: true }],
    ["real time", { CpuRealtimeRuntime: 950_000 }],
    [
      "a log to anywhere",
      { LogConfig: { Type: "syslog", Config: { "syslog-address": "udp://10.231.0.2:514" } } },
    ],
    ["more memory", { Memory: 2 * MEMORY, MemorySwap: 2 * MEMORY }],
    ["unlimited memory", { Memory: 0, MemorySwap: 0 }],
    ["unlimited swap", { MemorySwap: -1 }],
    ["more processes", { PidsLimit: 51 }],
    ["unlimited processes", { PidsLimit: -1 }],
    ["more processors", { NanoCpus: 1_000_000_000 }],
    ["processors by quota", { NanoCpus: 0, CpuQuota: 200_000, CpuPeriod: 100_000 }],
    ["without its label", {}, { Labels: {} }],
    ["with another label", {}, { Labels: { team: "ops" } }],
    ["the host's network by its endpoints", {}, { NetworkingConfig: { EndpointsConfig: { host: {} } } }],
  ];
  const placed = (value: object): object =>
    JSON.parse(JSON.stringify(value).replaceAll("$ALLOWED", join(scratch, "allowed"))) as object;

  it("is refused under every name", async () => {
    const answers: string[] = [];
    for (const [what, hostConfig, config] of beyond) {
      const answer = await create(ann, placed(hostConfig), config);
      if (answer.status !== 403 || !answer.text.includes("authorization denied"))
        answers.push(`${what}: ${answer.status} ${answer.text}`);
    }
    expect(answers).toEqual([]);
  });
  it("is refused to operators where it leads out of the container", async () => {
    for (const [what, hostConfig] of beyond.slice(
      0,
      beyond.findIndex(([what]) => what === "more memory"),
    )) {
      const answer = await create(operator, placed(hostConfig));
      expect(answer.status, `${what}: ${answer.text}`).toBe(403);
    }
  });
  it("leaves nothing behind", async () => {
    expect(JSON.parse((await get(admin, "/containers/json?all=1")).text)).toEqual([]);
    expect(JSON.parse((await get(admin, "/volumes")).text)).toMatchObject({ Volumes: [] });
  });
  it("within it is allowed", async () => {
    const id = await running(ann, "within", {
      Binds: [`${join(scratch, "allowed/inner")}:/x:ro`],
      CapAdd: ["NET_ADMIN"],
    });
    const { text } = await get(ann, `/containers/${id}/json`);
    expect(text).toContain('"RW":false');
    await send({ certificates: ann, method: "DELETE", path: `/containers/${id}?force=1` });
  });
  it("a bind that becomes a link between create and start is refused", async () => {
    mkdirSync(join(scratch, "allowed/swapped"));
    const id = idOf(await create(ann, { Binds: [`${join(scratch, "allowed/swapped")}:/x`] }));
    rmSync(join(scratch, "allowed/swapped"), { recursive: true });
    symlinkSync(join(scratch, "secret"), join(scratch, "allowed/swapped"));
    const answer = await post(ann, `/containers/${id}/start`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.text).toMatch(/symbolic links|ELOOP/i);
    const copied = await get(ann, `/containers/${id}/archive?path=/x/key`);
    expect(copied.status).toBeGreaterThanOrEqual(400);
    await send({ certificates: ann, method: "DELETE", path: `/containers/${id}` });
  });
});
