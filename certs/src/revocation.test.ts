// Reading revocation lists: openssl's own with elliptic curves, ours, and what is none.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import forge from "node-forge";
import { beforeAll, describe, expect, it } from "vitest";
import { signRevocationList } from "./crl.ts";
import { makeKeyPair, signingKey } from "./keys.ts";
import { normalSerial, readRevocationList } from "./revocation.ts";
import { hasOpenssl, openssl, temporaryDirectory } from "./test-support.ts";
import { type Issuer, makeSubject } from "./x509.ts";

let issuer: Issuer;
beforeAll(async () => {
  const { privateKey } = await makeKeyPair(2048);
  issuer = {
    subject: makeSubject("Zoë", ["Unit"]),
    keyIdentifier: "k".repeat(20),
    key: signingKey(privateKey),
  };
});

const list = (serials: string[], nextUpdate = "2027-01-01T00:00:00Z"): string =>
  signRevocationList(
    {
      number: 300,
      thisUpdate: new Date("2026-01-01T00:00:00Z"),
      nextUpdate: new Date(nextUpdate),
      revoked: serials.map((serial, index) => ({
        serial,
        at: new Date("2025-12-31T23:59:59Z"),
        reason: index === 0 ? "keyCompromise" : "unspecified",
      })),
    },
    issuer,
  );

describe("serial numbers", () => {
  it.each([
    ["0a", "A"],
    ["00:0A:ff", "AFF"],
    ["0x5C0FFEE", "5C0FFEE"],
    ["00", "0"],
    ["-0B", "-B"],
  ])("%s is %s", (text, normal) => expect(normalSerial(text)).toBe(normal));
  it.each(["", "xyz", "0x", "12 g"])('"%s" is none', (text) =>
    expect(() => normalSerial(text)).toThrow(/no serial number/),
  );
});

describe("a list of ours", () => {
  it("reads as it was written", () => {
    const [read] = readRevocationList(list(["7FAB", "0123"]));
    expect(read).toEqual({
      issuer: "OU=Unit, CN=Zoë",
      thisUpdate: new Date("2026-01-01T00:00:00Z"),
      nextUpdate: new Date("2027-01-01T00:00:00Z"),
      serials: new Set(["7FAB", "123"]),
      reasons: new Map([
        ["7FAB", "keyCompromise"],
        ["123", "unspecified"],
      ]),
    });
  });
  it("may be empty, and end after 2049", () => {
    const [read] = readRevocationList(list([], "2050-06-01T00:00:00Z"));
    expect(read?.nextUpdate).toEqual(new Date("2050-06-01T00:00:00Z"));
    expect(read?.serials.size).toBe(0);
  });
  it("may be one of several in a file, between other blocks", () => {
    const other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const lists = readRevocationList(`text\n${list(["01"])}${other}${list(["02"])}`);
    expect(lists.map((one) => [...one.serials])).toEqual([["1"], ["2"]]);
  });
});

