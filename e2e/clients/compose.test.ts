// docker-compose, unchanged, whichever version Debian has: a project with builds, health, networks and volumes, up and down.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { output, run } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

const hasCompose = (await run("docker-compose", ["version"]).catch(() => undefined))?.status === 0;

const dockerfile = `FROM busybox
ARG GREETING=none
RUN echo "$GREETING" > /greeting
COPY index.html /www/index.html
HEALTHCHECK --interval=1s --retries=20 CMD wget -q -O /dev/null http://127.0.0.1:8080/
CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
`;
const project = (value: string): string => `version: "3.9"
services:
  web:
    build: { context: ./app, args: { GREETING: good } }
    ports: ["127.0.0.1::8080"]
    networks: { front: { aliases: [site] }, back: {} }
    depends_on: { db: { condition: service_healthy } }
    environment: { VALUE: "${value}" }
    restart: unless-stopped
    stop_signal: SIGKILL
  db:
    image: busybox
    command: sh -c "echo ready > /data/ready; sleep 1000"
    volumes: ["data:/data", { type: tmpfs, target: /scratch }]
    networks: [back]
    mem_limit: 32m
    stop_signal: SIGKILL
    ulimits: { nofile: 123 }
    healthcheck: { test: ["CMD", "test", "-e", "/data/ready"], interval: 1s, retries: 20 }
    secrets: [password]
  once:
    image: busybox
    command: wget -q -O - http://site:8080/
    networks: [front]
    depends_on: { web: { condition: service_healthy } }
volumes: { data: { labels: { of: compose } } }
networks: { front: {}, back: { internal: true } }
secrets: { password: { file: ./password.txt } }
`;

describe.skipIf(!hasCompose)("docker-compose", () => {
  let daemon: TestDaemon;
  let directory: string;
  const compose = (...words: string[]): Promise<string> =>
    output("docker-compose", ["-p", "shop", ...words], {
      env: {
        DOCKER_HOST: daemon.host,
        DOCKER_BUILDKIT: "0",
        COMPOSE_DOCKER_CLI_BUILD: "0",
        // Version 1 wants what newer versions of the API do not tell any more; later ones ignore this.
        COMPOSE_API_VERSION: "1.41",
        COMPOSE_FILE: join(directory, "compose.yaml"),
        COMPOSE_IGNORE_ORPHANS: "1",
      },
    });
  const running = async (service: string): Promise<string[]> =>
    (await compose("ps", "-q", service)).split("\n").filter(Boolean);

  beforeAll(async () => {
    daemon = await TestDaemon.start("compose");
    await daemon.importBusybox();
    directory = join(daemon.root, "project");
    mkdirSync(join(directory, "app"), { recursive: true });
    writeFileSync(join(directory, "compose.yaml"), project("1"));
    writeFileSync(join(directory, "password.txt"), "secret\n");
    writeFileSync(join(directory, "app/Dockerfile"), dockerfile);
    writeFileSync(join(directory, "app/index.html"), "hello\n");
  });
  afterAll(async () => {
    await daemon.clear();
    const leaks = await daemon.lastingLeaks();
    await daemon.stop();
    expect(leaks).toEqual([]);
  });

  it("builds and brings up, in the order of dependencies and health", async () => {
    await compose("up", "-d");
    expect(await compose("logs", "--no-color", "once")).toContain("hello");
    expect(await compose("exec", "-T", "web", "cat", "/greeting")).toBe("good");
    expect(await compose("exec", "-T", "db", "cat", "/run/secrets/password")).toBe("secret");
    expect(await compose("exec", "-T", "db", "sh", "-c", "ulimit -n")).toBe("123");
    expect(await compose("port", "web", "8080")).toMatch(/^127\.0\.0\.1:\d+$/);
    // The inner network leads nowhere else.
    expect(await compose("exec", "-T", "db", "ip", "route")).not.toContain("default");
  });

  it("leaves alone what has not changed, and makes anew what has", async () => {
    const [web, db] = [await running("web"), await running("db")];
    await compose("up", "-d");
    expect([await running("web"), await running("db")]).toEqual([web, db]);
    writeFileSync(join(directory, "compose.yaml"), project("2"));
    await compose("up", "-d");
    expect(await running("db")).toEqual(db);
    expect(await running("web")).not.toEqual(web);
    expect(await compose("exec", "-T", "web", "sh", "-c", "echo $VALUE")).toBe("2");
  });

  it("scales, pauses, restarts, runs and stops", async () => {
    await compose("up", "-d", "--scale", "db=3");
    expect(await running("db")).toHaveLength(3);
    expect(await compose("exec", "-T", "--index=2", "db", "cat", "/data/ready")).toBe("ready");
    await compose("pause", "db");
    await compose("unpause", "db");
    await compose("restart", "-t", "0", "web");
    await compose("kill", "db");
    await compose("start", "db");
    expect(await compose("run", "--rm", "--no-deps", "-T", "web", "cat", "/greeting")).toBe("good");
    expect(await compose("top", "db")).toContain("sleep 1000");
  });

  it("takes everything away", async () => {
    await compose("down", "-v", "--rmi", "local", "-t", "0");
    for (const [path, list] of [
      ["/containers/json?all=1", (text: string) => JSON.parse(text) as unknown[]],
      ["/volumes", (text: string) => (JSON.parse(text) as { Volumes: unknown[] }).Volumes],
      ['/networks?filters={"type":["custom"]}', (text: string) => JSON.parse(text) as unknown[]],
    ] as const)
      expect(list((await daemon.api("GET", path)).text), path).toEqual([]);
    const images = JSON.parse((await daemon.api("GET", "/images/json")).text) as { RepoTags: string[] }[];
    expect(images.flatMap(({ RepoTags }) => RepoTags)).toEqual(["busybox:latest"]);
  });
});
