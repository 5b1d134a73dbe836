// What the test suites of Docker's own clients and of dockerd ask for: small answers that programs count on, one by one.
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { pack } from "tar-stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start("suites");
  await daemon.importBusybox();
});
afterEach(() => daemon.clear());
afterAll(() => daemon.stop());

/** The status and the body of an answer, which is JSON or nothing. */
async function ask(method: string, path: string, body?: unknown) {
  const { status, text } = await daemon.api(method, path, body);
  return { status, body: text ? JSON.parse(text) : undefined };
}
const create = (body: object, query = "") =>
  ask("POST", `/containers/create?${query}`, { Image: "busybox", Cmd: ["sleep", "1000"], ...body });
async function start(name: string, body: object = {}): Promise<void> {
  expect(await create(body, `name=${name}`)).toMatchObject({ status: 201 });
  expect(await ask("POST", `/containers/${name}/start`)).toMatchObject({ status: 204 });
}
const inspect = async (name: string) => (await ask("GET", `/containers/${name}/json`)).body;
const run = async (...words: string[]): Promise<string> =>
  (await daemon.tsctl("run", "--rm", ...words)).stdout.trim();

/** An archive of files, as load takes it. */
async function archive(files: Readonly<Record<string, string | Buffer>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, contents] of Object.entries(files)) tar.entry({ name }, contents);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("the engine", () => {
  it("says by what it filters, to who knows the word; and nothing of devices and pools that nobody named", async () => {
    const { body } = await ask("GET", "/info");
    expect(body.FirewallBackend.Driver).toBe("iptables");
    expect(body.FirewallBackend.Info).toContainEqual([
      "Networks",
      expect.stringMatching(/^iptables-(nft|legacy)$/),
    ]);
    expect(body).not.toHaveProperty("DiscoveredDevices");
    expect(body).not.toHaveProperty("DefaultAddressPools");
    expect((await ask("GET", "/v1.48/info")).body).not.toHaveProperty("FirewallBackend");
  });
  it("prunes no build cache by size, under any name of it", async () => {
    for (const name of ["keep-storage", "reserved-space", "max-used-space", "min-free-space"]) {
      expect(await ask("POST", `/build/prune?${name}=0`)).toMatchObject({ status: 200 });
      expect(await ask("POST", `/build/prune?${name}=1000`)).toMatchObject({
        status: 501,
        body: { message: expect.stringContaining(name) },
      });
    }
  });
});

describe("a container's creation", () => {
  it("asks for the right platform, and misses an image of another one", async () => {
    expect(await create({}, "platform=linux/s390x")).toMatchObject({
      status: 404,
      body: { message: expect.stringContaining("does not match the specified platform: wanted linux/s390x") },
    });
    expect(await create({}, "platform=nosuch")).toMatchObject({ status: 400 });
    expect(await create({}, "platform=linux")).toMatchObject({ status: 201 });
  });
  it("wants a command, then an image, and annotations with names", async () => {
    expect((await create({ Image: "", Cmd: null })).body.message).toBe("no command specified");
    expect(await create({ HostConfig: { Annotations: { "": "x" } } })).toMatchObject({ status: 400 });
  });
  it("cleans the working directory", async () => {
    await create({ WorkingDir: "/tmp/./x/../" }, "name=dir");
    expect((await inspect("dir")).Config.WorkingDir).toBe("/tmp");
  });
  it("follows the host's mounts where the daemon's own data is bound, or is refused", async () => {
    for (const source of ["/", daemon.dataRoot, `${daemon.dataRoot}/containers`]) {
      const { body } = await create({ HostConfig: { Binds: [`${source}:/host:ro`] } });
      expect((await inspect(body.Id)).Mounts[0].Propagation, source).toBe("rslave");
      const refused = await create({ HostConfig: { Binds: [`${source}:/host:rprivate`] } });
      expect(refused, source).toMatchObject({
        status: 400,
        body: { message: expect.stringContaining('"rslave" or "rshared"') },
      });
    }
    const { body } = await create({ HostConfig: { Binds: [`${daemon.root}/beside:/host`] } });
    expect((await inspect(body.Id)).Mounts[0].Propagation).toBe("rprivate");
  });
  it("fills an empty directory of a volume with what the image has at its target", async () => {
    await daemon.api("POST", "/volumes/create", { Name: "parts" });
    await run("-v", "parts:/v", "busybox", "mkdir", "/v/etc", "/v/full", "/v/full/own");
    const shown = (subpath: string) =>
      run("--mount", `type=volume,src=parts,dst=/etc,volume-subpath=${subpath}`, "busybox", "ls", "/etc");
    expect(await shown("etc")).toContain("passwd");
    expect(await shown("full")).not.toContain("passwd");
  });
});

