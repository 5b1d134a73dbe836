// An authority's life, judged by openssl: what it issues, revokes and renews, and what it refuses.
import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { listCertificates, verifyCertificates } from "./inspect.ts";
import { issueClient, issueServer, renew, renewAuthority } from "./issue.ts";
import { readRevocationList } from "./revocation.ts";
import { refreshCrl, revoke } from "./revoke.ts";
import { everything, hasOpenssl, openssl, opensslVerify, testAuthority } from "./test-support.ts";
import { DAY_MS } from "./x509.ts";

const later = (days: number): Date => new Date(Date.now() + days * DAY_MS);
const crlOf = (directory: string) => {
  const [list] = readRevocationList(readFileSync(join(directory, "crl.pem"), "utf8"));
  if (!list) throw new Error("no list");
  return list;
};
const certificateOf = (path: string) => new X509Certificate(readFileSync(join(path, "cert.pem")));
const statusOf = (directory: string, name: string): string[] =>
  listCertificates({ directory })
    .certificates.filter((entry) => entry.name === name)
    .map((entry) => entry.status);

describe.skipIf(!hasOpenssl)("by openssl's judgement", () => {
  let directory: string;
  const text = (file: string): string =>
    openssl(["x509", "-in", file, "-noout", "-text", "-nameopt", "RFC2253"], { cwd: directory }).text;
  beforeAll(async () => {
    ({ directory } = await testAuthority());
    await issueServer({ directory, names: ["box.example.com", "*.example.org", "10.1.2.3", "2001:db8::5"] });
    await issueClient({ directory, name: "alice", role: "admin", units: ["Ops"], names: ["email:a@b.de"] });
  });

  it("an authority signs certificates and lists, and no authorities", () => {
    const ca = text("ca.pem");
    expect(ca).toMatch(/Basic Constraints: critical\n\s+CA:TRUE, pathlen:0/);
    expect(ca).toMatch(/Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/);
    expect(ca).toContain("Subject Key Identifier");
    expect(
      openssl(["crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout"], { cwd: directory }).text,
    ).toContain("verify OK");
  });

  it("a server's certificate is one, for its names", () => {
    const server = text("server/cert.pem");
    expect(server).toMatch(/Key Usage: critical\n\s+Digital Signature, Key Encipherment\n/);
    expect(server).toMatch(/Extended Key Usage: ?\n\s+TLS Web Server Authentication\n/);
    expect(server).toContain("Authority Key Identifier");
    expect(server).toContain("Subject: CN=box.example.com");
    for (const check of [
      ["-verify_hostname", "box.example.com"],
      ["-verify_hostname", "any.example.org"],
      ["-verify_ip", "10.1.2.3"],
      ["-verify_ip", "2001:db8::5"],
    ])
      expect(opensslVerify(directory, "sslserver", "server/cert.pem", ...check)).toMatchObject({ status: 0 });
    expect(opensslVerify(directory, "sslserver", "server/cert.pem", "-verify_hostname", "x").status).not.toBe(
      0,
    );
    expect(opensslVerify(directory, "sslclient", "server/cert.pem").text).toContain(
      "nsuitable certificate purpose",
    );
  });

  it("a client's certificate is one, and tells its role", () => {
    const client = text("clients/alice/cert.pem");
    expect(client).toMatch(/Key Usage: critical\n\s+Digital Signature\n/);
    expect(client).toMatch(/Extended Key Usage: ?\n\s+TLS Web Client Authentication\n/);
    expect(client).toContain("Subject: CN=alice,OU=Ops,OU=tsd:admin");
    expect(client).toContain("email:a@b.de");
    expect(opensslVerify(directory, "sslclient", "clients/alice/cert.pem")).toMatchObject({ status: 0 });
    expect(opensslVerify(directory, "sslserver", "clients/alice/cert.pem").status).not.toBe(0);
  });

  it("a client without a role has none", async () => {
    await issueClient({ directory, name: "plain" });
    expect(text("clients/plain/cert.pem")).toContain("Subject: CN=plain\n");
  });

  it("a revoked one is revoked, with its reason, and the others are not", async () => {
    await issueClient({ directory, name: "mallory", role: "viewer" });
    expect(opensslVerify(directory, "sslclient", "clients/mallory/cert.pem").status).toBe(0);
    const result = await revoke({ directory, target: "mallory", reason: "keyCompromise" });
    expect(result.revoked).toHaveLength(1);
    expect(opensslVerify(directory, "sslclient", "clients/mallory/cert.pem").text).toContain(
      "certificate revoked",
    );
    expect(opensslVerify(directory, "sslclient", "clients/alice/cert.pem").status).toBe(0);
    const list = openssl(["crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout", "-text"], {
      cwd: directory,
    }).text;
    expect(list).toMatch(/verify OK[\s\S]*|[\s\S]*verify OK/);
    for (const part of ["Key Compromise", "CRL Number", "Authority Key Identifier", "Version 2"])
      expect(list).toContain(part);
  });

  it("an authority's new certificate is good for the old ones", async () => {
    const other = await testAuthority();
    await issueClient({ directory: other.directory, name: "carol" });
    const old = readFileSync(join(other.directory, "ca.pem"), "utf8");
    await renewAuthority({ directory: other.directory, days: 5000 });
    const renewed = readFileSync(join(other.directory, "ca.pem"), "utf8");
    expect(renewed).not.toBe(old);
    expect(readFileSync(join(other.directory, "clients/carol/ca.pem"), "utf8")).toBe(renewed);
    expect(opensslVerify(other.directory, "sslclient", "clients/carol/cert.pem")).toMatchObject({
      status: 0,
    });
  });
});

