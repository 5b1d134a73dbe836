// TLS: what is accepted, what is refused, and that the message says which certificate it was and why.
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Issued, TestAuthority } from "../testing/certificates.ts";
import { answerJson, refuseEarly, type TestServer, tlsServer } from "../testing/servers.ts";
import { ConnectionError, TsdClient } from "./index.ts";
import type { TlsOptions } from "./options.ts";

const authority = new TestAuthority();
const open: { close(): void }[] = [];
let server: Issued;
let alice: Issued;

beforeAll(() => {
  authority.authority("other", "another authority");
  // The same name as the first one's, and another key.
  authority.authority("twin", "test authority");
  server = authority.issue("server", { names: "DNS:localhost,DNS:engine.test,IP:127.0.0.1" });
  alice = authority.issue("alice", { usage: "clientAuth" });
});
afterAll(() => {
  for (const one of open) one.close();
  authority.remove();
});

const version = { Version: "0.1.0" };

async function serve(
  issued: Issued,
  options?: Parameters<typeof tlsServer>[2],
  answer: Parameters<typeof tlsServer>[1] = answerJson(version),
): Promise<TestServer> {
  const started = await tlsServer(issued, answer, options);
  open.push(started);
  return started;
}

const client = (port: number, tls: TlsOptions, host = "127.0.0.1", timeout = 5000): TsdClient =>
  new TsdClient({ host: `tcp://${host}:${port}`, tls, timeout });

/** How a call fails. */
async function failure(port: number, tls: TlsOptions, host?: string): Promise<ConnectionError> {
  const error: unknown = await client(port, tls, host)
    .version()
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConnectionError);
  return error as ConnectionError;
}

const ca = (): string => authority.path("ca.pem");

describe("a server that is what it says", () => {
  it("is accepted by name, by address, and by the name it was told to have", async () => {
    const { port } = await serve(server);
    for (const [host, tls] of [
      ["localhost", {}],
      ["127.0.0.1", {}],
      ["127.0.0.1", { servername: "engine.test" }],
    ] as const)
      expect(await client(port, { ca: ca(), ...tls }, host).version()).toEqual(version);
  });
  it("gets the name by SNI, but no address", async () => {
    const asked: unknown[] = [];
    const { port } = await serve(server, undefined, (socket) => {
      asked.push(socket.servername);
      answerJson(version)(socket);
    });
    await client(port, { ca: ca() }, "localhost").version();
    await client(port, { ca: ca() }).version();
    expect(asked).toEqual(["localhost", false]);
  });
  it("PEM text does for files, and the client's certificate arrives", async () => {
    let name = "";
    const { port } = await serve(
      server,
      { requestCert: true, ca: readFileSync(ca()), rejectUnauthorized: true },
      (socket) => {
        name = String(socket.getPeerCertificate().subject.CN);
        answerJson(version)(socket);
      },
    );
    const text = (path: string): string => readFileSync(path, "utf8");
    const tls = { ca: text(ca()), cert: text(alice.cert), key: text(alice.key) };
    expect(await client(port, tls).version()).toEqual(version);
    expect(name).toBe("alice");
  });
  it("TLS 1.1 is not spoken", async () => {
    const { port } = await serve(server, {
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "ALL:@SECLEVEL=0",
    });
    expect((await failure(port, { ca: ca() })).message).toMatch(/no version of TLS in common|TLS failed/);
  });
});