describe("IPC", () => {
  it("is nobody's without shared memory, and private unless it is shareable", async () => {
    expect(await run("--ipc", "none", "busybox", "sh", "-c", "grep -c /dev/shm /proc/mounts")).toBe("0");
    expect(await run("busybox", "sh", "-c", "grep /dev/shm /proc/mounts")).toMatch(/^shm \/dev\/shm tmpfs/);
    await start("private");
    await start("shareable", { HostConfig: { IpcMode: "shareable" } });
    await start("joined", { HostConfig: { IpcMode: "container:shareable" } });
    await create({ HostConfig: { IpcMode: "container:private" } }, "name=refused");
    expect(await ask("POST", "/containers/refused/start")).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining("non-shareable IPC") },
    });
  });
});

describe("updates", () => {
  it("take a limit of processes away", async () => {
    await start("limited", { HostConfig: { PidsLimit: 32 } });
    const limit = () =>
      daemon.tsctl("exec", "limited", "cat", "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max");
    expect((await limit()).stdout.trim()).toBe("32");
    expect(await ask("POST", "/containers/limited/update", { PidsLimit: -1 })).toMatchObject({ status: 200 });
    expect((await limit()).stdout.trim()).toBe("max");
    expect((await inspect("limited")).HostConfig.PidsLimit).toBe(0);
  });
  it("do not mix two kinds of limits of processors", async () => {
    await create({ HostConfig: { NanoCpus: 5e8 } }, "name=cpus");
    expect((await ask("POST", "/containers/cpus/update", { CpuQuota: 8000 })).body.message).toContain(
      "CPU Quota cannot be updated as NanoCPUs has already been set",
    );
  });
});

describe("links", () => {
  it("are names of containers, follow new names, and are taken back", async () => {
    await start("first");
    await start("second", { HostConfig: { Links: ["first:alias"] } });
    const names = async () =>
      (await ask("GET", "/containers/json")).body.map(({ Names }: { Names: string[] }) => Names);
    expect(await names()).toEqual([["/second"], ["/first", "/second/alias"]]);
    expect((await inspect("second/alias")).Name).toBe("/first");
    await ask("POST", "/containers/first/rename?name=new");
    expect((await inspect("second/alias")).Name).toBe("/new");
    expect((await inspect("second")).HostConfig.Links).toEqual(["/new:/second/alias"]);
    expect(await ask("DELETE", "/containers/second/nosuch?link=1")).toMatchObject({ status: 404 });
    expect(await ask("DELETE", "/containers/second?link=1")).toMatchObject({ status: 500 });
    expect(await ask("DELETE", "/containers/second/alias?link=1")).toMatchObject({ status: 204 });
    expect(await names()).toEqual([["/second"], ["/new"]]);
  });
});

