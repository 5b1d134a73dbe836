// Attempts to get past a role: spellings of requests, create options under every name, other owners' objects.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RemoteDaemon, type RemoteRequest } from "../harness/remote.ts";

let remote: RemoteDaemon;
let scratch: string;
let ann: string;
let ben: string;
let admin: string;
let viewer: string;
let operator: string;

const MEMORY = 64 << 20;
/** What ann's and ben's role must always ask for. */
const within = { Memory: MEMORY, MemorySwap: MEMORY, PidsLimit: 50, NanoCpus: 500_000_000 };
const labels = { team: "ci" };

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-bypass-"));
  mkdirSync(join(scratch, "allowed/inner"), { recursive: true });
  mkdirSync(join(scratch, "secret"));
  writeFileSync(join(scratch, "secret/key"), "the secret\n");
  writeFileSync(join(scratch, "allowed/inner/file"), "allowed\n");
  symlinkSync(join(scratch, "secret"), join(scratch, "allowed/link"));
  const rolesFile = join(scratch, "roles.json");
  const limits = {
    bindSources: [join(scratch, "allowed")],
    capabilities: ["NET_ADMIN"],
    images: ["busybox"],
    memory: "64m",
    pids: 50,
    cpus: 0.5,
    labels,
  };
  const allow = ["container:*", "image:*", "volume:*", "network:*", "event:read", "system:info"];
  writeFileSync(rolesFile, JSON.stringify({ version: 1, roles: { ci: { allow, scope: "own", limits } } }));
  remote = await RemoteDaemon.start("bypass", ["--roles-file", rolesFile]);
  await remote.daemon.importBusybox();
  [ann, ben] = [await remote.client("ann", "ci"), await remote.client("ben", "ci")];
  admin = await remote.client("root-of-all", "admin");
  viewer = await remote.client("vera", "viewer");
  operator = await remote.client("otto", "operator");
});
afterAll(async () => {
  await remote?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

interface Answer {
  status: number;
  text: string;
}
async function send(request: RemoteRequest): Promise<Answer> {
  const [answer] = await remote.send([request]);
  return answer ?? { status: 0, text: "" };
}
const post = (certificates: string, path: string, body?: unknown): Promise<Answer> =>
  send({ certificates, method: "POST", path, ...(body === undefined ? {} : { body }) });
const get = (certificates: string, path: string): Promise<Answer> =>
  send({ certificates, method: "GET", path });

const create = (
  certificates: string,
  hostConfig: object = {},
  config: object = {},
  name = "",
): Promise<Answer> =>
  post(certificates, `/containers/create?name=${name}`, {
    Image: "busybox",
    Cmd: ["sleep", "600"],
    Labels: labels,
    ...config,
    HostConfig: { ...within, ...hostConfig },
  });
const idOf = (answer: Answer): string => {
  expect(answer.status, answer.text).toBe(201);
  return (JSON.parse(answer.text) as { Id: string }).Id;
};
async function running(certificates: string, name: string, hostConfig: object = {}): Promise<string> {
  const id = idOf(await create(certificates, hostConfig, {}, name));
  expect((await post(certificates, `/containers/${id}/start`)).status).toBe(204);
  return id;
}

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
            Source: "v",
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

describe("a request that is spelled otherwise", () => {
  const wanted = (extra: string): string =>
    `{"Image":"busybox","Labels":{"team":"ci"},"HostConfig":{"Memory":${MEMORY},"MemorySwap":${MEMORY},"PidsLimit":50,"NanoCpus":500000000${extra}}`;

  it("names twice, names in another case, another type: refused", async () => {
    const bodies = [
      `${wanted("")},"HostConfig":{"Privileged":true}}`,
      `${wanted(',"Privileged":true')},"HostConfig":{}}`,
      `${wanted(',"Privileged":false,"Privileged":true')}}`,
      `${wanted(',"Privileged":true,"Privileged":false')}}`,
      `${wanted(',"Priv\\u0069leged":true')}}`,
      `${wanted(',"privileged":true')}}`,
      `${wanted(',"PRIVILEGED":true')}}`,
      `${wanted("")},"hostconfig":{"Privileged":true}}`,
      `{"image":"busybox","labels":{"team":"ci"},"hostconfig":{"memory":1,"privileged":true}}`,
      `${wanted(',"Privileged":"true"')}}`,
      `${wanted(',"Privileged":1')}}`,
      `[${wanted(',"Privileged":true')}}]`,
      `\ufeff${wanted(',"Privileged":true')}}`,
    ];
    for (const body of bodies) {
      const answer = await post(ann, "/containers/create", body);
      expect([400, 403], `${body}: ${answer.status} ${answer.text}`).toContain(answer.status);
    }
    expect((await post(ann, "/containers/create", `${wanted("")}}`)).status).toBe(201);
  });

  it("large, chunked and oddly typed bodies are judged whole", async () => {
    const padding = "x".repeat(2 << 20);
    const large = `${wanted(',"Privileged":true')},"Env":["A=${padding}"]}`;
    const chunked = { "transfer-encoding": "chunked" };
    for (const headers of [
      {},
      chunked,
      { ...chunked, "content-type": "text/plain" },
      { "content-type": "application/x-tar" },
      { "content-type": "multipart/form-data; boundary=x" },
    ]) {
      const answer = await send({
        certificates: ann,
        method: "POST",
        path: "/containers/create",
        headers,
        body: large,
      });
      expect(answer.status, answer.text).toBe(403);
    }
    const beyondLimit = await post(
      ann,
      "/containers/create",
      `${wanted("")},"Env":["A=${"x".repeat(17 << 20)}"]}`,
    );
    expect([0, 413]).toContain(beyondLimit.status); // or the connection ended while it was sent
  });

  it("paths, versions and methods: nothing gets to what the role does not have", async () => {
    const paths = [
      "//containers/create",
      "/containers//create",
      "/./containers/create",
      "/v1.43/../containers/create",
      "/images/../containers/create",
      "/%63ontainers/create",
      "/containers/%63reate",
      "/containers%2Fcreate",
      "/containers/create/",
      "/CONTAINERS/create",
      "/containers/create;x=y",
      "/containers/create?x=/_ping",
      "/containers/create#/_ping",
      "/_ping/../containers/create",
      "/v1.24/containers/create",
      "/v1.51/v1.51/containers/create",
      "/images/x/../../containers/create/json",
      "/images/a/tag/../../../containers/create",
      "http://10.231.0.1/containers/create",
    ];
    const body = { Image: "busybox", Cmd: ["true"] };
    for (const path of paths) {
      const answer = await post(viewer, path, body);
      expect([400, 403, 404], `${path}: ${answer.status} ${answer.text}`).toContain(answer.status);
    }
    const methods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
    for (const method of methods) {
      const answer = await send({ certificates: viewer, method, path: "/containers/json" });
      expect([400, 403, 404, 405], `${method}: ${answer.status}`).toContain(answer.status);
    }
    for (const name of ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"]) {
      const headers = { [name]: "DELETE" };
      const target = idOf(await create(admin));
      expect(
        (await send({ certificates: viewer, method: "GET", path: `/containers/${target}/json`, headers }))
          .status,
      ).toBe(200);
      expect((await get(admin, `/containers/${target}/json`)).status).toBe(200);
      await send({ certificates: admin, method: "DELETE", path: `/containers/${target}` });
    }
    for (const headers of [
      { "X-Forwarded-For": "127.0.0.1" },
      { "X-Original-URL": "/_ping" },
      { "X-Rewrite-URL": "/_ping" },
      { "X-Forwarded-Client-Cert": "CN=root-of-all" },
      { "X-Remote-User": "root-of-all" },
      { Authorization: "Basic cm9vdDpyb290" },
      { "X-SSL-Client-DN": "CN=root-of-all,OU=tsd:admin" },
    ]) {
      const answer = await send({
        certificates: viewer,
        method: "POST",
        path: "/containers/create",
        headers,
        body,
      });
      expect(answer.status).toBe(403);
    }
    expect(JSON.parse((await get(admin, "/containers/json?all=1")).text)).toHaveLength(1); // ann's, of above
  });

  it("upgrades on other routes change nothing", async () => {
    const upgrades = [
      { connection: "Upgrade", upgrade: "tcp" },
      { connection: "Upgrade", upgrade: "h2c" },
      {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      },
    ];
    for (const headers of upgrades) {
      for (const path of [
        "/containers/create",
        "/containers/x/attach",
        "/exec/x/start",
        "/build",
        "/session",
      ]) {
        const answer = await send({ certificates: viewer, method: "POST", path, headers });
        expect(answer.status, path).toBe(403);
      }
      const webSocket = await send({
        certificates: viewer,
        method: "GET",
        path: "/containers/x/attach/ws",
        headers,
      });
      expect(webSocket.status).toBe(403);
    }
  });

  it("a request within a request is a request of the same caller", async () => {
    // Both lengths at once, and a second request where a proxy would have seen a body.
    const smuggled = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    const bodies = [
      `POST /containers/x/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `POST /containers/x/wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${smuggled}`,
      `POST /containers/x/wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n${smuggled}`,
      `POST /containers/x/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
      `GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n${smuggled}`,
    ];
    const { stdout } = await remote.run("node", ["-e", rawScript, remote.authority, viewer], {
      input: JSON.stringify(bodies),
    });
    for (const text of JSON.parse(stdout) as string[]) {
      expect(text).toMatch(/^HTTP\/1\.1 (400|404|200)/);
      expect(text).not.toMatch(/HTTP\/1\.1 201/);
      if (text.includes("/create") || text.split("HTTP/1.1").length > 2) expect(text).toContain("403");
    }
  });
});

/** Sends raw bytes over TLS, and prints what came back. */
const rawScript = `
const { connect } = require("node:tls");
const { readFileSync } = require("node:fs");
const [authority, own] = process.argv.slice(1);
let input = "";
process.stdin.on("data", (chunk) => { input += chunk; }).on("end", async () => {
  const answers = [];
  for (const bytes of JSON.parse(input)) answers.push(await new Promise((resolve) => {
    const file = (path) => readFileSync(path);
    let text = "";
    const socket = connect({ host: "10.231.0.1", port: 2376, ca: file(authority + "/ca.pem"), cert: file(own + "/cert.pem"), key: file(own + "/key.pem") }, () => socket.write(bytes));
    socket.on("data", (chunk) => { text += chunk; }).on("close", () => resolve(text)).on("error", () => resolve(text));
    setTimeout(() => socket.destroy(), 700);
  }));
  console.log(JSON.stringify(answers));
});
`;

describe("other owners' objects", () => {
  let anns: string;
  let bens: string;
  let admins: string;
  beforeAll(async () => {
    anns = await running(ann, "anns", { Binds: ["anns-data:/data"] });
    bens = await running(ben, "bens");
    admins = await running(admin, "admins");
  });

  it("do not exist for who sees only its own", async () => {
    const list = JSON.parse((await get(ben, "/containers/json?all=1")).text) as { Id: string }[];
    expect(list.map(({ Id }) => Id)).toEqual([bens]);
    for (const reference of [anns, anns.slice(0, 12), "anns", "%2Fanns", admins, "admins"])
      for (const [method, path, body] of [
        ["GET", "json"],
        ["GET", "logs?stdout=1"],
        ["GET", "top"],
        ["GET", "stats?stream=0"],
        ["GET", "changes"],
        ["GET", "export"],
        ["GET", "archive?path=/etc/passwd"],
        ["PUT", "archive?path=/tmp", ""],
        ["POST", "start"],
        ["POST", "stop"],
        ["POST", "kill"],
        ["POST", "restart"],
        ["POST", "pause"],
        ["POST", "unpause"],
        ["POST", "wait"],
        ["POST", "rename?name=mine-now"],
        ["POST", "update", { Memory: MEMORY }],
        ["POST", "resize?h=1&w=1"],
        ["POST", "attach?stream=1&stdout=1"],
        ["POST", "exec", { Cmd: ["sh"] }],
      ] as const) {
        const answer = await send({
          certificates: ben,
          method,
          path: `/containers/${reference}/${path}`,
          ...(body === undefined ? {} : { body }),
        });
        expect(answer.status, `${method} ${path}: ${answer.text}`).toBe(404);
        expect(answer.text).toContain("No such container");
      }
    const removed = await send({ certificates: ben, method: "DELETE", path: `/containers/${anns}?force=1` });
    expect(removed.status).toBe(404);
    expect((await post(ben, `/commit?container=${anns}&repo=stolen`)).status).toBe(404);
  });

  it("can't be reached by an exec's id", async () => {
    const made = await post(ann, `/containers/${anns}/exec`, { Cmd: ["sleep", "1"], AttachStdout: true });
    const id = idOf(made);
    for (const [method, path] of [
      ["GET", "json"],
      ["POST", "start"],
      ["POST", "resize?h=1&w=1"],
    ] as const) {
      const answer = await send({
        certificates: ben,
        method,
        path: `/exec/${id}/${path}`,
        ...(method === "POST" ? { body: {} } : {}),
      });
      expect(answer.status, path).toBe(404);
    }
    const privileged = await post(ann, `/containers/${anns}/exec`, { Cmd: ["sh"], Privileged: true });
    expect(privileged.status).toBe(403);
  });

  it("can't be joined, mounted from, or seen through filters", async () => {
    for (const field of ["NetworkMode", "PidMode", "IpcMode"])
      for (const partner of ["anns", anns, anns.slice(0, 10)]) {
        const answer = await create(ben, { [field]: `container:${partner}` });
        expect([400, 403, 404], `${field} ${partner}: ${answer.text}`).toContain(answer.status);
      }
    expect([400, 403, 404, 501]).toContain((await create(ben, { VolumesFrom: ["anns"] })).status);
    expect([400, 403, 404, 501]).toContain((await create(ben, { Links: ["anns:x"] })).status);
    const mounted = await create(ben, { Binds: ["anns-data:/stolen"] });
    expect(mounted.status).toBe(403);
    const asMount = await create(ben, { Mounts: [{ Type: "volume", Source: "anns-data", Target: "/x" }] });
    expect(asMount.status).toBe(403);
    expect((await get(ben, "/volumes/anns-data")).status).toBe(404);
    expect((await get(ben, "/volumes")).text).not.toContain("anns-data");
    for (const filter of [{ before: ["anns"] }, { since: [anns] }]) {
      const answer = await get(
        ben,
        `/containers/json?all=1&filters=${encodeURIComponent(JSON.stringify(filter))}`,
      );
      expect(answer.text).toContain("No such container");
    }
    expect((await get(ben, "/networks/bridge")).text).not.toContain(anns);
    expect(JSON.parse((await get(ben, "/info")).text)).toMatchObject({ Containers: 1 });
  });

  it("names that others have are taken, without a word about whose they are", async () => {
    const answer = await create(ben, {}, {}, "anns");
    expect(answer.status).toBe(409);
    expect(answer.text).toContain("somebody else's container");
    expect(answer.text).not.toContain(anns);
    const renamed = await post(ben, `/containers/${bens}/rename?name=anns`);
    expect(renamed.status).toBe(409);
    expect(renamed.text).not.toContain(anns);
  });

  it("events tell of one's own only, also of the past", async () => {
    const until = Math.ceil(Date.now() / 1000);
    const mine = await get(ben, `/events?since=0&until=${until}`);
    expect(mine.text).toContain(bens);
    expect(mine.text).not.toContain(anns);
    expect(mine.text).not.toContain(admins);
    const all = await get(viewer, `/events?since=0&until=${until}`);
    expect(all.text).toContain(anns);
  });

  it("a prune takes one's own only", async () => {
    const [hers, his] = [idOf(await create(ann)), idOf(await create(ben))];
    const pruned = JSON.parse((await post(ben, "/containers/prune")).text) as { ContainersDeleted: string[] };
    expect(pruned.ContainersDeleted).toContain(his);
    expect((await get(ann, `/containers/${hers}/json`)).status).toBe(200);
  });

  it("images: only those that the role names, and nobody gives their names to another one", async () => {
    const images = (certificates: string) => get(certificates, "/images/json").then(({ text }) => text);
    expect(await images(ben)).toContain("busybox:latest");
    const committed = await post(admin, `/commit?container=${admins}&repo=admins-image`);
    expect(committed.status).toBe(201);
    expect(await images(ben)).not.toContain("admins-image");
    const { Id } = JSON.parse(committed.text) as { Id: string };
    for (const image of ["admins-image", Id, Id.slice(7, 20)]) {
      const answer = await create(ben, {}, { Image: image });
      expect(answer.status, image).toBe(404);
    }
    const own = await post(ben, `/commit?container=${bens}&repo=bens-image`);
    expect(own.status).toBe(201);
    expect((await create(ben, {}, { Image: "bens-image" })).text).toContain(
      "does not allow containers of image",
    );
    for (const name of ["busybox", "busybox:own"]) {
      const [repo = "", tag = ""] = name.split(":");
      const tagged = await post(ben, `/images/bens-image/tag?repo=${repo}&tag=${tag}`);
      expect(tagged.status, name).toBe(403);
    }
    expect((await post(ben, `/commit?container=${bens}&repo=busybox`)).status).toBe(403);
    expect((await send({ certificates: ben, method: "DELETE", path: "/images/busybox" })).status).toBe(403);
    expect((await send({ certificates: ben, method: "DELETE", path: "/images/bens-image" })).status).toBe(
      200,
    );
    expect((await post(operator, `/images/busybox/tag?repo=admins-image`)).status).toBe(201);
  });

  it("an update does not give more than a create", async () => {
    const more = await post(ben, `/containers/${bens}/update`, {
      Memory: 4 * MEMORY,
      MemorySwap: 4 * MEMORY,
    });
    expect(more.status).toBe(403);
    expect((await post(ben, `/containers/${bens}/update`, { PidsLimit: -1 })).status).toBe(403);
    expect((await post(ben, `/containers/${bens}/update`, { PidsLimit: 20 })).status).toBe(200);
  });

  it("owners are who made them, for those who see all", async () => {
    const { text } = await get(viewer, `/containers/${anns}/json`);
    expect(JSON.parse(text)).toMatchObject({ Owner: "cert:ann" });
  });
});
