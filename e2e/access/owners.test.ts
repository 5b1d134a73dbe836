// Other owners' objects: not there for who sees only its own, whatever way is tried.
import { beforeAll, describe, expect, it } from "vitest";
import {
  admin,
  ann,
  ben,
  create,
  get,
  idOf,
  MEMORY,
  operator,
  post,
  running,
  send,
  useCast,
  viewer,
} from "./cast.ts";

useCast();

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
      const Mounts = [{ Type: "image", Source: image, Target: "/x" }];
      expect((await create(ben, { Mounts })).status, `mount of ${image}`).toBe(404);
    }
    const own = await post(ben, `/commit?container=${bens}&repo=bens-image`);
    expect(own.status).toBe(201);
    expect((await create(ben, {}, { Image: "bens-image" })).text).toContain(
      "does not allow containers of image",
    );
    const Mounts = [{ Type: "image", Source: "bens-image", Target: "/x" }];
    expect((await create(ben, { Mounts })).text).toContain("does not allow containers of image");
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
