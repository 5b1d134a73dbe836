// What the tests share: directories that go away, the openssl program, and an authority with small keys.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, vi } from "vitest";
import { initAuthority } from "./init.ts";

// Making RSA keys takes as long as chance will have it, on a busy machine many times as long.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const temporaries: string[] = [];
afterAll(() => {
  for (const path of temporaries) rmSync(path, { recursive: true, force: true });
});

/** A new directory; it goes when the test file is through. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "tsd-certs-"));
  temporaries.push(path);
  return path;
}

export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
if (!hasOpenssl) console.warn("openssl is not installed: the tests that compare with it are skipped");

/** What openssl says (both streams), and its status. */
export function openssl(words: readonly string[], options: { cwd?: string; input?: string } = {}) {
  const result = spawnSync("openssl", [...words], { encoding: "utf8", ...options });
  return { status: result.status, text: `${result.stdout}${result.stderr}` };
}

/** openssl verify with everything on: chain, purpose, revocation. */
export const opensslVerify = (
  directory: string,
  purpose: "sslclient" | "sslserver",
  file: string,
  ...more: string[]
) =>
  openssl(
    [
      ..."verify -x509_strict -crl_check -CAfile ca.pem -CRLfile crl.pem -purpose".split(" "),
      purpose,
      ...more,
      file,
    ],
    { cwd: directory },
  );

export const permissions = (path: string): string => (statSync(path).mode & 0o777).toString(8);

/** Every path under a directory, sorted. */
export const everything = (directory: string): string[] =>
  readdirSync(directory, { recursive: true }).map(String).sort();

export async function testAuthority(options: { passphrase?: string; now?: Date; days?: number } = {}) {
  const directory = join(temporaryDirectory(), "authority");
  const result = await initAuthority({ directory, name: "Test authority", bits: 2048, ...options });
  return { directory, ...result };
}
