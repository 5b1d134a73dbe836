// Every route with every role: who gets through and who does not, held against a table that is written out here.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { description } from "../api/contract.ts";
import { RemoteDaemon, type RemoteRequest } from "../harness/remote.ts";

/** Each route, and which of viewer, operator and the scoped role may use it; admin may use all. */
const table = `
GET /_ping v o s
HEAD /_ping v o s
GET /version v o s
GET /info v o -
GET /metrics - - -
POST /auth - o -
GET /events v o s
GET /tsd/routes v o s
GET /tsd/whoami v o s
POST /tsd/roles/check - - -
POST /tsd/shutdown - - -
GET /tsd/containers/:id/cgroup v o s
GET /tsd/containers/:id/stats/history v o s
POST /tsd/containers/:id/ports - o s
GET /tsd/containers/:id/explain v o s
POST /tsd/explain v o s
GET /tsd/containers/:id/spec v o s
POST /tsd/spec v o s
GET /tsd/containers/:id/verify v o s
GET /tsd/verify v o s
GET /tsd/audit-config - - -
GET /tsd/containers/:id/namespaces v o s
GET /tsd/namespaces v o s
GET /tsd/containers/:id/seccomp-trace v o s
GET /tsd/containers/:id/shape v o s
POST /tsd/images/:name/verify - o -
POST /tsd/images/:name/signature - o -
GET /tsd/policies v o -
GET /tsd/policies/:network v o -
PUT /tsd/policies/:network - o -
DELETE /tsd/policies/:network - o -
POST /tsd/policies/:network/test v o -
GET /tsd/policies/:network/graph v o -
GET /tsd/chains v o -
GET /tsd/chains/:name v o -
POST /tsd/chains - o -
DELETE /tsd/chains/:name - o -
GET /tsd/audit - - -
GET /tsd/audit/export - - -
GET /tsd/audit/key - - -
GET /images/json v o s
POST /images/create - o -
POST /images/load - o -
GET /images/:name/json v o s
GET /images/:name/history v o s
POST /images/:name/tag - o -
DELETE /images/:name - o -
GET /images/search v o -
GET /images/get - o -
GET /images/:name/get - o -
POST /images/:name/push - o -
POST /images/prune - o -
GET /distribution/:name/json v o s
POST /containers/create - o s
GET /containers/json v o s
GET /containers/:id/json v o s
POST /containers/:id/start - o s
POST /containers/:id/stop - o s
POST /containers/:id/restart - o s
POST /containers/:id/kill - o s
POST /containers/:id/resize - o s
POST /containers/:id/wait v o s
DELETE /containers/:id - o s
GET /containers/:id/top v o s
GET /containers/:id/changes v o s
GET /containers/:id/stats v o s
POST /containers/:id/rename - o s
POST /containers/:id/update - o s
POST /containers/:id/pause - o s
POST /containers/:id/unpause - o s
POST /containers/prune - o s
HEAD /containers/:id/archive - o s
GET /containers/:id/archive - o s
PUT /containers/:id/archive - o s
GET /containers/:id/export - o s
POST /commit - o s
GET /containers/:id/checkpoints - o s
POST /containers/:id/checkpoints - o s
DELETE /containers/:id/checkpoints/:checkpoint - o s
POST /containers/:id/attach - o s
GET /containers/:id/attach/ws - o s
GET /containers/:id/logs v o s
POST /containers/:id/exec - o s
POST /exec/:id/start - o s
POST /exec/:id/resize - o s
GET /exec/:id/json v o s
GET /networks v o -
GET /networks/:id v o -
POST /networks/create - o -
POST /networks/:id/connect - o -
POST /networks/:id/disconnect - o -
DELETE /networks/:id - o -
POST /networks/prune - o -
GET /volumes v o -
GET /volumes/:name v o -
POST /volumes/create - o -
PUT /volumes/:name - o -
DELETE /volumes/:name - o -
POST /volumes/prune - o -
POST /tsd/volumes/:name/snapshot - o -
GET /tsd/volumes/:name/archive - o -
PUT /tsd/volumes/:name/archive - o -
POST /build - o -
POST /build/prune - o -
POST /session - o -
GET /system/df v o -
GET /plugins v o -
GET /plugins/privileges v o -
GET /plugins/:name/json v o -
POST /plugins/pull - - -
POST /plugins/create - - -
DELETE /plugins/:name - - -
POST /plugins/:name/enable - - -
POST /plugins/:name/disable - - -
POST /plugins/:name/upgrade - - -
POST /plugins/:name/push - - -
POST /plugins/:name/set - - -
GET /swarm v o -
GET /swarm/unlockkey - - -
POST /swarm/unlock - - -
POST /swarm/update - - -
POST /swarm/leave - - -
POST /swarm/init - - -
POST /swarm/join - - -
GET /nodes v o -
GET /nodes/:id v o -
DELETE /nodes/:id - - -
POST /nodes/:id/update - - -
GET /services v o -
GET /services/:id v o -
DELETE /services/:id - - -
POST /services/create - - -
POST /services/:id/update - - -
GET /secrets v o -
GET /secrets/:id v o -
DELETE /secrets/:id - - -
POST /secrets/create - - -
POST /secrets/:id/update - - -
GET /configs v o -
GET /configs/:id v o -
DELETE /configs/:id - - -
POST /configs/create - - -
POST /configs/:id/update - - -
GET /services/:id/logs v o -
GET /tasks v o -
GET /tasks/:id v o -
GET /tasks/:id/logs v o -
`;
const roles = ["viewer", "operator", "scoped"] as const;
type RoleName = (typeof roles)[number] | "admin";
const rows = table
  .trim()
  .split("\n")
  .map((line) => {
    const [method = "", path = "", ...marks] = line.split(" ");
    return { method, path, allowed: roles.filter((_, index) => marks[index] !== "-") as RoleName[] };
  });