describe("what is no list", () => {
  const block = (der: string): string =>
    `-----BEGIN X509 CRL-----\n${Buffer.from(der, "latin1").toString("base64")}\n-----END X509 CRL-----\n`;
  const der = (pem: string): string =>
    Buffer.from(pem.replace(/-----.*-----/g, ""), "base64").toString("latin1");
  /** The list with something at a place of its signed part. */
  const changed = (place: number, ...nodes: forge.asn1.Asn1[]): string => {
    const whole = forge.asn1.fromDer(der(list(["01"])));
    const signed = Array.isArray(whole.value) ? whole.value[0] : undefined;
    if (!Array.isArray(signed?.value)) throw new Error("no list");
    signed.value.splice(place, 1, ...nodes);
    return block(forge.asn1.toDer(whole).getBytes());
  };
  const node = (type: number, value: string): forge.asn1.Asn1 =>
    forge.asn1.create(forge.asn1.Class.UNIVERSAL, type, false, value);

  it.each<[string, () => string, RegExp]>([
    ["nothing", () => "", /no "X509 CRL" PEM block/],
    ["a certificate", () => "-----BEGIN CERTIFICATE-----", /no "X509 CRL" PEM block/],
    ["half a file", () => list(["01"]).slice(0, 400), /1 of 1 PEM blocks have no end/],
    [
      "no base64",
      () => list(["01"]).replace(/\n.{20}/, "\n????"),
      /list 1 of 1: its PEM block is not base64/,
    ],
    ["cut bytes", () => block(der(list(["01"])).slice(0, -50)), /list 1 of 1: Too few bytes/],
    ["a number", () => block("\x02\x01\x05"), /the certificate list is missing or no sequence/],
    ["version 3", () => changed(0, node(2, "\x02")), /version 3 is not 2/],
    ["no issuer", () => changed(2, node(5, "")), /the issuer is missing or no sequence/],
    ["a wrong time", () => changed(3, node(23, "261301000000Z")), /"261301000000Z" is no time/],
    ["a time without seconds", () => changed(3, node(23, "2601010000Z")), /is no time/],
  ])("%s", (_, make, message) => expect(() => readRevocationList(make())).toThrow(message));

  it("nor one with a critical extension that could change its meaning", () => {
    const delta = der(list(["01"])).replace("\x06\x03\x55\x1d\x14\x04", "\x06\x03\x55\x1d\x1b\x04");
    expect(() => readRevocationList(block(delta))).not.toThrow();
    const { asn1 } = forge;
    const extension = asn1.create(0, 16, true, [
      node(6, "\x55\x1d\x1b"),
      node(1, "\xff"),
      node(4, "\x02\x01\x01"),
    ]);
    const extensions = asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, [
      asn1.create(0, 16, true, [extension]),
    ]);
    expect(() => readRevocationList(changed(6, extensions))).toThrow(/critical extension 2\.5\.29\.27/);
  });
});

describe.skipIf(!hasOpenssl)("openssl's list, with an elliptic curve", () => {
  it("names the serials and reasons that openssl does", () => {
    const directory = temporaryDirectory();
    const run = (...words: string[]): string => {
      const result = openssl(words, { cwd: directory });
      if (result.status !== 0) throw new Error(result.text);
      return result.text;
    };
    mkdirSync(join(directory, "new"));
    writeFileSync(join(directory, "index.txt"), "");
    writeFileSync(join(directory, "crlnumber"), "0F\n");
    writeFileSync(
      join(directory, "ca.cnf"),
      "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=new\ncrlnumber=crlnumber\ndefault_md=sha384\n" +
        "default_crl_days=7\ndefault_days=9\npolicy=p\ncrl_extensions=x\nunique_subject=no\n" +
        "serial=serial\n[x]\nauthorityKeyIdentifier=keyid:always\n[p]\ncommonName=supplied\n[req]\n" +
        "distinguished_name=n\nprompt=no\nx509_extensions=a\n[a]\nsubjectKeyIdentifier=hash\n[n]\nO=Elliptic\nCN=curve authority\n",
    );
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-config", "ca.cnf"];
    run("req", "-x509", ...curve, "-keyout", "ca.key", "-out", "ca.pem");
    for (const [serial, reason] of [
      ["01", "superseded"],
      ["0A", undefined],
      ["0FEDCBA9876543210FEDCBA987654321", "keyCompromise"],
    ] as const) {
      writeFileSync(join(directory, "serial"), `${serial}\n`);
      run("req", ...curve, "-subj", `/CN=c${serial}`, "-keyout", "c.key", "-out", "c.csr");
      const authority = ["-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem"];
      run("ca", "-batch", ...authority, "-in", "c.csr", "-out", "c.pem");
      run("ca", ...authority, "-revoke", "c.pem", ...(reason ? ["-crl_reason", reason] : []));
      run("ca", ...authority, "-gencrl", "-out", "crl.pem");
    }
    const [read] = readRevocationList(readFileSync(join(directory, "crl.pem"), "utf8"));
    expect(read?.issuer).toBe("O=Elliptic, CN=curve authority");
    expect([...(read?.reasons ?? [])].sort()).toEqual([
      ["1", "superseded"],
      ["A", "unspecified"],
      ["FEDCBA9876543210FEDCBA987654321", "keyCompromise"],
    ]);
    const days = (Number(read?.nextUpdate) - Number(read?.thisUpdate)) / 86_400_000;
    expect(days).toBe(7);
  });
});
