// Trust: images signed or not, policies that were changed, files and blobs that were tampered with, encrypted layers.
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory, layerTar, savedArchive } from "../harness/archives.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon, tsctlProgram } from "../harness/daemon.ts";
import { hasRegistry, hasSkopeo, TestRegistry } from "../harness/registry.ts";

const REGISTRY = "127.0.0.1:5000";
const files = archiveDirectory();
const at = (name: string): string => join(files.path, name);
const policyFile = at("policy.json");
let daemon: TestDaemon;
let registry: TestRegistry;

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect(`${stderr}${status}`).toBe("0");
  return stdout.trim();
}
const refusal = async (...words: string[]): Promise<string> => {
  const { status, stderr, stdout } = await daemon.tsctl(...words);
  expect(status).not.toBe(0);
  return stderr || stdout;
};

const publicKey = (name: string): string => readFileSync(at(`${name}.pub`), "utf8");

/** Writes a policy and signs it. */
async function writePolicy(policy: object, key = "owner"): Promise<void> {
  writeFileSync(policyFile, JSON.stringify(policy));
  await output(tsctlProgram, ["trust", "sign", "--key", at(`${key}.key`), policyFile]);
}

interface Options {
  revoked?: boolean;
  signedBy?: string[];
}
const policy = ({ revoked = false, signedBy = ["release"] }: Options = {}): object => ({
  version: 1,
  keys: {
    release: { publicKey: publicKey("release"), revoked },
    other: { publicKey: publicKey("other") },
  },
  rules: [
    { repository: `${REGISTRY}/signed/*`, signedBy },
    { repository: `${REGISTRY}/readonly/**`, push: false },
    { repository: `${REGISTRY}/banned/**`, pull: false, run: false },
    { repository: `${REGISTRY}/**`, run: ["unix:0", "role:operator"] },
    { repository: "local", run: true },
  ],
  otherwise: "deny",
});

async function reload(): Promise<void> {
  const before = daemon.log.split("SIGHUP: ").length;
  process.kill(daemon.pid, "SIGHUP");
  await eventually("it is read again", () => daemon.log.split("SIGHUP: ").length > before);
}

