// Files into and out of containers: cp both ways by docker and tsctl, whatever the container does meanwhile.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually, output, type Result, run } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";

let daemon: TestDaemon;
let place = "";
beforeAll(async () => {
  daemon = await TestDaemon.start("archives");
  await daemon.importBusybox();
});
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "tsd-cp-"));
});
afterEach(async () => {
  await daemon.clear();
  rmSync(place, { recursive: true, force: true });
});
afterAll(() => daemon.stop());

async function box(script = "sleep 1000", ...flags: string[]): Promise<string> {
  const { stdout, stderr } = await daemon.tsctl("run", "-d", ...flags, "busybox", "sh", "-c", script);
  expect(stderr).toBe("");
  return stdout.trim();
}
const inside = async (id: string, script: string): Promise<string> => {
  const { stdout, stderr } = await daemon.tsctl("exec", id, "sh", "-c", script);
  expect(stderr).toBe("");
  return stdout.trim();
};

const clients = [...(hasDocker ? (["docker"] as const) : []), "tsctl" as const];

describe.each(clients)("%s cp", (client) => {
  const cp = (...words: string[]): Promise<Result> => daemon[client]("cp", ...words);
  const copies = async (...words: string[]): Promise<void> => {
    const { status, stderr } = await cp(...words);
    expect([status, stderr.replace(/^(Successfully|Preparing).*$/gm, "").trim()]).toEqual([0, ""]);
  };

  it("files and directories, to names that are there and that are not", async () => {
    const id = await box();
    writeFileSync(join(place, "file"), "one");
    mkdirSync(join(place, "dir/sub"), { recursive: true });
    writeFileSync(join(place, "dir/sub/x"), "deep");
    await inside(id, "mkdir -p /there");
    await copies(join(place, "file"), `${id}:/there`);
    await copies(join(place, "file"), `${id}:/there/renamed`);
    await copies(join(place, "file"), `${id}:/there/renamed`); // over the one that is there
    await copies(join(place, "dir"), `${id}:/there`);
    await copies(join(place, "dir"), `${id}:/fresh`);
    await copies(`${join(place, "dir")}/.`, `${id}:/there`);
    expect(await inside(id, "cd /; find there fresh | sort; cat there/renamed")).toBe(
      "fresh\nfresh/sub\nfresh/sub/x\nthere\nthere/dir\nthere/dir/sub\nthere/dir/sub/x\nthere/file\nthere/renamed\nthere/sub\nthere/sub/x\none",
    );
    await copies(`${id}:/there/dir`, place.replace(/$/, "/out"));
    await copies(`${id}:/there/file`, join(place, "back"));
    await copies(`${id}:/there/dir/.`, join(place, "contents"));
    mkdirSync(join(place, "into"));
    await copies(`${id}:/there/dir`, join(place, "into"));
    expect(readFileSync(join(place, "out/sub/x"), "utf8")).toBe("deep");
    expect(readFileSync(join(place, "back"), "utf8")).toBe("one");
    expect(readFileSync(join(place, "contents/sub/x"), "utf8")).toBe("deep");
    expect(readFileSync(join(place, "into/dir/sub/x"), "utf8")).toBe("deep");
  });

  it("links as links, or what they lead to with -L", async () => {
    const id = await box("echo target > /target; ln -s /target /link; mkdir /d; ln -s /d /dl; sleep 1000");
    await eventually("the links", async () => (await inside(id, "ls /")).includes("dl"));
    await copies(`${id}:/link`, join(place, "link"));
    expect(lstatSync(join(place, "link")).isSymbolicLink()).toBe(true);
    await copies("-L", `${id}:/link`, join(place, "followed"));
    expect(readFileSync(join(place, "followed"), "utf8")).toBe("target\n");
    symlinkSync(join(place, "followed"), join(place, "local"));
    await copies("-L", join(place, "local"), `${id}:/local`);
    expect(await inside(id, "cat /local")).toBe("target");
    await copies(join(place, "followed"), `${id}:/dl`); // into the directory that the link leads to
    expect(await inside(id, "ls /d")).toBe("followed");
  });

  it("streams of tar on stdin and stdout", async () => {
    const id = await box();
    writeFileSync(join(place, "a"), "streamed");
    const words = `tar -C ${place} -c a | ${client === "docker" ? "docker" : '"$0"'} cp - ${id}:/tmp`;
    const { tsctlProgram } = await import("../harness/daemon.ts");
    expect((await daemon.cli("sh", ["-c", words, tsctlProgram])).status).toBe(0);
    expect(await inside(id, "cat /tmp/a")).toBe("streamed");
    const listing = await daemon.cli("sh", [
      "-c",
      `${client === "docker" ? "docker" : '"$0"'} cp ${id}:/tmp/a - | tar -t`,
      tsctlProgram,
    ]);
    expect(listing.stdout).toBe("a\n");
  });

  it("says what is wrong", async () => {
    const id = await box();
    writeFileSync(join(place, "file"), "x");
    mkdirSync(join(place, "dir"));
    expect((await cp(`${id}:/nope`, place)).stderr).toContain(
      `Could not find the file /nope in container ${id}`,
    );
    expect((await cp(join(place, "file"), "nosuch:/x")).stderr).toContain("No such container: nosuch");
    expect((await cp(join(place, "dir"), `${id}:/bin/busybox`)).stderr).toContain("cannot copy directory");
    expect((await cp(join(place, "file"), `${id}:/no/such/dir/`)).status).toBe(1);
    expect((await cp(join(place, "missing"), `${id}:/`)).status).toBe(1);
    expect((await cp("a", "b")).stderr).toContain("must specify at least one container source");
  });
});

