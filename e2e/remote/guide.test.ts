// docs/remote.md's five minutes, followed to the letter: its commands, its output, on two hosts.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";
import { output, run } from "../harness/command.ts";
import { hasDocker, repository } from "../harness/daemon.ts";

interface Step {
  host: "server" | "laptop";
  command: string;
  /** What the guide shows; … stands for anything. */
  shown: string;
}

/** The guide's commands with what it shows of their output. */
function stepsOf(guide: string): Step[] {
  const steps: Step[] = [];
  for (const [, host = "", block = ""] of guide.matchAll(/^```sh (server|laptop)\n([\s\S]*?)^```$/gm))
    for (const line of block.replace(/\n$/, "").split("\n")) {
      if (line.startsWith("$ "))
        steps.push({ host: host as Step["host"], command: line.slice(2), shown: "" });
      else (steps.at(-1) as Step).shown += `${line}\n`;
    }
  return steps;
}

const pattern = (shown: string): RegExp =>
  new RegExp(
    `^${shown
      .split("…")
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      .join("[\\s\\S]*?")}$`,
  );

/** A host's shell: a network namespace, and a file system in which the paths of the guide are its own. */
class Host {
  readonly #shell: ChildProcessByStdio<Writable, Readable, null>;
  #text = "";
  #wake: () => void = () => undefined;

  constructor(namespace: string, home: string, prepare: string) {
    const words = [`--net=/run/netns/${namespace}`, "unshare", "--mount", "--propagation", "private", "bash"];
    const bin = ["daemon", "client"].map((name) => join(repository, "packages", name, "bin")).join(":");
    const { DOCKER_HOST, TSD_HOST, ...environment } = process.env;
    this.#shell = spawn("nsenter", words, {
      env: { ...environment, HOME: home, PATH: `${bin}:${join(home, "bin")}:${process.env.PATH}` },
      stdio: ["pipe", "pipe", "inherit"],
      cwd: home,
    });
    this.#shell.stdout.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString();
      this.#wake();
    });
    this.#shell.stdin.write(`exec 2>&1\n${prepare}\n`);
  }

  get pid(): number {
    return this.#shell.pid ?? 0;
  }

  async run(command: string): Promise<string> {
    const end = `--end-${Math.random().toString(36).slice(2)}--`;
    this.#text = "";
    this.#shell.stdin.write(`${command}\necho ${end}\n`);
    while (!this.#text.includes(end))
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#text.slice(0, this.#text.indexOf(end));
  }

  end(): void {
    this.#shell.stdin.end();
    this.#shell.kill();
  }
}

const id = process.pid.toString(36);
const namespaces = { server: `tsd-guide-s${id}`, laptop: `tsd-guide-l${id}` };
/** Where the guide's server keeps its things; made where this machine has none, to be mounted on. */
const places = ["/etc/tsd", "/var/lib/tsd"];
const made: string[] = [];
let scratch: string;
let hosts: Record<Step["host"], Host>;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "tsd-guide-"));
  const home = (name: string): string => {
    mkdirSync(join(scratch, name, "bin"), { recursive: true });
    return join(scratch, name);
  };
  const inside = (namespace: string, words: string): Promise<string> =>
    output("nsenter", [`--net=/run/netns/${namespace}`, "ip", ...words.split(" ")]);
  for (const namespace of Object.values(namespaces)) {
    await output("ip", ["netns", "add", namespace]);
    await inside(namespace, "link set lo up");
  }
  await inside(namespaces.server, "link add wire0 type veth peer name wire1");
  await inside(namespaces.server, `link set wire1 netns /run/netns/${namespaces.laptop}`);
  await inside(namespaces.server, "addr add 10.231.0.1/24 dev wire0");
  await inside(namespaces.server, "link set wire0 up");
  await inside(namespaces.laptop, "addr add 10.231.0.2/24 dev wire1");
  await inside(namespaces.laptop, "link set wire1 up");
  for (const path of places) if (mkdirSync(path, { recursive: true })) made.push(path);
  const own = [...places, "/run", "/var/log"].map((path) => `mount -t tmpfs tmpfs ${path}`);
  const server = new Host(namespaces.server, home("server"), own.join("; "));
  const laptop = new Host(namespaces.laptop, home("laptop"), "true");
  // The copy between hosts: by way of the server's file system as its shell sees it.
  const scp = `#!/bin/bash\nfrom=\${2#server:}\ncp -r /proc/${server.pid}/root$from "$3"\n`;
  writeFileSync(join(scratch, "laptop/bin/scp"), scp, { mode: 0o755 });
  hosts = { server, laptop };
});
afterAll(async () => {
  await hosts?.server.run("tsctl rm -f web; kill $(cat /run/tsd/tsd.pid); wait");
  for (const host of Object.values(hosts ?? {})) host.end();
  for (const namespace of Object.values(namespaces)) await run("ip", ["netns", "del", namespace]);
  for (const path of made) rmdirSync(path);
  rmSync(scratch, { recursive: true, force: true });
});

it.skipIf(!hasDocker)("the five minutes of docs/remote.md", async () => {
  const steps = stepsOf(readFileSync(join(repository, "docs/remote.md"), "utf8"));
  expect(steps.length).toBeGreaterThan(20);
  for (const { host, command, shown } of steps) {
    const said = await hosts[host].run(command);
    if (!command.endsWith("&")) expect(said, `${host}: ${command}`).toMatch(pattern(shown));
    // The guide's reader has an image already.
    if (command.startsWith("until tsctl"))
      await hosts.server.run(
        `node -e 'import("${repository}/scripts/busybox.mjs").then(({ importBusybox }) => importBusybox("tsctl", "busybox:latest", process.env))'`,
      );
  }
});
