// Makes image archives for tests: layers with all sorts of entries, as docker save's tar and as OCI layouts.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { output } from "./command.ts";

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Runs a shell script in an empty directory and returns the tar of what it made there. */
export async function layerTar(directory: string, name: string, script: string): Promise<string> {
  const root = join(directory, `${name}-root`);
  mkdirSync(root);
  await output("sh", ["-euc", `cd "$0"; ${script}`, root]);
  const tar = join(directory, `${name}.tar`);
  await output("tar", ["--xattrs", "--numeric-owner", "-C", root, "-cf", tar, "."]);
  return tar;
}

export type Compression = "none" | "gzip" | "zstd";

async function compressed(tar: string, compression: Compression): Promise<string> {
  if (compression === "none") return tar;
  const target = `${tar}.${compression}`;
  await output("sh", ["-c", `${compression === "gzip" ? "gzip -nc" : "zstd -qc"} "$0" > "$1"`, tar, target]);
  return target;
}

function configuration(tars: readonly string[], settings: object): Buffer {
  const config = {
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    created: "2024-01-02T03:04:05Z",
    config: settings,
    rootfs: { type: "layers", diff_ids: tars.map((tar) => `sha256:${sha256(readFileSync(tar))}`) },
    history: tars.map((_, index) => ({ created: "2024-01-02T03:04:05Z", created_by: `layer ${index}` })),
  };
  return Buffer.from(JSON.stringify(config));
}

/** docker save's format of before OCI layouts. */
export async function savedArchive(
  directory: string,
  tars: readonly string[],
  names: readonly string[],
  settings: object = {},
): Promise<string> {
  const root = mkdtempSync(join(directory, "save-"));
  const config = configuration(tars, settings);
  const id = sha256(config);
  writeFileSync(join(root, `${id}.json`), config);
  const layers: string[] = [];
  for (const [index, tar] of tars.entries()) {
    mkdirSync(join(root, `layer${index}`));
    writeFileSync(join(root, `layer${index}/layer.tar`), readFileSync(tar));
    layers.push(`layer${index}/layer.tar`);
  }
  writeFileSync(
    join(root, "manifest.json"),
    JSON.stringify([{ Config: `${id}.json`, RepoTags: names, Layers: layers }]),
  );
  const archive = `${root}.tar`;
  await output("tar", ["-C", root, "-cf", archive, "."]);
  return archive;
}

const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));

/** Writes blobs into a layout's directory; each call returns the blob's descriptor. */
const blobWriter =
  (root: string) =>
  (bytes: Buffer, mediaType: string): object => {
    const digest = sha256(bytes);
    writeFileSync(join(root, "blobs/sha256", digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };

/** An OCI image layout, with its index nested once. */
export async function layoutArchive(
  directory: string,
  tars: readonly string[],
  name: string,
  compression: Compression,
): Promise<string> {
  const root = mkdtempSync(join(directory, "layout-"));
  mkdirSync(join(root, "blobs/sha256"), { recursive: true });
  const blob = blobWriter(root);
  const suffix = compression === "none" ? "" : `+${compression}`;
  const layers: object[] = [];
  for (const tar of tars)
    layers.push(
      blob(
        readFileSync(await compressed(tar, compression)),
        `application/vnd.oci.image.layer.v1.tar${suffix}`,
      ),
    );
  const config = blob(
    configuration(tars, { Cmd: ["cat", "/file"] }),
    "application/vnd.oci.image.config.v1+json",
  );
  const manifest = blob(
    json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers }),
    "application/vnd.oci.image.manifest.v1+json",
  );
  const platform = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
  const nested = blob(
    json({ schemaVersion: 2, manifests: [{ ...manifest, platform }] }),
    "application/vnd.oci.image.index.v1+json",
  );
  const annotations = { "io.containerd.image.name": name };
  writeFileSync(
    join(root, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...nested, annotations }] }),
  );
  writeFileSync(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const archive = `${root}.tar`;
  await output("tar", ["-C", root, "-cf", archive, "."]);
  return archive;
}

/** The directory of an OCI layout with an index "multi" of an image for amd64 and one for arm64. */
export async function multiPlatformLayout(directory: string): Promise<string> {
  const root = mkdtempSync(join(directory, "multi-"));
  mkdirSync(join(root, "blobs/sha256"), { recursive: true });
  const blob = blobWriter(root);
  const manifests: object[] = [];
  for (const architecture of ["arm64", "amd64"]) {
    const tar = await layerTar(directory, `multi-${architecture}`, `echo ${architecture} > architecture`);
    const bytes = readFileSync(tar);
    const config = {
      architecture,
      os: "linux",
      created: "2024-01-02T03:04:05Z",
      config: {},
      rootfs: { type: "layers", diff_ids: [`sha256:${sha256(bytes)}`] },
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: blob(json(config), "application/vnd.oci.image.config.v1+json"),
      layers: [blob(bytes, "application/vnd.oci.image.layer.v1.tar")],
    };
    manifests.push({ ...blob(json(manifest), manifest.mediaType), platform: { os: "linux", architecture } });
  }
  const index = blob(
    json({ schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests }),
    "application/vnd.oci.image.index.v1+json",
  );
  const annotations = { "org.opencontainers.image.ref.name": "multi" };
  writeFileSync(
    join(root, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations }] }),
  );
  writeFileSync(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  return root;
}

/** A directory for archives, and its removal. */
export function archiveDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "tsd-archives-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const sizeOf = (path: string): number => statSync(path).size;
