// The HTTP application without a kernel or a port: who gets through, and what wrong requests are answered.
import { describe, expect, it } from "vitest";
import { Caller } from "../engine/access/caller.ts";
import { builtInRoles } from "../engine/access/role.ts";
import type { AuditEntry } from "../engine/audit/log.ts";
import { notFound } from "../engine/errors.ts";
import { createApp } from "./app.ts";
import { Metrics } from "./metrics.ts";
import { route } from "./route.ts";

function appFor(roleName: string, limit = 0) {
  const records: AuditEntry[] = [];
  const engine = {
    audit: {
      append: (entry: AuditEntry) => records.push(entry),
      checkWritable: () => undefined,
    },
    containers: {
      find: (reference: string) => {
        throw notFound(`No such container: ${reference}`);
      },
      creation: { create: async () => ({ id: "made", warnings: [] }) },
    },
  };
  const role = builtInRoles[roleName];
  const caller = new Caller("cert:x", "10.0.0.1:5", role, role ? "" : "cert:x has no role");
  const app = createApp(
    {
      engine: engine as never,
      metrics: new Metrics(),
      identify: () => caller,
      streamBegins: () => undefined,
      requestsPerSecond: () => limit,
    },
    false,
  );
  return { app, records };
}

describe("routes", () => {
  it("without a permission do not start", () => {
    const { app } = appFor("admin");
    expect(() => app.get("/open", () => "anybody")).toThrow("route GET /open declares no permission");
  });
  it("without a permission do not compile", () => {
    const { app } = appFor("admin");
    // @ts-expect-error: a permission is required
    expect(() => route(app, "GET", "/open", {}, () => "anybody")).toThrow();
    // @ts-expect-error: and one that there is
    route(app, "GET", "/flying", { permission: "container:fly" }, () => "anybody");
  });
});

describe("requests", () => {
  it("get through by their permission, and are told why not", async () => {
    const viewer = appFor("viewer");
    expect((await viewer.app.inject({ method: "GET", url: "/_ping" })).body).toBe("OK");
    const refused = await viewer.app.inject({
      method: "POST",
      url: "/v1.43/containers/create",
      payload: "{",
    });
    expect(refused.statusCode).toBe(403);
    expect(refused.json()).toEqual({
      message: "authorization denied: role viewer of cert:x does not allow container:create",
    });
    expect(viewer.records).toMatchObject([
      {
        caller: "cert:x",
        role: "viewer",
        from: "10.0.0.1:5",
        action: "container:create",
        status: 403,
        result: "refused",
      },
    ]);
    const nobody = appFor("none");
    for (const url of ["/_ping", "/nosuch", "/version"])
      expect((await nobody.app.inject({ method: "GET", url })).statusCode, url).toBe(403);
  });
  it("are written down once, with what came of them", async () => {
    const { app, records } = appFor("admin");
    await app.inject({
      method: "POST",
      url: "/containers/create?name=n",
      payload: { Image: "i", HostConfig: { Privileged: true } },
    });
    await app.inject({ method: "POST", url: "/containers/nosuch/start" });
    await app.inject({ method: "GET", url: "/_ping" });
    expect(records.map(({ action, status, object }) => [action, status, object])).toEqual([
      ["container:create", 201, "container/made"],
      ["container:start", 404, "container/nosuch"],
    ]);
    expect(records[0]?.asked).toEqual({ Name: "n", Image: "i", Privileged: true });
  });
  it("that are wrong are answered as Docker answers", async () => {
    const { app } = appFor("admin");
    const create = (payload: string, type = "application/json") =>
      app.inject({
        method: "POST",
        url: "/containers/create",
        payload,
        headers: type ? { "content-type": type } : {},
      });
    for (const type of ["", "text/plain", "application/xml"])
      expect((await create("{}", type)).json().message, type).toMatch(
        /^(?:malformed|unsupported) Content-Type header/,
      );
    expect((await create("{}", "Application/JSON; charset=utf-8")).json()).toEqual({
      message: "config cannot be empty in order to create a container",
    });
    expect((await create("{} {}")).json()).toEqual({ message: "unexpected content after JSON" });
    expect((await app.inject({ method: "OPTIONS", url: "/any/path" })).statusCode).toBe(200);
    expect((await create("{")).json()).toMatchObject({ message: expect.stringContaining("invalid JSON") });
    expect((await create('{"Image":"a","Image":"b"}')).statusCode).toBe(400);
    expect((await create("")).json()).toEqual({
      message: "invalid JSON: got EOF while reading request body",
    });
    expect((await create('{"Image":5}')).json()).toMatchObject({
      message: expect.stringContaining("field Image"),
    });
    expect((await create(`{"Image":"${"x".repeat(17 << 20)}"}`)).statusCode).toBe(413);
    expect((await app.inject({ method: "GET", url: "/nosuch" })).json()).toEqual({
      message: "page not found",
    });
    expect((await app.inject({ method: "GET", url: "/v1.99/_ping" })).statusCode).toBe(400);
    expect((await app.inject({ method: "GET", url: "/v1.20/_ping" })).json().message).toContain("too old");
  });
  it("beyond the rate are too many", async () => {
    const { app } = appFor("admin", 3);
    const answers = [];
    for (let i = 0; i < 5; i++) answers.push(await app.inject({ method: "GET", url: "/_ping" }));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 429, 429]);
    expect(answers[4]?.json()).toEqual({ message: "too many requests: cert:x may make 3 in a second" });
  });
  it("for images whose names hold slashes find their routes", async () => {
    const { app, records } = appFor("operator");
    await app.inject({ method: "POST", url: "/images/a.test:5000/b/c:v1/tag" });
    await app.inject({ method: "DELETE", url: "/v1.43/images/b/c:v1?force=1" });
    expect(records.map(({ action, object }) => [action, object])).toEqual([
      ["image:tag", "image/a.test:5000/b/c:v1"],
      ["image:remove", "image/b/c:v1"],
    ]);
  });
});
