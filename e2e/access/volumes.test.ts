// Whose volumes are whose, and how far a volume of somebody with limits may reach.
import { mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  admin,
  ann,
  ben,
  create,
  get,
  idOf,
  operator,
  post,
  remote,
  scratch,
  send,
  useCast,
} from "./cast.ts";

useCast();

const made = (certificates: string, Name: string, DriverOpts?: Record<string, string>) =>
  post(certificates, "/volumes/create", { Name, ...(DriverOpts ? { DriverOpts } : {}) });
const bind = (device: string, o = "bind") => ({ type: "none", device, o });

describe("another's volume", () => {
  it("is not there, and its name is taken", async () => {
    expect((await made(ann, "anns")).status).toBe(201);
    expect(JSON.parse((await get(ann, "/volumes/anns")).text)).toMatchObject({ Owner: "cert:ann" });
    expect((await get(ben, "/volumes/anns")).status).toBe(404);
    expect((await get(ben, "/volumes")).text).not.toContain("anns");
    expect((await made(ben, "anns")).status).toBe(403);
    for (const [method, path] of [
      ["DELETE", "/volumes/anns"],
      ["POST", "/tsd/volumes/anns/snapshot"],
      ["GET", "/tsd/volumes/anns/archive"],
    ] as const) {
      const answer = await send({
        certificates: ben,
        method,
        path,
        ...(method === "POST" ? { body: {} } : {}),
      });
      expect([answer.status, answer.text], path).toEqual([404, expect.stringContaining("no such volume")]);
    }
    const restored = await send({ certificates: ben, method: "PUT", path: "/tsd/volumes/anns/archive" });
    expect(restored.status).toBe(403);
    expect((await send({ certificates: ben, method: "DELETE", path: "/volumes/anns?force=1" })).status).toBe(
      204,
    );
    const pruned = await post(ben, `/volumes/prune?filters=${encodeURIComponent('{"all":["1"]}')}`);
    expect(JSON.parse(pruned.text)).toEqual({ VolumesDeleted: [], SpaceReclaimed: 0 });
    expect((await get(ann, "/volumes/anns")).status).toBe(200);
  });

  it("tells nothing by a container that one can't see", async () => {
    const id = idOf(await create(ann, { Binds: ["anns-too:/v"] }));
    expect((await create(ben, { VolumesFrom: [id] })).text).toContain(`No such container: ${id}`);
    expect((await create(ben, { Binds: ["anns-too:/v"] })).status).toBe(403);
    await send({ certificates: ann, method: "DELETE", path: `/containers/${id}` });
  });
});

describe("limits", () => {
  it("hold for what volumes are made of", async () => {
    const beyond: [what: string, options: Record<string, string>][] = [
      ["the host's root", bind("/")],
      ["a directory beside", bind(join(scratch, "secret"))],
      ["dots", bind(`${join(scratch, "allowed")}/../secret`)],
      ["through a link", bind(join(scratch, "allowed/link"))],
      ["a bind that is called something else", { type: "tmpfs", device: "/", o: "ro,rbind" }],
      ["a disk", { type: "ext4", device: "/dev/vda" }],
      ["a server", { type: "nfs", device: ":/", o: "addr=10.0.0.1" }],
      ["an overlay", { type: "overlay", device: "overlay", o: "lowerdir=/:/etc" }],
      ["proc", { type: "proc", device: "proc" }],
    ];
    for (const [what, options] of beyond)
      for (const who of [ann, operator]) {
        const answer = await made(who, "beyond", options);
        expect([answer.status, answer.text], what).toEqual([
          403,
          expect.stringContaining("authorization denied"),
        ]);
        const asMount = await create(who, {
          Mounts: [
            {
              Type: "volume",
              Source: "beyond",
              Target: "/x",
              VolumeOptions: { DriverConfig: { Options: options } },
            },
          ],
        });
        expect(asMount.status, what).toBe(403);
      }
    expect(
      JSON.parse((await get(admin, "/volumes?filters=%7B%22name%22%3A%5B%22beyond%22%5D%7D")).text),
    ).toMatchObject({ Volumes: [] });
  });

  it("what is within them is used, until it has become a link", async () => {
    mkdirSync(join(scratch, "allowed/mine"));
    expect((await made(ann, "mine", bind(join(scratch, "allowed/mine")))).status).toBe(201);
    expect((await made(ann, "memory", { type: "tmpfs", device: "tmpfs" })).status).toBe(201);
    const run = async (): Promise<number> => {
      const id = idOf(await create(ann, { Binds: ["mine:/x:nocopy", "memory:/m"] }));
      const { status } = await post(ann, `/containers/${id}/start`);
      await send({ certificates: ann, method: "DELETE", path: `/containers/${id}?force=1` });
      return status;
    };
    expect(await run()).toBe(204);
    rmSync(join(scratch, "allowed/mine"), { recursive: true });
    symlinkSync(join(scratch, "secret"), join(scratch, "allowed/mine"));
    expect(await run()).toBe(500);
  });

  it("hold for what others have made", async () => {
    expect((await made(admin, "hosts", bind("/etc"))).status).toBe(201);
    const answers = [
      await create(operator, { Binds: ["hosts:/x"] }),
      await post(operator, "/tsd/volumes/hosts/snapshot", { Name: "stolen" }),
      await send({ certificates: operator, method: "GET", path: "/tsd/volumes/hosts/archive" }),
    ];
    const id = idOf(await create(admin, { Binds: ["/etc:/x"] }));
    answers.push(await create(operator, { VolumesFrom: [id] }));
    const other = idOf(await create(admin, { Binds: ["hosts:/x:nocopy"] }));
    answers.push(await create(operator, { VolumesFrom: [other] }));
    for (const { status, text } of answers)
      expect([status, text]).toEqual([403, expect.stringContaining("to bind /etc")]);
    for (const container of [id, other])
      await send({ certificates: admin, method: "DELETE", path: `/containers/${container}` });
  });
});

it("nothing is mounted any more", async () => {
  expect(await remote.daemon.lastingLeaks()).toEqual([]);
});