describe("streams", () => {
  it("of an exec with a terminal are framed for who does not say so at its start", async () => {
    await start("execs");
    const said = async (Tty: boolean) => {
      const { body } = await ask("POST", "/containers/execs/exec", {
        Tty: true,
        AttachStdout: true,
        Cmd: ["echo", "x"],
      });
      return (await daemon.api("POST", `/exec/${body.Id}/start`, { Tty })).text;
    };
    expect(await said(true)).toBe("x\r\n");
    expect(await said(false)).toBe("\x01\0\0\0\0\0\0\x03x\r\n");
  });
  it("may name an upgrade without asking for their connection's", async () => {
    await start("cat", { Cmd: ["cat"], OpenStdin: true });
    const socket = connect(daemon.socket);
    let received = "";
    socket.on("data", (chunk: Buffer) => {
      received += chunk.toString("latin1");
    });
    socket.write(
      "POST /containers/cat/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n",
    );
    await delay(300);
    socket.write("typed");
    await delay(300);
    socket.destroy();
    expect(received).toMatch(/^HTTP\/1.1 101 /);
    expect(received.split("\r\n\r\n")[1]).toBe("\x01\0\0\0\0\0\0\x05typed");
  });
  it("of an exec are gone with its container", async () => {
    await start("gone");
    const { body } = await ask("POST", "/containers/gone/exec", { Cmd: ["true"] });
    await ask("DELETE", "/containers/gone?force=1");
    expect(await ask("GET", `/exec/${body.Id}/json`)).toMatchObject({ status: 404 });
  });
  it("of a directory's own contents have names that begin with a dot", async () => {
    await create({}, "name=files");
    for (const path of [".", "/.", "./", "/./", "/etc/."]) {
      const { text } = await daemon.api("GET", `/containers/files/archive?path=${encodeURIComponent(path)}`);
      expect(text.slice(0, text.indexOf("\0")), path).toBe("./");
    }
  });
});

