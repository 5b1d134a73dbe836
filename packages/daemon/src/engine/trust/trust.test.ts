// The image policy and signatures as data: what is read, what is judged, what is signed by whom.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fit, parsePlatform } from "../images/platform.ts";
import { repositoryName } from "../images/reference.ts";
import { ImagePolicy } from "./policy.ts";
import { isSignedBy } from "./signatures.ts";

const pair = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync("ec", { namedCurve: "P-256" });
const owner = pair();
const release = pair();
const pem = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();

function read(policy: object, signer = owner.privateKey): ImagePolicy {
  const bytes = Buffer.from(JSON.stringify(policy));
  return ImagePolicy.read(bytes, sign("sha256", bytes, signer).toString("base64"), pem(owner.publicKey));
}

const policy = {
  version: 1,
  keys: {
    release: { publicKey: pem(release.publicKey) },
    old: { publicKey: pem(owner.publicKey), revoked: true },
  },
  rules: [
    { repository: "registry.test/shop/*", signedBy: ["release", "old"], push: ["role:operator", "cert:ann"] },
    { repository: "registry.test/**", run: false },
  ],
  otherwise: "deny",
};
const ann = { id: "cert:ann", role: "viewer" };
const bob = { id: "cert:bob", role: "operator" };
const eve = { id: "cert:eve", role: undefined };

describe("the image policy", () => {
  it.each([
    ["registry.test/shop/web", "pull", eve, true],
    ["registry.test/shop/web", "push", ann, true],
    ["registry.test/shop/web", "push", bob, true],
    ["registry.test/shop/web", "push", eve, false],
    ["registry.test/shop/a/b", "run", ann, false],
    ["registry.test/x", "pull", ann, true],
    ["registry.testx/shop/web", "pull", ann, false],
    ["elsewhere.test/x", "pull", ann, false],
  ] as const)("%s %s by %j: %s", (repository, act, actor, allowed) => {
    expect(read(policy).judge(repository, act, actor).allowed).toBe(allowed);
  });

  it("asks for signatures by keys that are not revoked, where something comes in or runs", () => {
    const { signers } = read(policy).judge("registry.test/shop/web", "run", ann);
    expect(signers?.map(({ name }) => name)).toEqual(["release"]);
    expect(read(policy).judge("registry.test/shop/web", "push", ann).signers).toBeUndefined();
  });

  it.each([
    ["another's signature", policy, release.privateKey, "its signature is not of this file by this key"],
    [
      "an unknown key",
      { ...policy, keys: {} },
      owner.privateKey,
      'rules.0.signedBy: there is no key "release"',
    ],
    ["an unknown field", { ...policy, rule: [] }, owner.privateKey, "rule"],
    ["no word for the rest", { ...policy, otherwise: undefined }, owner.privateKey, "otherwise"],
    [
      "a key that is none",
      { ...policy, keys: { release: { publicKey: "x" } } },
      owner.privateKey,
      "keys.release.publicKey",
    ],
  ])("is refused with %s", (_what, value, signer, message) => {
    expect(() => read(value, signer)).toThrow(message);
  });
});

describe("signatures", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  const payload = (of: string, type = "cosign container image signature"): Buffer =>
    Buffer.from(
      JSON.stringify({ critical: { type, image: { "docker-manifest-digest": of } }, optional: null }),
    );
  const signed = (bytes: Buffer) => ({
    digest,
    payload: bytes,
    signature: sign("sha256", bytes, release.privateKey).toString("base64"),
  });

  it("count for the digest and the key that they are of", () => {
    expect(isSignedBy(signed(payload(digest)), release.publicKey)).toBe(true);
    expect(isSignedBy(signed(payload(digest)), owner.publicKey)).toBe(false);
    expect(isSignedBy(signed(payload(`sha256:${"b".repeat(64)}`)), release.publicKey)).toBe(false);
    expect(isSignedBy(signed(payload(digest, "another claim")), release.publicKey)).toBe(false);
    expect(isSignedBy(signed(Buffer.from("no JSON")), release.publicKey)).toBe(false);
    expect(isSignedBy({ ...signed(payload(digest)), payload: payload(digest, "x") }, release.publicKey)).toBe(
      false,
    );
  });
});

describe("names and platforms", () => {
  it.each([
    ["busybox", "docker.io", "library/busybox"],
    ["team/app", "docker.io", "team/app"],
    ["localhost/app", "localhost", "app"],
    ["registry.test/a/b", "registry.test", "a/b"],
    ["box:5000/a", "box:5000", "a"],
  ])("%s is %s %s", (name, registry, path) => {
    expect(repositoryName(name)).toEqual({ registry, path });
  });

  it("the best that runs", () => {
    const arm = (variant: string) => ({ os: "linux", architecture: "arm", variant });
    expect(fit(parsePlatform("linux/arm/v7"), arm("v6"))).toBeLessThan(
      fit(parsePlatform("linux/arm/v7"), arm("v7")) ?? 0,
    );
    expect(fit(parsePlatform("linux/arm/v6"), arm("v7"))).toBeUndefined();
    expect(
      fit(parsePlatform("aarch64"), { os: "linux", architecture: "arm64", variant: "v8" }),
    ).toBeDefined();
    expect(fit(parsePlatform("linux/amd64"), { os: "windows", architecture: "amd64" })).toBeUndefined();
    expect(() => parsePlatform("a/b/c/d")).toThrow('"a/b/c/d": cannot parse platform specifier');
  });
});