describe("renewing", () => {
  it("keeps who it is, with a new key, and the old one lives", async () => {
    const { directory } = await testAuthority();
    const names = ["DNS:alice.example", "URI:spiffe://x/alice"];
    const old = await issueClient({
      directory,
      name: "alice",
      role: "operator",
      units: ["Ops"],
      names,
      days: 100,
    });
    const before = certificateOf(old.path);
    const renewed = await renew({ directory, target: { client: "alice" }, now: later(50) });
    const after = certificateOf(renewed.path);
    expect([after.subject, after.subjectAltName]).toEqual([before.subject, before.subjectAltName]);
    expect(after.publicKey.equals(before.publicKey)).toBe(false);
    expect(Math.round((Date.parse(after.validTo) - Date.now()) / DAY_MS)).toBe(150);
    expect(renewed.entry.role).toBe("operator");
    expect(renewed.old.map((entry) => entry.serial)).toEqual([old.entry.serial]);
    expect(statusOf(directory, "alice")).toEqual(["valid", "valid"]);
    const all = await revoke({ directory, target: "alice" });
    expect(all.revoked).toHaveLength(2);
    await expect(renew({ directory, target: { client: "alice" } })).rejects.toThrow(
      /all its certificates are revoked/,
    );
    await expect(renew({ directory, target: { client: "nobody" } })).rejects.toThrow(
      /issued no such certificate/,
    );
  });

  it("revokes the old one on demand", async () => {
    const { directory } = await testAuthority();
    const old = await issueServer({ directory, names: ["localhost", "::1"] });
    const { entry } = await renew({ directory, target: { server: undefined }, revokeOld: true });
    expect(entry.names).toEqual(["DNS:localhost", "IP:::1"]);
    expect([...crlOf(directory).reasons]).toEqual([[old.entry.serial, "superseded"]]);
    expect(everything(directory).filter((name) => name.startsWith("."))).toEqual([]);
  });
});

describe("revoking", () => {
  it("means all of a name, or one serial; twice says so", async () => {
    const { directory } = await testAuthority();
    const first = await issueClient({ directory, name: "alice" });
    const second = await renew({ directory, target: { client: "alice" } });
    const serial = first.entry.serial.toLowerCase().replace(/(..)(?=.)/g, "$1:");
    const one = await revoke({ directory, target: serial, reason: "superseded" });
    expect(one.revoked.map((entry) => entry.serial)).toEqual([first.entry.serial]);
    const rest = await revoke({ directory, target: "alice" });
    expect(rest.revoked.map((entry) => entry.serial)).toEqual([second.entry.serial]);
    const number = rest.crl?.number;
    const again = await revoke({ directory, target: "alice" });
    expect([again.revoked.length, again.already.length, again.crl]).toEqual([0, 2, undefined]);
    expect((await refreshCrl({ directory })).number).toBe((number ?? 0) + 1);
    expect(crlOf(directory).reasons.get(first.entry.serial)).toBe("superseded");
    await expect(revoke({ directory, target: "nobody" })).rejects.toThrow(
      /has no server or client of this name/,
    );
    await expect(revoke({ directory, target: "CAFE" })).rejects.toThrow(/no such serial number/);
  });

  it("asks which when a server and a client share a name", async () => {
    const { directory } = await testAuthority();
    await issueServer({ directory, names: ["twin"] });
    await issueClient({ directory, name: "twin" });
    await expect(revoke({ directory, target: "twin" })).rejects.toThrow(
      /name of several.*server, clients\/twin/,
    );
    expect((await revoke({ directory, target: "clients/twin" })).revoked).toHaveLength(1);
  });
});