describe("archives", () => {
  it("of containers that do not run, with their volumes", async () => {
    const { stdout } = await daemon.tsctl(
      ...["create", "-v", "kept:/data", "-v", `${place}:/bound:ro`, "--tmpfs", "/scratch", "busybox"],
      ...["sh", "-c", "cat /data/file /own"],
    );
    const id = stdout.trim();
    writeFileSync(join(place, "file"), "in the volume\n");
    expect((await daemon.tsctl("cp", join(place, "file"), `${id}:/data/file`)).stderr).toBe("");
    writeFileSync(join(place, "own"), "its own\n");
    expect((await daemon.tsctl("cp", join(place, "own"), `${id}:/own`)).stderr).toBe("");
    expect((await daemon.tsctl("cp", join(place, "own"), `${id}:/bound/x`)).stderr).toContain("read-only");
    expect(existsSync(join(place, "x"))).toBe(false);
    expect((await daemon.tsctl("start", "-a", id)).stdout).toBe("in the volume\nits own\n");
    const changes = (await daemon.tsctl("diff", id)).stdout.split("\n");
    expect(changes).toContain("A /own");
    expect(changes).not.toContain("A /data/file");
    expect(await daemon.lastingLeaks()).toEqual([]);
  });

  it("keep owners, modes, times, devices, attributes and capabilities", async () => {
    const id = await box(undefined, "--userns", "host"); // devices can't be made in another user namespace
    const script = `
      echo x > plain; chown 1234:4321 plain; chmod 6751 plain; touch -d '2001-02-03 04:05:06 UTC' plain
      ln plain hard; mknod fifo p; mknod null c 1 3; ln -s plain soft
      setfattr -n user.note -v kept plain; cp /bin/true able; setcap cap_net_raw+ep able 2>/dev/null || setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 able
      mkdir -m 1777 sticky; touch -d '2002-02-02 UTC' sticky
      name=$(printf 'n\\303\\244me \\377 with blanks'); echo odd > "$name"
      long=$(printf '%0200d' 7); mkdir -p $long/$long; echo deep > $long/$long/$long`;
    mkdirSync(join(place, "tree"));
    await output("sh", ["-euc", `cd ${join(place, "tree")}; ${script}`]);
    const facts = (directory: string): Promise<string> =>
      output("sh", [
        "-c",
        `cd ${directory}; find . -printf '%P %y %m %U:%G %s %T@ %l\\n' | sed 's/\\.[0-9]* / /' | grep -v '^ ' | sort; getfattr -d -m - -h -R . 2>/dev/null | sort`,
      ]);
    await output("sh", [
      "-c",
      `tar -C ${place} --xattrs --xattrs-include='*' --format=pax -c tree > ${place}/in.tar`,
    ]);
    const put = await daemon.api(
      "PUT",
      `/containers/${id}/archive?path=/`,
      readFileSync(join(place, "in.tar")),
    );
    expect([put.status, put.text]).toEqual([200, ""]);
    mkdirSync(join(place, "back"));
    await new Promise<void>((resolve, reject) => {
      const sending = request(
        { socketPath: daemon.socket, path: `/containers/${id}/archive?path=/tree` },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            writeFileSync(join(place, "out.tar"), Buffer.concat(chunks));
            resolve();
          });
        },
      );
      sending.on("error", reject).end();
    });
    await output("tar", [
      "-C",
      join(place, "back"),
      "--xattrs",
      "--xattrs-include=*",
      "-xpf",
      join(place, "out.tar"),
    ]);
    expect(await facts(join(place, "back/tree"))).toBe(await facts(join(place, "tree")));
    // The same through an image: the layer's unpacker is the same program.
    expect((await daemon.tsctl("commit", id, "kept:tree")).stderr).toBe("");
    const second = (await daemon.tsctl("create", "kept:tree", "true")).stdout.trim();
    rmSync(join(place, "back/tree"), { recursive: true });
    await output("sh", [
      "-c",
      `curl -sf --unix-socket ${daemon.socket} 'http://x/containers/${second}/archive?path=/tree' | tar -C ${place}/back --xattrs --xattrs-include='*' -xp`,
    ]).catch(() => undefined);
    if (existsSync(join(place, "back/tree")))
      expect(await facts(join(place, "back/tree"))).toBe(await facts(join(place, "tree")));
  });

  it("large and sparse files, in little memory and little room", async () => {
    const id = await box();
    truncateSync(writeAndName(join(place, "sparse")), 2 ** 29);
    const before = resident();
    expect((await daemon.tsctl("cp", join(place, "sparse"), `${id}:/sparse`)).stderr).toBe("");
    expect(await inside(id, "stat -c %s /sparse; du -k /sparse | cut -f1")).toMatch(/^536870912\n\d{1,3}$/);
    await output("sh", ["-c", `head -c 200000000 /dev/urandom > ${place}/large`]);
    expect((await daemon.tsctl("cp", join(place, "large"), `${id}:/large`)).stderr).toBe("");
    expect((await daemon.tsctl("cp", `${id}:/large`, join(place, "again"))).stderr).toBe("");
    const sum = async (path: string): Promise<string> => (await output("sha256sum", [path])).slice(0, 64);
    expect(await sum(join(place, "again"))).toBe(await sum(join(place, "large")));
    expect(resident() - before).toBeLessThan(60_000);
  }, 60_000);

  it("never leave the root, whatever a link says or the container moves meanwhile", async () => {
    const secret = join(place, "secret");
    writeFileSync(secret, "the host's");
    const id = await box(
      `mkdir -p /w/real; echo mine > /w/real/file; ln -s ${place} /abs; ln -s ../../../../../..${place} /w/up
       ln -s /proc/1/root${place} /magic; ln -s /proc/self/root /selfroot
       while :; do mv /w/real /w/aside; ln -s ${place} /w/real; rm /w/real; mv /w/aside /w/real; done`,
    );
    await eventually("the race", async () => (await inside(id, "ls /")).includes("selfroot"));
    for (const path of ["/abs/secret", "/w/up/secret", "/magic/secret", "/selfroot/secret"]) {
      const { status } = await daemon.api("GET", `/containers/${id}/archive?path=${path}`);
      expect([path, [404, 500].includes(status)]).toEqual([path, true]);
    }
    writeFileSync(join(place, "planted"), "planted");
    const tar = join(place, "plant.tar");
    await output("tar", ["-C", place, "-cf", tar, "planted"]);
    rmSync(join(place, "planted"));
    for (let round = 0; round < 60; round++) {
      const out = await daemon.api("GET", `/containers/${id}/archive?path=/w/real/`);
      expect(out.text).not.toContain("the host's");
      await daemon.api("PUT", `/containers/${id}/archive?path=/w/real`, readFileSync(tar));
    }
    expect(readdirSync(place).sort()).toEqual(["plant.tar", "secret"]);
    // An archive that climbs: its names and its links stay inside too.
    await output("sh", [
      "-c",
      `cd ${place}; echo out > x; tar -P --transform='s,^x,../../../../../../..${place}/climbed,' -cf climb.tar x; rm x`,
    ]);
    await daemon.api("PUT", `/containers/${id}/archive?path=/tmp`, readFileSync(join(place, "climb.tar")));
    expect(existsSync(join(place, "climbed"))).toBe(false);
  }, 60_000);

  it("open no device that the container may not", async () => {
    const script = "mknod /disk b 7 0; mknod /null c 1 3; sleep 1000";
    const id = await box(script, "--userns", "host"); // in another it could not make them
    await eventually("the nodes", async () => (await inside(id, "ls /")).includes("null"));
    const { status, text } = await daemon.api("GET", `/containers/${id}/archive?path=/disk`);
    expect(status).toBe(200);
    expect(text.length).toBeLessThan(20_000); // the node itself, not what is on the device
  });

  it("a client that vanishes leaves no archiver behind; what is no archive is refused", async () => {
    const id = await box("truncate -s 3G /huge; sleep 1000");
    await eventually("the file", async () => (await inside(id, "ls /")).includes("huge"));
    const sending = request({ socketPath: daemon.socket, path: `/containers/${id}/archive?path=/huge` });
    sending.on("error", () => undefined);
    sending.on("response", (response) => {
      response.once("data", () => sending.destroy());
    });
    sending.end();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const server = await run("pgrep", ["-x", "-P", String(daemon.pid), "tsd-archiver"]);
    expect(server.status).toBe(0);
    await eventually(
      "no archiver",
      async () => (await run("pgrep", ["-P", server.stdout.trim()])).status !== 0,
    );
    const garbage = await daemon.api(
      "PUT",
      `/containers/${id}/archive?path=/tmp`,
      "this is no archive".repeat(100),
    );
    expect(garbage.status).toBe(400);
    expect(garbage.text).toMatch(/archive/i);
  });

  it("asked for while a container starts that ends at once are had, and its end is seen", async () => {
    for (let round = 0; round < 10; round++) {
      const { stdout } = await daemon.tsctl("create", "--network", "none", "busybox", "true");
      const path = `/containers/${stdout.trim()}`;
      const [started, archive] = await Promise.all([
        daemon.api("POST", `${path}/start`),
        daemon.api("GET", `${path}/archive?path=/etc/passwd`),
      ]);
      expect([started.status, archive.status]).toEqual([204, 200]);
      await eventually("it has ended", async () =>
        (await daemon.api("GET", `${path}/json`)).text.includes('"Status":"exited"'),
      );
    }
  });

  it("GET after a failed start, export and diff agree with what is there", async () => {
    const id = await box(
      "echo new > /etc/new; rm /bin/vi; echo more >> /etc/passwd; mkdir -p /a/b; sleep 1000",
    );
    await eventually("the changes", async () => (await inside(id, "ls /")).includes("a\n"));
    expect((await daemon.tsctl("diff", id)).stdout.split("\n").filter(Boolean).sort()).toEqual(
      ["A /a", "A /a/b", "A /etc/new", "C /bin", "C /etc", "C /etc/passwd", "D /bin/vi"].sort(),
    );
    await output("sh", [
      "-c",
      `curl --version >/dev/null 2>&1 || exit 0; curl -sf --unix-socket ${daemon.socket} http://x/containers/${id}/export | tar -t > ${place}/names`,
    ]);
    if (existsSync(join(place, "names"))) {
      const names = readFileSync(join(place, "names"), "utf8").split("\n");
      expect(names).toContain("etc/new");
      expect(names).toContain("etc/hosts");
      expect(names).not.toContain("bin/vi");
    }
    expect(statSync(place).isDirectory()).toBe(true);
  });
});

const resident = (): number =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${daemon.pid}/smaps_rollup`, "utf8"))?.[1]);

function writeAndName(path: string): string {
  writeFileSync(path, "");
  return path;
}
