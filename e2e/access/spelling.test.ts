// Requests spelled otherwise: names twice, other cases, odd bodies, paths, methods, headers, upgrades, smuggled requests.
import { describe, expect, it } from "vitest";
import { admin, ann, create, get, idOf, MEMORY, post, remote, send, useCast, viewer } from "./cast.ts";

useCast();

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
    for (const [headers, status] of [
      [{}, 403],
      [chunked, 403],
      [{ ...chunked, "content-type": "Application/JSON; charset=utf-8" }, 403],
      [{ ...chunked, "content-type": "text/plain" }, 400],
      [{ "content-type": "application/x-tar" }, 400],
      [{ "content-type": "multipart/form-data; boundary=x" }, 400],
      [{ "content-type": "" }, 400],
    ] as const) {
      const answer = await send({
        certificates: ann,
        method: "POST",
        path: "/containers/create",
        headers,
        body: large,
      });
      expect(answer.status, answer.text).toBe(status);
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
    // Docker says to OPTIONS that all is well, and no more than that.
    const options = await send({ certificates: viewer, method: "OPTIONS", path: "/containers/json" });
    expect(options).toMatchObject({ status: 200, text: "" });
    const methods = ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"];
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