describe("the revocation list", () => {
  it("ends in a year, or with the authority", async () => {
    const year = await testAuthority();
    expect(Math.round((Number(crlOf(year.directory).nextUpdate) - Date.now()) / DAY_MS)).toBe(365);
    const short = await testAuthority({ days: 90 });
    expect(crlOf(short.directory).nextUpdate?.toISOString()).toBe(short.entry.notAfter);
    const { entry, shortened } = await issueClient({ directory: short.directory, name: "alice" });
    expect([entry.notAfter, shortened]).toEqual([short.entry.notAfter, true]);
  });

  it("is made anew by any command when it ends soon, is missing, damaged, or behind the index", async () => {
    const { directory } = await testAuthority();
    const path = join(directory, "crl.pem");
    const first = readFileSync(path, "utf8");
    await issueClient({ directory, name: "a", now: later(300) });
    expect(readFileSync(path, "utf8")).toBe(first);
    await issueClient({ directory, name: "b", now: later(340) });
    expect(crlOf(directory).nextUpdate?.getTime()).toBeGreaterThan(later(700).getTime());
    await revoke({ directory, target: "a" });
    for (const content of [undefined, first.slice(0, 300), first]) {
      rmSync(path);
      if (content !== undefined) writeFileSync(path, content);
      expect(listCertificates({ directory }).crlProblem).toMatch(/missing|cannot be read|does not hold/);
      await revoke({ directory, target: "a" });
      expect(crlOf(directory).serials.size).toBe(1);
      expect(listCertificates({ directory }).crlProblem).toBeUndefined();
    }
  });
});

describe("looking", () => {
  it("lists what ends soon and has no successor", async () => {
    const { directory } = await testAuthority();
    await issueClient({ directory, name: "renewed", days: 10 });
    await renew({ directory, target: { client: "renewed" }, days: 300 });
    await issueClient({ directory, name: "soon", days: 10 });
    await issueClient({ directory, name: "long" });
    const names = (expiring: number, now?: Date) =>
      listCertificates({ directory, expiring, now }).certificates.map(
        (entry) => `${entry.name} ${entry.status}`,
      );
    expect(names(20)).toEqual(["soon expiring"]);
    expect(names(5)).toEqual([]);
    expect(names(5, later(20))).toEqual(["soon expired"]);
    expect(statusOf(directory, "soon")).toEqual(["expiring"]);
  });

  it("says what certificates are worth", async () => {
    const [ours, theirs] = [await testAuthority(), await testAuthority()];
    const { directory } = ours;
    const alice = await issueClient({ directory, name: "alice" });
    const bob = await issueClient({ directory, name: "bob", days: 5 });
    const server = await issueServer({ directory, names: ["localhost"] });
    const stranger = await issueClient({ directory: theirs.directory, name: "eve" });
    await revoke({ directory, target: "alice", reason: "keyCompromise" });
    const files = [alice, bob, server, stranger].map(({ path }) => join(path, "cert.pem"));
    const verdicts = verifyCertificates({
      directory,
      files: [...files, join(directory, "ca.pem")],
      now: later(6),
    });
    expect(verdicts.map(({ usage, problems }) => [usage.join(), problems.join()])).toEqual([
      ["client", "revoked (keyCompromise)"],
      ["client", `expired ${bob.entry.notAfter.slice(0, 10)}`],
      ["server", ""],
      ["client", "not issued by this authority"],
      ["authority", ""],
    ]);
    mkdirSync(join(directory, "x"));
    expect(() => verifyCertificates({ directory, files: [join(directory, "x")] })).toThrow(
      /cannot read .*x: EISDIR/,
    );
    expect(() => verifyCertificates({ directory, files: [join(directory, "crl.pem")] })).toThrow(
      /no certificate in it/,
    );
  });
});