describe("the server's certificate", () => {
  const where = (port: number, host = "127.0.0.1"): string => `tcp://${host}:${port}: `;
  const named = (name: string): string =>
    `the server's certificate (CN=${name}, issued by CN=test authority)`;

  it("of another authority: the file is named", async () => {
    const { port } = await serve(server);
    const error = await failure(port, { ca: authority.path("other.pem") });
    expect(error.message).toBe(
      `${where(port)}${named("server")} is not signed by any authority in ${authority.path("other.pem")}`,
    );
    expect([error.code, error.certificate]).toEqual(["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "server"]);
  });
  it("of an authority of the same name", async () => {
    const { port } = await serve(server);
    const { message } = await failure(port, { ca: authority.path("twin.pem") });
    expect(message).toMatch(/another authority of the same name|not signed by any authority in .*twin\.pem/);
  });
  it("signed by itself", async () => {
    const own = { cert: authority.path("other.pem"), key: authority.path("other-key.pem") };
    const { port } = await serve(own);
    expect((await failure(port, { ca: ca() })).message).toBe(
      `${where(port)}the server's certificate (CN=another authority, issued by CN=another authority) is self-signed, and not in ${ca()}`,
    );
    expect((await failure(port, {})).message).toContain("is self-signed, and not known here");
  });
  it("expired: since when", async () => {
    const { port } = await serve(authority.issue("late", { names: "IP:127.0.0.1", days: -1 }));
    const error = await failure(port, { ca: ca() });
    expect(error.message).toMatch(/^tcp:.*\(CN=late, issued by CN=test authority\) expired at 20\d\d-.*Z$/);
    expect([error.code, error.certificate]).toEqual(["CERT_HAS_EXPIRED", "server"]);
  });
  it("for other names", async () => {
    const { port } = await serve(
      authority.issue("elsewhere", { names: "DNS:a.test,DNS:b.test,IP:10.0.0.1" }),
    );
    for (const host of ["127.0.0.1", "localhost"])
      expect((await failure(port, { ca: ca() }, host)).message).toBe(
        `${where(port, host)}${named("elsewhere")} is for a.test, b.test, 10.0.0.1, not for ${host}`,
      );
  });
  it("not for servers", async () => {
    const { port } = await serve(authority.issue("nobody", { names: "IP:127.0.0.1", usage: "clientAuth" }));
    const error = await failure(port, { ca: ca() });
    expect(error.message).toContain("is not for servers: its extended key usage lacks serverAuth");
    expect(error.code).toBe("INVALID_PURPOSE");
  });
  it("nothing is sent to a server that is refused", async () => {
    let received = 0;
    const { port } = await serve(server, undefined, (socket) => {
      socket.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
    });
    await failure(port, { ca: authority.path("other.pem") });
    await failure(port, { ca: ca(), servername: "wrong.test" });
    expect(received).toBe(0);
  });
  it("is not looked at without verification", async () => {
    const { port } = await serve(authority.issue("whatever", { days: -1 }));
    expect(await client(port, { verify: false, ca: "/nosuch/ca.pem" }).version()).toEqual(version);
  });
});

describe("the client's own files", () => {
  it.each<[string, () => TlsOptions, string]>([
    [
      "missing authorities",
      () => ({ ca: "/nosuch/ca.pem" }),
      "cannot read the file of authorities /nosuch/ca.pem: no such file",
    ],
    [
      "authorities that are none",
      () => ({ ca: alice.key }),
      "alice-key.pem holds no certificate in PEM format",
    ],
    [
      "missing certificate",
      () => ({ cert: "/nosuch/cert.pem", key: alice.key }),
      "cannot read the client certificate /nosuch/cert.pem: no such file",
    ],
    [
      "missing key",
      () => ({ cert: alice.cert, key: "/nosuch/key.pem" }),
      "cannot read the client's key /nosuch/key.pem: no such file",
    ],
    ["no key at all", () => ({ cert: alice.cert }), "there is no key to the client certificate"],
    ["no certificate at all", () => ({ key: alice.key }), "there is no client certificate to the key"],
    [
      "a key as the certificate",
      () => ({ cert: alice.key, key: alice.key }),
      "alice-key.pem holds no certificate in PEM format",
    ],
    [
      "a certificate as the key",
      () => ({ cert: alice.cert, key: alice.cert }),
      "alice.pem holds no private key in PEM format",
    ],
    [
      "a key of another",
      () => ({ cert: alice.cert, key: server.key }),
      "server-key.pem does not belong to the client certificate",
    ],
    [
      "an encrypted key",
      () => ({ cert: alice.cert, key: authority.encryptKey("alice") }),
      "alice-encrypted.pem is encrypted",
    ],
    ["a directory", () => ({ cert: authority.directory, key: alice.key }), "it is a directory"],
  ])("%s", async (what, tls, message) => {
    const { port } = await serve(server);
    const error = await failure(port, { ca: ca(), ...tls() });
    expect(error.message).toContain(message);
    expect(error.certificate).toBe(/authorities/.test(what) ? "authority" : "client");
  });
  it("damaged PEM is named", async () => {
    const { port } = await serve(server);
    const damaged = authority.path("damaged.pem");
    writeFileSync(damaged, readFileSync(alice.cert, "utf8").replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA"));
    expect((await failure(port, { ca: ca(), cert: damaged, key: alice.key })).message).toContain(damaged);
  });
  it.skipIf(process.getuid?.() === 0)("unreadable", async () => {
    const { port } = await serve(server);
    const secret = authority.path("secret.pem");
    writeFileSync(secret, "");
    chmodSync(secret, 0);
    expect((await failure(port, { ca: ca(), cert: secret, key: secret })).message).toContain(
      "permission denied",
    );
  });
});

/** A free port of loopback. */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });

/** openssl's own server: unlike Node's it refuses clients by TLS alerts, as servers in other languages do. */
async function opensslServer(...words: string[]): Promise<number> {
  const port = await freePort();
  const child: ChildProcess = spawn(
    "openssl",
    [
      ...["s_server", "-accept", `127.0.0.1:${port}`, "-cert", server.cert, "-key", server.key, "-www"],
      ...["-CAfile", ca(), "-Verify", "1", "-verify_return_error", ...words],
    ],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  open.push({ close: () => child.kill() });
  // It says so when it listens, which is not yet when it begins to speak.
  await new Promise<void>((resolve) => {
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("ACCEPT")) resolve();
    });
  });
  return port;
}

