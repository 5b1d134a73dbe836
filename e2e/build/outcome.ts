// Builds a Dockerfile with docker build in some engine, and describes what came out: what was printed, the image's
// configuration and history, and every file that is not its base's.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { extract } from "tar-stream";
import { output, type Result, run } from "../harness/command.ts";
import type { Case } from "./corpus.ts";

export const BASE = "tsd-build-base:1";

export interface Outcome {
  status: number;
  /** Of the output, without ids. */
  lines: string[];
  error: string;
  config?: unknown;
  history?: string[];
  layers?: number;
  files?: string[];
}

/** Removes images by their ids and names, as far as they are there. */
export async function removeImages(docker: Docker, images: readonly string[]): Promise<void> {
  for (const image of [...images].reverse()) await docker("rmi", "-f", image);
}

/** docker, talking to one engine. */
export const dockerAt =
  (host: string) =>
  (...words: string[]): Promise<Result> =>
    run("docker", words, { env: { DOCKER_HOST: host, DOCKER_BUILDKIT: "0" } });
export type Docker = ReturnType<typeof dockerAt>;

/** Makes a context in a new directory below `parent`. */
export async function makeContext(
  parent: string,
  { context, dockerfile }: Case,
  base = BASE,
): Promise<string> {
  const directory = mkdtempSync(join(parent, "context-"));
  writeFileSync(join(directory, "Dockerfile"), dockerfile.replaceAll("BASE", base));
  if (context) await output("sh", ["-euc", `umask 022; cd "$0"; ${context}`, directory]);
  return directory;
}

export function contextsDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "tsd-build-contexts-"));
  mkdirSync(path, { recursive: true });
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

const RED = "\u001b[91m";
const PLAIN = "\u001b[0m";

/** What is printed, without what differs by nature: ids, digests, and containers (dockerd has one for each step). */
export const shownLines = (text: string): string[] =>
  text
    .replaceAll(RED, "")
    .replaceAll(PLAIN, "")
    .split(/\r?\n/)
    .filter((line) => !/^(?: ---> (?:Running in|Removed intermediate)|Sending build context)/.test(line))
    .map((line) => line.replace(/\b[0-9a-f]{12}\b/g, "ID"))
    .filter(Boolean);

/** The error without the client's own words, and without paths of the engine's. */
const errorText = (text: string): string =>
  text
    .split("\n")
    .filter((line) => line && !/DEPRECATED|^\s+(?:Install|BuildKit|https|environment)/.test(line))
    .join("\n")
    .replace(/^Error response from daemon: /, "")
    .replaceAll(/\/\S*overlay2\/\S*\/merged/g, "");

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === "" ||
  value === false ||
  (typeof value === "object" && Object.keys(value as object).length === 0);

/** Builds it; the image is called `tag`. All images that come of it are added to `made`. */
export async function build(
  docker: Docker,
  directory: string,
  tag: string,
  { flags = [] }: Case,
  made: string[],
): Promise<Outcome> {
  const file = flags[0] === "-f" ? ["-f", join(directory, flags[1] ?? "")] : [...flags];
  const { status, stdout, stderr } = await docker("build", "-t", tag, ...file, directory);
  for (const [, id = ""] of stdout.matchAll(/^ ---> ([0-9a-f]{12})$/gm)) made.push(id);
  return { status, lines: shownLines(stdout), error: errorText(stderr) };
}

/** What came of a build. */
export async function describeImage(
  docker: Docker,
  tag: string,
  base: ReadonlySet<string>,
): Promise<Partial<Outcome>> {
  const inspected = await docker("image", "inspect", tag);
  const [{ Config, RootFS, Author }] = JSON.parse(inspected.stdout) as [
    { Config: Record<string, unknown>; RootFS: { Layers: string[] }; Author: string },
  ];
  const { Image: _image, Hostname: _hostname, ...config } = Config;
  const kept = Object.entries({ ...config, Author }).filter(([, value]) => !isEmpty(value));
  const history = await docker("history", "--no-trunc", "--format", "{{.CreatedBy}} | {{.Comment}}", tag);
  const files = await filesOf(docker, tag);
  return {
    config: Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1))),
    history: history.stdout
      .trim()
      .split("\n")
      .map((line) => line.replace(/\b(file|dir|multi):[0-9a-f]{64}/g, "$1:SUM")),
    layers: RootFS.Layers.length,
    files: [...files].filter((line) => !base.has(line)).sort(),
  };
}

const ownFiles = /^(?:\.dockerenv|dev\/.*|proc\/.*|sys\/.*|etc\/(?:hosts|hostname|resolv\.conf|mtab))$/;
const PLAUSIBLE = Date.UTC(2010, 0) / 1000;

/** Every file of an image, a line each: mode, owner, size, contents, link; times where they were given. */
export async function filesOf(docker: Docker, image: string): Promise<Set<string>> {
  const created = await docker("create", image, "x");
  if (created.status !== 0) throw new Error(created.stderr);
  const id = created.stdout.trim();
  try {
    const { host } = await hostOf(docker);
    return await exported(host, id);
  } finally {
    await docker("rm", "-v", id);
  }
}

/** Where a docker function talks to. */
async function hostOf(docker: Docker): Promise<{ host: string }> {
  const { stdout } = await docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}");
  return { host: stdout.trim() };
}

async function exported(host: string, id: string): Promise<Set<string>> {
  const child = spawn("docker", ["export", id], { env: { ...process.env, DOCKER_HOST: host } });
  const lines = new Set<string>();
  const entries = extract();
  child.stdout.pipe(entries);
  for await (const entry of entries) {
    const { name, mode = 0, uid, gid, size, type, linkname, mtime, pax } = entry.header;
    const hash = createHash("sha256");
    for await (const chunk of entry as AsyncIterable<Buffer>) hash.update(chunk);
    if (ownFiles.test(name)) continue;
    const seconds = (mtime?.getTime() ?? 0) / 1000;
    const attributes = Object.keys(pax ?? {}).filter((key) => key.startsWith("SCHILY.xattr."));
    lines.add(
      [
        name,
        type,
        mode.toString(8),
        `${uid}:${gid}`,
        type === "file" ? size : "",
        type === "file" ? hash.digest("hex").slice(0, 12) : "",
        linkname ?? "",
        type === "file" && seconds > 0 && seconds < PLAUSIBLE ? seconds : "",
        attributes.join(","),
      ].join(" "),
    );
  }
  return lines;
}