describe.skipIf(!hasRegistry)("trust", () => {
  beforeAll(async () => {
    for (const name of ["owner", "release", "other"])
      await output(tsctlProgram, ["trust", "keygen", at(name)]);
    await writePolicy(policy());
    daemon = await TestDaemon.start("trust", undefined, {
      flags: [
        "--image-policy",
        policyFile,
        "--image-policy-key",
        at("owner.pub"),
        "--image-key-dir",
        at("keys"),
      ],
    });
    registry = await TestRegistry.start(daemon.namespace, { address: "127.0.0.1", port: 5000 });
    await daemon.importBusybox();
  });
  afterAll(async () => {
    await registry?.stop();
    await daemon?.stop();
    files.remove();
  });

  describe("signatures and policies", () => {
    const signed = `${REGISTRY}/signed/box:1`;
    const unsigned = `${REGISTRY}/signed/box:2`;

    beforeAll(async () => {
      for (const name of [signed, `${REGISTRY}/free/box:1`, `${REGISTRY}/banned/box:1`]) {
        await tsctl("tag", "busybox", name);
        await tsctl("push", "-q", name);
      }
      await tsctl("create", "--name", "change", "busybox");
      await tsctl("commit", "-m", "other", "change", unsigned);
      await tsctl("rm", "change");
      await tsctl("push", "-q", unsigned);
      await tsctl("image", "sign", "--key", at("release.key"), signed);
      // busybox came from no registry, and now it has been in several: from here on they count.
      await tsctl("rmi", "-f", signed, unsigned, `${REGISTRY}/free/box:1`, `${REGISTRY}/banned/box:1`);
    });

    it("an unsigned image is not pulled; one that is signed runs", async () => {
      expect(await refusal("pull", unsigned)).toMatch(
        /denied by the image policy: 127.0.0.1:5000\/signed\/box@sha256:[0-9a-f]{64} is not signed/,
      );
      await tsctl("pull", "-q", signed);
      expect(await tsctl("run", "--rm", signed, "echo", "signed")).toBe("signed");
    });

    it("a signature by another key is none", async () => {
      await writePolicy(policy({ signedBy: ["other"] }));
      await reload();
      expect(await refusal("pull", signed)).toContain(
        "is signed by none of the keys that it must be signed by",
      );
      expect(await refusal("run", "--rm", signed, "true")).toContain("is signed by none of the keys");
      const mount = ["--mount", `type=image,src=${signed},dst=/x`];
      expect(await refusal("run", "--rm", ...mount, "busybox", "true")).toContain(
        "is signed by none of the keys",
      );
    });

    it("a revoked key ends pulls, runs and starts", async () => {
      await writePolicy(policy());
      await reload();
      await tsctl("create", "--name", "waiting", signed, "true");
      const mount = ["--mount", `type=image,src=${signed},dst=/x`];
      await tsctl("create", "--name", "mounting", ...mount, "busybox", "true");
      await writePolicy(policy({ revoked: true }));
      await reload();
      expect(await refusal("pull", signed)).toContain("must be signed by keys that are all revoked");
      expect(await refusal("run", "--rm", signed, "true")).toContain("keys that are all revoked");
      expect(await refusal("start", "waiting")).toContain("keys that are all revoked");
      expect(await refusal("start", "mounting")).toContain("keys that are all revoked");
      await writePolicy(policy());
      await reload();
      await tsctl("start", "waiting");
      await tsctl("wait", "waiting");
      await tsctl("rm", "waiting", "mounting");
    });

    it("what a rule denies: pull, push, and a run under another name", async () => {
      expect(await refusal("pull", `${REGISTRY}/banned/box:1`)).toContain(
        "denied by the image policy: pull of 127.0.0.1:5000/banned/box by unix:0",
      );
      await tsctl("tag", "busybox", `${REGISTRY}/readonly/box:1`);
      expect(await refusal("push", `${REGISTRY}/readonly/box:1`)).toContain(
        "denied by the image policy: push to 127.0.0.1:5000/readonly/box",
      );
      expect(await refusal("pull", "elsewhere.test/x")).toContain("no rule is for elsewhere.test/x");
      await tsctl("pull", "-q", `${REGISTRY}/free/box:1`);
      await tsctl("run", "--rm", `${REGISTRY}/free/box:1`, "true");
    });

    it("a policy edited by hand: not taken up, and no start with it", async () => {
      writeFileSync(policyFile, readFileSync(policyFile, "utf8").replace('"deny"', '"allow"'));
      await reload();
      expect(daemon.log).toContain("its signature is not of this file by this key");
      expect(await refusal("pull", "elsewhere.test/x")).toContain("no rule is for");
      await daemon.end();
      await expect(daemon.launch()).rejects.toThrow(
        /policy.json: its signature is not of this file by this key/,
      );
      await writePolicy(policy(), "other");
      await expect(daemon.launch()).rejects.toThrow("its signature is not of this file by this key");
      await writePolicy({ ...policy(), otherwise: "perhaps" });
      await expect(daemon.launch()).rejects.toThrow(/policy.json: otherwise: /);
      await writePolicy(policy());
      await daemon.launch();
    });
  });

  describe("tampering in the store", () => {
    const name = `${REGISTRY}/kept/image:1`;
    const layers = (): string => join(daemon.dataRoot, "layers");
    const blobs = (): string => join(daemon.dataRoot, "blobs/sha256");
    const inLayers = (file: string): string =>
      join(
        layers(),
        readdirSync(layers()).find((one) => readdirSync(join(layers(), one)).includes(file)) ?? "",
        file,
      );

    beforeAll(async () => {
      const tar = await layerTar(
        files.path,
        "kept",
        "mkdir bin; cp /bin/busybox bin/busybox; ln -s busybox bin/cat; echo before > precious; head -c 300000 /dev/urandom > noise",
      );
      await tsctl(
        "load",
        "-q",
        "-i",
        await savedArchive(files.path, [tar], [name], { Cmd: ["cat", "/precious"] }),
      );
      await tsctl("push", "-q", name);
      await tsctl("rmi", name);
      await tsctl("pull", "-q", name);
    });

    it("an image that nobody touched is intact", async () => {
      expect(await tsctl("image", "verify", name)).toContain(`${name}: intact`);
      expect(await tsctl("run", "--rm", name)).toBe("before");
    });

    it("a file that was changed, with its time put back, is found before a start and on demand", async () => {
      const path = inLayers("precious");
      const { atime, mtime } = statSync(path);
      writeFileSync(path, "after!\n");
      utimesSync(path, atime, mtime);
      const examined = await daemon.tsctl("image", "verify", name);
      expect(examined.status).toBe(1);
      expect(examined.stdout).toMatch(
        /BAD layer +sha256:[0-9a-f]{64} {2}layer sha256:[0-9a-f]{64}: precious is not as it was unpacked/,
      );
      // What was found right since the daemon began is not read again at each start: another daemon does.
      await daemon.end();
      await daemon.launch();
      expect(await refusal("run", "--rm", name)).toMatch(
        /is not intact: layer sha256:[0-9a-f]{64}: precious is not as it was/,
      );
      writeFileSync(path, "before\n");
      utimesSync(path, atime, mtime);
      expect(await tsctl("run", "--rm", name)).toBe("before");
      await tsctl("image", "verify", name);
    });

    it("a blob that was changed is named, and neither pushed nor saved", async () => {
      const before = JSON.parse(await tsctl("image", "verify", "--format", "json", name)) as {
        Findings: { Kind: string; Digest: string }[];
      };
      const digest = before.Findings.find(({ Kind }) => Kind === "blob")?.Digest ?? "";
      const path = join(blobs(), digest.replace("sha256:", ""));
      const bytes = readFileSync(path);
      const changed = Buffer.from(bytes);
      changed[200_000] = (changed[200_000] ?? 0) ^ 1;
      writeFileSync(path, changed);
      const examined = await daemon.tsctl("image", "verify", name);
      expect(examined.stdout).toContain(`blob ${digest} was changed`);
      expect((await daemon.tsctl("save", "-o", at("bad.tar"), name)).status).not.toBe(0);
      expect(readdirSync(files.path)).not.toContain("bad.tar");
      writeFileSync(path, bytes);
      await tsctl("image", "verify", name);
    });

    it("a blob that was changed in the registry is not taken", async () => {
      await tsctl("rmi", name);
      const data = await output("sh", [
        "-c",
        `find ${registry.directory}/data -name data -size +300k | head -50`,
      ]);
      for (const path of data.split("\n")) {
        const bytes = readFileSync(path);
        bytes[bytes.length - 3] = (bytes[bytes.length - 3] ?? 0) ^ 1;
        writeFileSync(path, bytes);
      }
      expect(await refusal("pull", name)).toMatch(/verification failed|unpacking layer|incorrect|invalid/);
      expect((await daemon.tsctl("inspect", name)).status).toBe(1);
    });
  });

  describe.skipIf(!hasSkopeo)("encrypted images, made by skopeo", () => {
    const name = `${REGISTRY}/secret/image:1`;

    beforeAll(async () => {
      for (const key of ["reader", "stranger"]) {
        await output("openssl", ["genrsa", "-out", at(`${key}.pem`), "2048"]);
        await output("openssl", ["rsa", "-in", at(`${key}.pem`), "-pubout", "-out", at(`${key}.public`)]);
      }
      const tar = await layerTar(
        files.path,
        "secret",
        "mkdir bin; cp /bin/busybox bin/; ln -s busybox bin/cat; echo hidden > secret",
      );
      const archive = await savedArchive(files.path, [tar], ["secret:1"], { Cmd: ["cat", "/secret"] });
      const copied = await registry.inside(
        "skopeo",
        ...["copy", "-q", "--dest-tls-verify=false", "--encryption-key", `jwe:${at("reader.public")}`],
        ...[`docker-archive:${archive}`, `docker://${name}`],
      );
      expect(copied.stderr + copied.status).toBe("0");
    });

    it("without a key, and with another one, there is a clear refusal", async () => {
      expect(await refusal("pull", name)).toMatch(
        /layer sha256:[0-9a-f]{64} is encrypted, and there is no key for it/,
      );
      expect(await refusal("pull", "--decryption-key", at("stranger.pem"), name)).toContain(
        "is encrypted for another key",
      );
      expect(await refusal("pull", "--decryption-key", at("reader.public"), name)).toContain(
        "not a private key in PEM",
      );
      expect((await daemon.tsctl("inspect", name)).status).toBe(1);
    });

    it("with the client's key it runs, and goes on encrypted", async () => {
      await tsctl("pull", "-q", "--decryption-key", at("reader.pem"), name);
      expect(await tsctl("run", "--rm", name)).toBe("hidden");
      await tsctl("image", "verify", name);
      await tsctl("tag", name, `${REGISTRY}/secret/again:1`);
      await tsctl("push", "-q", `${REGISTRY}/secret/again:1`);
      const raw = await registry.inside(
        "skopeo",
        "inspect",
        "--raw",
        "--tls-verify=false",
        `docker://${REGISTRY}/secret/again:1`,
      );
      expect(raw.stdout).toContain("+encrypted");
      const opened = await registry.inside(
        "skopeo",
        ...["copy", "-q", "--src-tls-verify=false", "--decryption-key", at("reader.pem")],
        ...[`docker://${REGISTRY}/secret/again:1`, `oci:${at("opened")}:1`],
      );
      expect(opened.stderr + opened.status).toBe("0");
      await tsctl("rmi", "-f", name, `${REGISTRY}/secret/again:1`);
    });

    it("with the daemon's key folder nothing needs to be given", async () => {
      await output("sh", ["-c", `mkdir -p ${at("keys")} && cp ${at("reader.pem")} ${at("keys")}/`]);
      await tsctl("pull", "-q", name);
      expect(await tsctl("run", "--rm", name)).toBe("hidden");
      expect(daemon.log).not.toContain("PRIVATE KEY");
      await tsctl("rmi", name);
    });
  });
});
