// Registries through a proxy: with TLS by CONNECT, without it plainly, and those that are excepted not at all.
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory } from "../harness/archives.ts";
import { output, Talk } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { hasRegistry, TestRegistry } from "../harness/registry.ts";

/** Not of this machine's loop: those are never reached by a proxy. */
const [PROXIED, PLAIN, EXCEPTED] = ["10.98.0.1", "10.98.0.2", "10.98.1.1"];
const files = archiveDirectory();
let daemon: TestDaemon;
let proxy: Talk;
const registries: TestRegistry[] = [];

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect(`${stderr}${status}`).toBe("0");
  return stdout.trim();
}

describe.skipIf(!hasRegistry)("proxies", () => {
  beforeAll(async () => {
    const certificates = join(files.path, "certs");
    daemon = await TestDaemon.start("proxy", undefined, {
      flags: [
        ...["--registry-certs-dir", certificates, "--insecure-registry", `${PLAIN}:5000`],
        ...["--https-proxy", "http://127.0.0.1:5008", "--http-proxy", "http://127.0.0.1:5008"],
        ...["--no-proxy", "10.98.1.0/24"],
      ],
    });
    const inside = [`--net=/run/netns/${daemon.namespace}`];
    for (const address of [PROXIED, PLAIN, EXCEPTED]) {
      await output("nsenter", [...inside, "ip", "addr", "add", `${address}/32`, "dev", "lo"]);
      const registry = await TestRegistry.start(daemon.namespace, {
        address,
        port: 5000,
        tls: address !== PLAIN,
      });
      registries.push(registry);
      if (address === PLAIN) continue;
      mkdirSync(join(certificates, registry.authority), { recursive: true });
      copyFileSync(registry.certificate, join(certificates, registry.authority, "ca.crt"));
    }
    proxy = new Talk("nsenter", [
      ...inside,
      process.execPath,
      join(import.meta.dirname, "proxy.mjs"),
      "5008",
    ]);
    expect(await proxy.line()).toBe("listening");
    await daemon.importBusybox();
  });
  afterAll(async () => {
    proxy?.end();
    for (const registry of registries) await registry.stop();
    await daemon?.stop();
    files.remove();
  });

  it("and insecure registries are shown", async () => {
    const info = JSON.parse((await daemon.api("GET", "/info")).text) as Record<string, unknown>;
    expect(info).toMatchObject({
      HttpsProxy: "http://127.0.0.1:5008",
      NoProxy: "10.98.1.0/24",
      IndexServerAddress: "https://index.docker.io/v1/",
      RegistryConfig: {
        IndexConfigs: { "10.98.0.2:5000": { Secure: false }, "docker.io": { Official: true } },
      },
    });
  });

  it("what is no address is refused, naming it", async () => {
    const login = await daemon.api("POST", "/auth", { serveraddress: "02:42:ac:11:00:02" });
    expect([login.status, login.text]).toEqual([
      400,
      expect.stringContaining('serveraddress: \\"02:42:ac:11:00:02\\" is no address'),
    ]);
    expect((await daemon.api("GET", "/images/search?term=a:b:c/x")).status).toBe(400);
    expect((await daemon.api("POST", "/images/create?fromImage=box:99999/x&tag=1")).status).toBe(400);
  });

  it("are asked for what they are there for", async () => {
    const said: string[] = [];
    const listening = (async () => {
      for (;;) said.push(await proxy.line());
    })().catch(() => undefined); // it ends with the proxy
    for (const { authority } of registries) {
      await tsctl("tag", "busybox", `${authority}/box:1`);
      await tsctl("push", "-q", `${authority}/box:1`);
      await tsctl("rmi", `${authority}/box:1`);
      await tsctl("pull", "-q", `${authority}/box:1`);
      await tsctl("rmi", `${authority}/box:1`);
    }
    proxy.end();
    await listening;
    expect(said).toContain(`CONNECT ${PROXIED}:5000`);
    expect(said.some((line) => line.includes(`${PLAIN}:5000`))).toBe(true);
    expect(said.filter((line) => line.includes(EXCEPTED ?? ""))).toEqual([]);
  });
});
