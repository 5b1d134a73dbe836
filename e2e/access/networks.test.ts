// Networks of two owners: each sees, joins, changes and names its own only; their containers do not meet.
import { beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { admin, ann, ben, create, get, idOf, post, remote, running, send, useCast } from "./cast.ts";

useCast();

interface Shown {
  Id: string;
  Name: string;
  Containers: Record<string, object>;
  IPAM: { Config: { Gateway: string }[] };
}
const put = (certificates: string, path: string, body: object) =>
  send({ certificates, method: "PUT", path, body });
const remove = (certificates: string, path: string) => send({ certificates, method: "DELETE", path });
const list = async (certificates: string): Promise<string[]> =>
  (JSON.parse((await get(certificates, "/networks")).text) as Shown[]).map(({ Name }) => Name).sort();
const show = async (certificates: string, name: string): Promise<Shown> =>
  JSON.parse((await get(certificates, `/networks/${name}`)).text) as Shown;

describe("two owners' networks", () => {
  let anns: string;
  let hers: string;
  let his: string;
  beforeAll(async () => {
    anns = idOf(await post(ann, "/networks/create", { Name: "anns-net" }));
    idOf(await post(ben, "/networks/create", { Name: "bens-net" }));
    hers = await running(ann, "hers", { NetworkMode: "anns-net" });
    his = await running(ben, "his", { NetworkMode: "bens-net" });
  });

  it("are seen by their owners, and by who sees everything", async () => {
    expect(await list(ann)).toEqual(["anns-net", "bridge", "host", "none"]);
    expect(await list(ben)).toEqual(["bens-net", "bridge", "host", "none"]);
    expect(await list(admin)).toEqual(["anns-net", "bens-net", "bridge", "host", "none"]);
    expect(Object.keys((await show(ann, "anns-net")).Containers)).toEqual([hers]);
    // In what is everybody's one sees one's own.
    await running(ann, "in-bridge");
    expect(Object.keys((await show(ben, "bridge")).Containers)).toEqual([]);
  });

  it("do not exist for others, whatever way is tried", async () => {
    for (const reference of ["anns-net", anns, anns.slice(0, 12)]) {
      // ci may do nothing about policies, its own network's or another's; who may would find none.
      expect((await put(ben, `/tsd/policies/${reference}`, { Rules: [] })).status).toBe(403);
      for (const answer of [
        await get(ben, `/networks/${reference}`),
        await remove(ben, `/networks/${reference}`),
        await post(ben, `/networks/${reference}/connect`, { Container: his }),
        await post(ben, `/networks/${reference}/disconnect`, { Container: hers, Force: true }),
        await create(ben, { NetworkMode: reference }),
      ]) {
        expect(answer.status, answer.text).toBe(404);
        expect(answer.text).toContain(`network ${reference} not found`);
      }
    }
    const extra = await post(ben, "/containers/create", { Image: "busybox", Cmd: ["true"] });
    expect(extra.status).not.toBe(201);
    expect((await get(ann, `/networks/${anns}`)).status).toBe(200);
  });

  it("take no containers of others'", async () => {
    for (const reference of [hers, "hers"]) {
      const answer = await post(ben, "/networks/bens-net/connect", { Container: reference });
      expect(answer.status).toBe(404);
      expect(answer.text).toContain("No such container");
    }
    expect(Object.keys((await show(admin, "bens-net")).Containers)).toEqual([his]);
  });

  it("have names that nobody else can take, without a word about whose they are", async () => {
    const answer = await post(ben, "/networks/create", { Name: "anns-net" });
    expect(answer.status).toBe(409);
    expect(answer.text).not.toContain(anns);
  });

  it("are pruned by their owners only", async () => {
    idOf(await post(ann, "/networks/create", { Name: "idle" }));
    expect((await post(ben, "/networks/prune")).text).not.toContain("idle");
    expect(await list(ann)).toContain("idle");
    expect((await post(ann, "/networks/prune")).text).toContain("idle");
  });

  it("do not lead to each other, by address or by name", async () => {
    const addressOf = async (certificates: string, id: string): Promise<string> =>
      /"IPAddress":"(10[^"]+|172[^"]+|192[^"]+)"/.exec(
        (await get(certificates, `/containers/${id}/json`)).text,
      )?.[1] ?? "";
    const pidOf = async (id: string): Promise<number> =>
      (JSON.parse((await get(admin, `/containers/${id}/json`)).text) as { State: { Pid: number } }).State.Pid;
    const [from, to] = [await pidOf(his), await addressOf(ann, hers)];
    expect(to).not.toBe("");
    const probe = `
import socket
s = socket.socket(); s.settimeout(1)
try: s.connect(("${to}", 9)); print("reached")
except ConnectionRefusedError: print("reached")
except OSError: print("nothing")
q = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4hers\\0\\0\\1\\0\\1"
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(3)
u.sendto(q, ("127.0.0.11", 53))
try: print("answers", u.recv(600)[7])
except TimeoutError: print("answers 0")`;
    const told = await output("nsenter", [`--net=/proc/${from}/ns/net`, "python3", "-c", probe]);
    expect(told).toBe("nothing\nanswers 0");
  });

  it("and their containers' events are told to their owners", async () => {
    const until = Math.ceil(Date.now() / 1000);
    const bens = (await get(ben, `/events?since=0&until=${until}`)).text;
    expect(bens).toContain("bens-net");
    expect(bens).not.toContain("anns-net");
    expect(remote.daemon.log).not.toContain("anns-net not found");
  });
});