let remote: RemoteDaemon;
const certificates = new Map<RoleName, string>();

beforeAll(async () => {
  const authority = await RemoteDaemon.makeAuthority();
  const rolesFile = join(authority, "roles.json");
  const allow = ["container:*", "image:list", "image:inspect", "event:read", "system:version"];
  writeFileSync(rolesFile, JSON.stringify({ version: 1, roles: { scoped: { allow, scope: "own" } } }));
  remote = await RemoteDaemon.start("matrix", ["--roles-file", rolesFile], authority);
  for (const role of ["admin", ...roles] as const)
    certificates.set(role, await remote.client(`one-${role}`, role));
  certificates.set("nobody" as RoleName, await remote.client("one-nobody"));
});
afterAll(async () => {
  await remote?.stop();
});

const pathOf = (path: string): string => path.replaceAll(/:\w+/g, "nosuch").replace("/ws", "/ws?stdout=1");
const requestOf = (role: string, { method, path }: { method: string; path: string }): RemoteRequest => ({
  certificates: certificates.get(role as RoleName) ?? "",
  method,
  path: pathOf(path),
  ...(["POST", "PUT"].includes(method) ? { body: {} } : {}),
});

const isDenial = ({ status, text }: { status: number; text: string }): boolean =>
  status === 403 && (text === "" || text.includes("authorization denied"));

describe("every route", () => {
  it("is in the table", async () => {
    const [answer] = await remote.send([requestOf("viewer", { method: "GET", path: "/tsd/routes" })]);
    const declared = (
      JSON.parse(answer?.text ?? "") as { Method: string; Path: string; Permission: string }[]
    ).flatMap(({ Method, Path, Permission }) => {
      expect(Permission).toMatch(/^[a-z]+:[a-z-]+$/);
      return Method.split(",").map((method) => `${method} ${Path}`);
    });
    expect(declared.sort()).toEqual(rows.map(({ method, path }) => `${method} ${path}`).sort());
  });

  for (const role of [...roles, "admin"] as const)
    it(`with role ${role}`, async () => {
      // The end of the daemon is for another test.
      const asked = rows.filter(({ path }) => role !== "admin" || path !== "/tsd/shutdown");
      const answers = await remote.send(asked.map((row) => requestOf(role, row)));
      const wrong = asked.flatMap((row, index) => {
        const answer = answers[index] ?? { status: 0, text: "no answer" };
        const expected = role === "admin" || row.allowed.includes(role);
        if (expected !== isDenial(answer) && answer.status !== 0) return [];
        return [`${row.method} ${row.path}: ${answer.status} ${answer.text.slice(0, 100)}`];
      });
      expect(wrong).toEqual([]);
    });

  it("without a role: nothing, not even what there is not", async () => {
    const asked = [...rows, { method: "GET", path: "/nosuch" }];
    const answers = await remote.send(asked.map((row) => requestOf("nobody", row)));
    expect(answers.filter((answer) => !isDenial(answer))).toEqual([]);
    expect(answers[2]?.text).toContain("cert:one-nobody has no role");
  });

  it("of Docker's description: a viewer changes nothing by it", async () => {
    const asked = description.endpoints
      .filter(({ method }) => method !== "GET" && method !== "HEAD")
      .filter(({ path }) => path !== "/containers/{id}/wait")
      .map(({ method, path }) => ({ method, path: path.replaceAll(/\{\w+\}/g, "nosuch") }));
    expect(asked.length).toBeGreaterThan(50);
    const answers = await remote.send(asked.map((row) => requestOf("viewer", row)));
    const through = asked.filter((_, index) => {
      const { status = 0, text = "" } = answers[index] ?? {};
      return !(isDenial({ status, text }) || (status === 404 && text.includes("page not found")));
    });
    expect(through).toEqual([]);
  });
});
