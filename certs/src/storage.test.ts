// What an authority leaves on the disk: modes, nothing replaced or half done, damage named, the key encrypted.
import { chmodSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { initAuthority } from "./init.ts";
import { listCertificates } from "./inspect.ts";
import { issueClient, issueServer } from "./issue.ts";
import { refreshCrl } from "./revoke.ts";
import {
  everything,
  hasOpenssl,
  openssl,
  permissions,
  temporaryDirectory,
  testAuthority,
} from "./test-support.ts";

const statusOf = (directory: string, name: string): string[] =>
  listCertificates({ directory })
    .certificates.filter((entry) => entry.name === name)
    .map((entry) => entry.status);

describe("files", () => {
  it("have the modes that keep keys secret, whatever the umask", async () => {
    const before = process.umask(0o077);
    try {
      const { directory } = await testAuthority();
      await issueServer({ directory, names: ["localhost"], name: "second" });
      await issueClient({ directory, name: "alice" });
      const modes = Object.fromEntries(
        everything(directory).map((name) => [name, permissions(join(directory, name))]),
      );
      const issued = (path: string) => ({
        [path]: "700",
        [`${path}/ca.pem`]: "444",
        [`${path}/cert.pem`]: "444",
        [`${path}/key.pem`]: "400",
      });
      expect(permissions(directory)).toBe("700");
      expect(modes).toEqual({
        "ca.pem": "444",
        "ca-key.pem": "400",
        "crl.pem": "444",
        "index.json": "600",
        clients: "700",
        ...issued("server-second"),
        ...issued("clients/alice"),
      });
    } finally {
      process.umask(before);
    }
  });

  it("are not replaced without force", async () => {
    const { directory } = await testAuthority();
    await issueClient({ directory, name: "alice" });
    const key = readFileSync(join(directory, "clients/alice/key.pem"), "utf8");
    await expect(issueClient({ directory, name: "alice" })).rejects.toThrow(/clients\/alice exists already/);
    await expect(initAuthority({ directory, name: "x", bits: 2048 })).rejects.toThrow(
      /ca\.pem exists already/,
    );
    expect(readFileSync(join(directory, "clients/alice/key.pem"), "utf8")).toBe(key);
    await issueClient({ directory, name: "alice", force: true });
    expect(readFileSync(join(directory, "clients/alice/key.pem"), "utf8")).not.toBe(key);
    expect(statusOf(directory, "alice")).toEqual(["valid", "valid"]);
    const { movedTo } = await initAuthority({ directory, name: "x", bits: 2048, force: true });
    expect(everything(movedTo ?? "")).toContain("clients/alice/key.pem");
    expect(everything(directory).filter((name) => !name.startsWith("old-"))).toEqual([
      "ca-key.pem",
      "ca.pem",
      "crl.pem",
      "index.json",
    ]);
  });

  it("of an issue that failed are not there, and the index does not know it", async () => {
    const { directory } = await testAuthority();
    // A place where nobody can make directories, not even root.
    symlinkSync("/proc/self", join(directory, "clients"));
    const [before, index] = [readdirSync(directory), readFileSync(join(directory, "index.json"), "utf8")];
    await expect(issueClient({ directory, name: "alice" })).rejects.toThrow(/mkdir/);
    expect(readdirSync(directory)).toEqual(before);
    expect(readFileSync(join(directory, "index.json"), "utf8")).toBe(index);
  });

  it("of an authority that could not be made are not there", async () => {
    const parent = temporaryDirectory();
    await expect(
      initAuthority({ directory: join(parent, "a/b"), name: "x", bits: 2048, passphrase: "" }),
    ).rejects.toThrow(/passphrase is empty/);
    expect(everything(parent)).toEqual([]);
    chmodSync(parent, 0o777);
    await expect(initAuthority({ directory: parent, name: "x", bits: 2048 })).rejects.toThrow(
      /others may write/,
    );
  });

  it("that are damaged are named", async () => {
    const { directory } = await testAuthority();
    const index = join(directory, "index.json");
    const original = readFileSync(index, "utf8");
    for (const [content, message] of [
      ["{", /index\.json: not JSON/],
      ["{}", /index\.json: is no index of version 1/],
      [original.replace('"kind": "ca"', '"kind": "cat"'), /certificates\[0\]: kind is missing or wrong/],
    ] as const) {
      writeFileSync(index, content);
      await expect(refreshCrl({ directory })).rejects.toThrow(message);
    }
    rmSync(index);
    await expect(refreshCrl({ directory })).rejects.toThrow(/index\.json: does not exist/);
    writeFileSync(index, original);
    rmSync(join(directory, "ca-key.pem"));
    const stranger = await testAuthority();
    writeFileSync(join(directory, "ca-key.pem"), readFileSync(join(stranger.directory, "ca-key.pem")));
    await expect(refreshCrl({ directory })).rejects.toThrow(/ca-key\.pem: is not the key of/);
  });
});

describe("a passphrase", () => {
  it("encrypts the key, and a wrong one says so", async () => {
    const { directory } = await testAuthority({ passphrase: "open sesame" });
    const pem = readFileSync(join(directory, "ca-key.pem"), "utf8");
    expect(pem).toContain("BEGIN ENCRYPTED PRIVATE KEY");
    if (hasOpenssl) expect(openssl(["asn1parse"], { input: pem }).text).toContain("aes-256-cbc");
    const issue = (passphrase: string | undefined) =>
      issueClient({ directory, name: "alice", passphrase: async () => passphrase });
    await expect(issue("wrong")).rejects.toThrow(/ca-key\.pem: cannot be decrypted: the passphrase is wrong/);
    await expect(issue(undefined)).rejects.toThrow(/ca-key\.pem is encrypted: give its passphrase/);
    expect(everything(directory)).not.toContain("clients");
    await expect(issue("open sesame")).resolves.toMatchObject({ entry: { name: "alice" } });
  });
});
