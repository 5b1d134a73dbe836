// The registry client without a registry: challenges, proxies, insecure ones, documents, pauses.
import { describe, expect, it } from "vitest";
import { parseChallenges } from "./credentials.ts";
import { refusal } from "./errors.ts";
import { pause } from "./http.ts";
import { readDocument, sha256 } from "./manifest.ts";
import { isLayer, mediaTypes } from "./media-types.ts";
import { isInsecure, proxyFor, type RegistrySettings } from "./settings.ts";

const settings = (changes: Partial<RegistrySettings> = {}): RegistrySettings => ({
  mirrors: new Map(),
  insecure: [],
  certificateDirectories: [],
  proxy: { http: "", https: "", exceptions: "" },
  maximumDownloads: 3,
  maximumUploads: 5,
  downloadAttempts: 5,
  ...changes,
});

describe("challenges", () => {
  it.each([
    [
      'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull,push"',
      [
        {
          scheme: "bearer",
          parameters: {
            realm: "https://auth.test/token",
            service: "registry.test",
            scope: "repository:a/b:pull,push",
          },
        },
      ],
    ],
    ['Basic realm="a \\"quoted\\" one"', [{ scheme: "basic", parameters: { realm: 'a "quoted" one' } }]],
    [
      'Negotiate, Basic realm=x, Bearer realm="https://t"',
      [
        { scheme: "negotiate", parameters: {} },
        { scheme: "basic", parameters: { realm: "x" } },
        { scheme: "bearer", parameters: { realm: "https://t" } },
      ],
    ],
    ["", []],
    ["@@", []],
  ])("%s", (header, expected) => {
    expect(parseChallenges(header)).toEqual(expected);
  });
});

describe("which registries need not show who they are", () => {
  it.each([
    ["127.0.0.1:5000", [], true],
    ["localhost:5000", [], true],
    ["[::1]:5000", [], true],
    ["10.1.2.3:5000", [], false],
    ["10.1.2.3:5000", ["10.0.0.0/8"], true],
    ["10.1.2.3:5000", ["10.1.2.3:5000"], true],
    ["10.1.2.3:5001", ["10.1.2.3:5000"], false],
    ["registry.test:5000", ["registry.test"], true],
    ["127.0.0.1.evil.test", [], false],
    ["registry.test", ["10.0.0.0/8"], false],
  ])("%s with %j: %s", (authority, insecure, expected) => {
    expect(isInsecure(authority, settings({ insecure }))).toBe(expected);
  });
});

describe("proxies", () => {
  const proxy = {
    http: "http://plain:1",
    https: "secure:2",
    exceptions: "internal.test,.corp.test,10.0.0.0/8,one.test:444",
  };
  it.each([
    ["https://registry.test/v2/", "http://secure:2"],
    ["http://registry.test/v2/", "http://plain:1"],
    ["https://internal.test/", undefined],
    ["https://a.internal.test/", undefined],
    ["https://a.corp.test/", undefined],
    ["https://notcorp.test/", "http://secure:2"],
    ["https://10.9.8.7/", undefined],
    ["https://11.9.8.7/", "http://secure:2"],
    ["https://one.test:444/", undefined],
    ["https://one.test/", "http://secure:2"],
    ["http://127.0.0.1:5000/", undefined],
    ["http://localhost/", undefined],
  ])("%s by %s", (url, expected) => {
    expect(proxyFor(new URL(url), settings({ proxy }))).toBe(expected);
  });
});

describe("documents", () => {
  const digest = sha256("x");
  const config = { mediaType: mediaTypes.ociConfig, digest, size: 1 };
  const document = (value: object, mediaType: string) => {
    const bytes = Buffer.from(JSON.stringify(value));
    return { bytes, mediaType, digest: sha256(bytes) };
  };
  const manifest = { schemaVersion: 2, config, layers: [] };

  it("are manifests or indexes", () => {
    expect(readDocument(document(manifest, mediaTypes.ociManifest))).toHaveProperty(
      "manifest.config.digest",
      digest,
    );
    const index = { schemaVersion: 2, manifests: [] };
    expect(readDocument(document(index, mediaTypes.dockerIndex))).toHaveProperty("index.manifests", []);
  });

  it.each([
    ["both at once", { ...manifest, manifests: [] }, mediaTypes.ociManifest, "has manifests"],
    [
      "an index with layers",
      { schemaVersion: 2, manifests: [], layers: [] },
      mediaTypes.ociIndex,
      "has layers",
    ],
    [
      "another's word",
      { ...manifest, mediaType: mediaTypes.ociIndex },
      mediaTypes.ociManifest,
      "calls itself",
    ],
    ["version 1", manifest, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"],
    [
      "no digest",
      { ...manifest, config: { ...config, digest: "sha256:.." } },
      mediaTypes.ociManifest,
      "config.digest: not a sha256 digest",
    ],
    [
      "a negative size",
      { ...manifest, config: { ...config, size: -1 } },
      mediaTypes.ociManifest,
      "config.size",
    ],
    ["something else", manifest, "text/html", 'unsupported manifest media type "text/html"'],
  ])("are refused: %s", (_what, value, type, message) => {
    expect(() => readDocument(document(value, type))).toThrow(message);
  });

  it("layers are told by their types", () => {
    for (const type of ["+gzip", "+zstd", "", "+gzip+encrypted"])
      expect(isLayer(mediaTypes.ociLayer + type)).toBe(true);
    expect(isLayer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")).toBe(false);
  });
});

describe("refusals and pauses", () => {
  it("speak as registries do", () => {
    const body = '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}';
    expect(refusal(404, body, "")).toMatchObject({
      message: "manifest unknown: manifest unknown",
      status: 404,
    });
    expect(refusal(502, "<html>", "gateway")).toMatchObject({ message: "gateway", transient: true });
  });

  it("last as long as the server asks, within bounds", () => {
    expect(pause(1)).toBe(200);
    expect(pause(1, "3")).toBe(3000);
    expect(pause(3, "0")).toBe(800);
    expect(pause(1, "86400")).toBe(60_000);
    expect(pause(1, "soon")).toBe(200);
  });
});
