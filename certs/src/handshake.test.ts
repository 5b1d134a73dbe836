// The whole point: TLS handshakes with what was issued; strangers, servers as clients and revoked clients stay out.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import { beforeAll, describe, expect, it } from "vitest";
import { issueClient, issueServer } from "./issue.ts";
import { revoke } from "./revoke.ts";
import { testAuthority } from "./test-support.ts";

let directory: string;
beforeAll(async () => {
  ({ directory } = await testAuthority());
  await issueServer({ directory, names: ["localhost", "127.0.0.1"] });
  for (const [name, role] of [
    ["alice", "admin"],
    ["mallory", "operator"],
  ] as const)
    await issueClient({ directory, name, role });
  await revoke({ directory, target: "mallory", reason: "keyCompromise" });
});

const pems = (path: string) => ({
  cert: readFileSync(join(path, "cert.pem")),
  key: readFileSync(join(path, "key.pem")),
});

/** What a server makes of a client: its units, or why not. A server that insists only says that it refused. */
async function shakeHands(client: { cert?: Buffer; key?: Buffer }, insists: boolean): Promise<unknown> {
  const ca = readFileSync(join(directory, "ca.pem"));
  const server = createServer({
    ...pems(join(directory, "server")),
    ca,
    crl: readFileSync(join(directory, "crl.pem")),
    requestCert: true,
    rejectUnauthorized: insists,
  });
  const verdict = new Promise((resolve) => {
    server.once("secureConnection", (socket) =>
      // Node sets a code here; its type says Error.
      resolve(socket.authorized ? socket.getPeerCertificate().subject.OU : String(socket.authorizationError)),
    );
    server.once("tlsClientError", () => resolve("refused"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ca, ...client });
  // The server's refusal reaches the client as a reset; what counts is what the server says.
  socket.on("error", () => socket.destroy());
  try {
    return await verdict;
  } finally {
    socket.destroy();
    server.close();
  }
}

describe("a daemon that insists on clients' certificates", () => {
  it("takes a client and sees its role", async () => {
    expect(await shakeHands(pems(join(directory, "clients/alice")), true)).toBe("tsd:admin");
  });

  it.each<[string, () => Promise<string> | string, RegExp]>([
    ["a revoked client", () => join(directory, "clients/mallory"), /^CERT_REVOKED$/],
    ["a server's certificate from a client", () => join(directory, "server"), /^INVALID_PURPOSE$/],
    [
      "another authority's client of the same name",
      async () => {
        const other = await testAuthority();
        return (await issueClient({ directory: other.directory, name: "alice", role: "admin" })).path;
      },
      /^(UNABLE_TO_|SELF_SIGNED_|CERT_SIGNATURE_)/,
    ],
  ])("refuses %s", async (_, prepare, reason) => {
    const path = await prepare();
    expect(await shakeHands(pems(path), true)).toBe("refused");
    expect(await shakeHands(pems(path), false)).toMatch(reason);
  });

  it("refuses who has none", async () => {
    expect(await shakeHands({}, true)).toBe("refused");
  });
});