describe.each(["-tls1_3", "-tls1_2"])("the server's alerts (%s)", (protocol) => {
  it("no certificate", async () => {
    const port = await opensslServer(protocol);
    const error = await failure(port, { ca: ca() });
    expect(error.message).toBe(
      `tcp://127.0.0.1:${port}: the server asks for a client certificate, and none was given (--tlscert and --tlskey)`,
    );
    expect(error.certificate).toBe("client");
  });
  it("a certificate of another authority", async () => {
    const port = await opensslServer(protocol);
    const mallory = authority.issue("mallory", { usage: "clientAuth", by: "other" });
    expect((await failure(port, { ca: ca(), ...mallory })).message).toBe(
      `tcp://127.0.0.1:${port}: the client certificate ${mallory.cert} (CN=mallory, issued by CN=another authority) is of an authority that the server does not know`,
    );
  });
  it("an expired certificate: since when, by the file itself", async () => {
    const port = await opensslServer(protocol);
    const late = authority.issue("oldalice", { usage: "clientAuth", days: -1 });
    expect((await failure(port, { ca: ca(), ...late })).message).toMatch(
      /the client certificate .*oldalice\.pem \(CN=oldalice, issued by CN=test authority\) expired at 20\d\d-/,
    );
  });
});

describe("a refusal in words (403 before the request was read)", () => {
  const words = "client certificate refused: it was revoked";
  it.each(["TLSv1.3", "TLSv1.2"] as const)("is shown (%s)", async (maxVersion) => {
    const { port } = await serve(server, { maxVersion }, refuseEarly(words));
    await expect(client(port, { ca: ca() }).version()).rejects.toMatchObject({ status: 403, message: words });
  });
  it("is shown for a connection that was to be taken over", async () => {
    const { port } = await serve(server, undefined, refuseEarly(words));
    await expect(client(port, { ca: ca() }).containers.attach("x", {})).rejects.toMatchObject({
      message: words,
    });
  });
  it("a server that closes without a word: the own certificate's dates are told", async () => {
    const { port } = await serve(server, undefined, (socket) => {
      socket.once("data", () => socket.destroy());
    });
    const late = authority.issue("tired", { usage: "clientAuth", days: -1 });
    expect((await failure(port, { ca: ca(), ...late })).message).toMatch(
      /No wonder: .*tired\.pem .* expired at/,
    );
    expect((await failure(port, { ca: ca() })).message).toContain("none was given");
    expect((await failure(port, { ca: ca(), ...alice })).message).toContain(
      "It may not accept the client certificate",
    );
  });
});
