// Credentials on disk: encrypted, by passphrase or key file, in docker's helpers, and as docker login leaves them.
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CredentialStore } from "./credentials.ts";
import { registryName, registryOf } from "./names.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tsd-credentials-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});
const store = (environment: NodeJS.ProcessEnv = {}): CredentialStore =>
  new CredentialStore({ config: directory } as never, environment);
const bob = { username: "bob", password: "very secret" };

describe("credentials", () => {
  it("are read back, forgotten, and readable by nobody else", async () => {
    await store().set("registry.test", bob);
    expect(await store().get("registry.test")).toEqual(bob);
    expect(await store().get("other.test")).toEqual({});
    for (const name of readdirSync(directory)) {
      expect(readFileSync(join(directory, name), "latin1")).not.toContain("secret");
      expect(statSync(join(directory, name)).mode & 0o077).toBe(0);
    }
    expect(await store().all()).toEqual({ "registry.test": bob });
    expect([await store().erase("registry.test"), await store().erase("registry.test")]).toEqual([
      true,
      false,
    ]);
    expect(await store().get("registry.test")).toEqual({});
  });

  it("need the passphrase that they were written with", async () => {
    await store({ TSD_CREDENTIALS_PASSPHRASE: "one" }).set("registry.test", bob);
    expect(readdirSync(directory)).toEqual(["credentials.sealed.json"]);
    expect(await store({ TSD_CREDENTIALS_PASSPHRASE: "one" }).get("registry.test")).toEqual(bob);
    await expect(store({ TSD_CREDENTIALS_PASSPHRASE: "two" }).get("registry.test")).rejects.toThrow(
      "can't be opened",
    );
    await expect(store().get("registry.test")).rejects.toThrow("needs its passphrase");
  });

  it("that were changed are not taken", async () => {
    await store().set("registry.test", bob);
    const path = join(directory, "credentials.sealed.json");
    const sealed = JSON.parse(readFileSync(path, "utf8")) as { data: string };
    const bytes = Buffer.from(sealed.data, "base64");
    bytes[3] = (bytes[3] ?? 0) ^ 1;
    writeFileSync(path, JSON.stringify({ ...sealed, data: bytes.toString("base64") }));
    await expect(store().get("registry.test")).rejects.toThrow("can't be opened");
  });

  it("are those of docker login, where there are no others", async () => {
    const auth = Buffer.from("ann:a:b").toString("base64");
    writeFileSync(
      join(directory, "config.json"),
      JSON.stringify({
        auths: { "https://index.docker.io/v1/": { auth }, "token.test": { identitytoken: "t" } },
      }),
    );
    expect(await store().get("docker.io")).toEqual({ username: "ann", password: "a:b" });
    expect(await store().get("token.test")).toEqual({ identitytoken: "t" });
  });

  it("go to the helper program that docker's configuration names", async () => {
    const bin = join(directory, "bin");
    mkdirSync(bin);
    const helper = join(bin, "docker-credential-test");
    // It keeps what it is given in a file, and says so as the protocol has it.
    writeFileSync(
      helper,
      `#!/bin/sh
case "$1" in
store) cat > ${directory}/kept ;;
get) read server; [ -e ${directory}/kept ] && cat ${directory}/kept || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm -f ${directory}/kept ;;
esac
`,
    );
    chmodSync(helper, 0o755);
    vi.stubEnv("PATH", `${bin}:${process.env.PATH}`);
    writeFileSync(join(directory, "config.json"), '{"credsStore":"test"}');
    expect(await store().get("registry.test")).toEqual({});
    await store().set("registry.test", bob);
    expect(JSON.parse(readFileSync(join(directory, "kept"), "utf8"))).toEqual({
      ServerURL: "registry.test",
      Username: "bob",
      Secret: "very secret",
    });
    expect(await store().get("registry.test")).toEqual(bob);
    await store().erase("registry.test");
    expect(readdirSync(directory)).not.toContain("kept");
    expect(readdirSync(directory)).not.toContain("credentials.sealed.json");
  });
});

describe("registries' names", () => {
  it.each([
    ["busybox", "docker.io"],
    ["team/app:1", "docker.io"],
    ["localhost/app", "localhost"],
    ["registry.test:5000/a/b@sha256:x", "registry.test:5000"],
  ])("%s is in %s", (image, registry) => {
    expect(registryOf(image)).toBe(registry);
  });
  it.each([
    ["", "docker.io"],
    ["https://index.docker.io/v1/", "docker.io"],
    ["https://registry.test/v2/", "registry.test"],
    ["registry.test:5000", "registry.test:5000"],
  ])("%s means %s", (typed, registry) => {
    expect(registryName(typed)).toBe(registry);
  });
});