describe("images", () => {
  it("are listed with the names that were asked for", async () => {
    for (const tag of ["one", "two", "three"])
      await ask("POST", `/images/busybox/tag?repo=listed&tag=${tag}`);
    const listed = async (...reference: string[]) =>
      (
        await ask("GET", `/images/json?filters=${encodeURIComponent(JSON.stringify({ reference }))}`)
      ).body.map(({ RepoTags }: { RepoTags: string[] }) => RepoTags);
    expect(await listed("listed:one", "listed:t*")).toEqual([["listed:one", "listed:three", "listed:two"]]);
    expect(await listed("nosuch")).toEqual([]);
    for (const tag of ["one", "two", "three"]) await ask("DELETE", `/images/listed:${tag}`);
  });
  it("do not bear the name of a digest's algorithm, nor a blank one", async () => {
    expect(await ask("POST", "/images/busybox/tag?repo=sha256&tag=x")).toMatchObject({ status: 400 });
    expect((await ask("DELETE", "/images/%20")).body.message).toBe("image name cannot be blank");
  });
  it("are imported for a platform of Linux", async () => {
    const tar = await archive({ file: "x" });
    const imported = (platform: string) =>
      ask("POST", `/images/create?fromSrc=-&repo=other&platform=${encodeURIComponent(platform)}`, tar);
    expect(await imported("linux/sparc64")).toMatchObject({ status: 200 });
    expect((await ask("GET", "/images/other/json")).body).toMatchObject({
      Os: "linux",
      Architecture: "sparc64",
    });
    for (const platform of ["macos", "windows/amd64", "nosuch", "/", " "])
      expect(await imported(platform), platform).toMatchObject({ status: 400 });
    await ask("DELETE", "/images/other");
  });
  it("are loaded though they say little, and saved again", async () => {
    const config = JSON.stringify({
      rootfs: { type: "layers", diff_ids: [] },
      created: "2024-05-06T07:08:09Z",
    });
    const saved = JSON.stringify([{ Config: "config.json", RepoTags: ["little:1"], Layers: null }]);
    const tar = await archive({ "config.json": config, "manifest.json": saved });
    expect((await daemon.api("POST", "/images/load", tar)).text).toContain("Loaded image: little:1");
    const { body } = await ask("GET", "/images/little:1/json");
    expect(body).toMatchObject({ Os: "linux", RepoTags: ["little:1"] });
    const listing = await output("sh", [
      "-c",
      `curl -sS --unix-socket "$0" http://x/images/little:1/get | TZ=UTC tar -tv`,
      daemon.socket,
    ]);
    expect(listing).toMatch(new RegExp(`2024-05-06 07:08 .*${body.Id.replace("sha256:", "")}`));
    await ask("DELETE", "/images/little:1");
  });
  it("that are committed take variables from those they were made of", async () => {
    await create({ Env: ["PATH=/bin"] }, "name=changed");
    const changes = encodeURIComponent("ENV PATH=/usr/bin:$PATH QUOTED='$PATH'");
    const { body } = await ask("POST", `/commit?container=changed&changes=${changes}`, {});
    expect((await ask("GET", `/images/${body.Id}/json`)).body.Config.Env).toEqual([
      "PATH=/usr/bin:/bin",
      "QUOTED=$PATH",
    ]);
    await ask("DELETE", `/images/${body.Id}`);
  });
  it("that are committed have those they were made of for parents, which stay as long", async () => {
    await create({}, "name=changed");
    const { body: base } = await ask("GET", "/images/busybox/json");
    const first = (await ask("POST", "/commit?container=changed&repo=first", {})).body.Id;
    expect((await ask("GET", "/images/first/json")).body.Parent).toBe(base.Id);
    await create({ Image: "first" }, "name=child");
    const second = (await ask("POST", "/commit?container=child", {})).body.Id;
    const byAncestor = await ask("GET", '/containers/json?all=1&filters={"ancestor":["busybox"]}');
    expect(byAncestor.body.map(({ Names }: { Names: string[] }) => Names[0]).sort()).toEqual([
      "/changed",
      "/child",
    ]);
    await daemon.clear();
    expect(await ask("DELETE", `/images/${first}`)).toMatchObject({
      status: 409,
      body: { message: expect.stringContaining("has dependent child images") },
    });
    // Nobody's build cache, though it has no name.
    await ask("POST", "/build/prune?all=1");
    expect((await ask("DELETE", `/images/${second}`)).body).toContainEqual({ Deleted: second });
    expect((await ask("DELETE", "/images/first")).body).toContainEqual({ Deleted: first });
    expect(await ask("GET", "/images/busybox/json")).toMatchObject({ status: 200 });
  });
  it("of another platform are not found, not loaded and not removed", async () => {
    const other = encodeURIComponent(JSON.stringify({ os: "linux", architecture: "s390x" }));
    const mismatch = {
      status: 404,
      body: { message: expect.stringContaining("does not match the specified platform: wanted linux/s390x") },
    };
    expect(await ask("GET", `/images/busybox/json?platform=${other}`)).toMatchObject(mismatch);
    expect(await ask("GET", `/images/busybox/history?platform=${other}`)).toMatchObject(mismatch);
    expect(await ask("DELETE", `/images/busybox?force=1&platforms=${other}`)).toMatchObject(mismatch);
    const { body } = await ask("GET", "/images/busybox/json");
    const own = encodeURIComponent(JSON.stringify({ os: body.Os, architecture: body.Architecture }));
    expect(await ask("GET", `/images/busybox/json?platform=${own}`)).toMatchObject({ status: 200, body });
    expect(await ask("GET", `/images/busybox/json?platform=${own}&manifests=1`)).toMatchObject({
      status: 400,
    });
    const saved = JSON.stringify([{ Config: "config.json", RepoTags: ["other:1"], Layers: null }]);
    const config = JSON.stringify({
      os: "linux",
      architecture: "s390x",
      rootfs: { type: "layers", diff_ids: [] },
    });
    const tar = await archive({ "config.json": config, "manifest.json": saved });
    expect(await ask("POST", `/images/load?platform=${own}`, tar)).toMatchObject({
      status: 404,
      body: { message: expect.stringMatching(/^requested platform \(linux\/\w+\) not found$/) },
    });
    expect((await daemon.api("POST", `/images/load?platform=${other}`, tar)).text).toContain("other:1");
    expect(await ask("DELETE", `/images/other:1?platforms=${own}`)).toMatchObject({ status: 404 });
    expect(await ask("DELETE", `/images/other:1?platforms=${other}`)).toMatchObject({ status: 200 });
  });
  it("that have lost their name show their id in lists of containers", async () => {
    await ask("POST", "/images/busybox/tag?repo=moving");
    await create({ Image: "moving" }, "name=moved");
    const shown = async () => (await ask("GET", "/containers/json?all=1")).body[0].Image;
    expect(await shown()).toBe("moving");
    await ask("POST", `/images/create?fromSrc=-&repo=moving`, await archive({ file: "x" }));
    expect(await shown()).toMatch(/^sha256:/);
    await daemon.clear();
    await ask("DELETE", "/images/moving");
  });
});
