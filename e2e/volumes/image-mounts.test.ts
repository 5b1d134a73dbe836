// Other images' files in a container: whole or in part, under their owners, never written to, kept while they are needed.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestDaemon } from "../harness/daemon.ts";

const DOCKERFILE = `FROM busybox AS base
RUN mkdir /owned && echo mine >/owned/file && chown 7:8 /owned/file && echo gone >/gone
RUN rm /gone
FROM scratch
COPY --from=base /owned /owned
COPY --from=base /owned/file /removed
COPY context /
`;

let daemon: TestDaemon;
let scratch = "";
beforeAll(async () => {
  daemon = await TestDaemon.start("image-mounts");
  await daemon.importBusybox();
  scratch = mkdtempSync(join(tmpdir(), "tsd-image-mounts-test-"));
  const context = join(scratch, "context");
  mkdirSync(join(context, "sub"), { recursive: true });
  mkdirSync(join(context, "hack"));
  writeFileSync(join(context, "foo"), "bar\n");
  writeFileSync(join(context, "sub/hello"), "world\n");
  symlinkSync("../sub", join(context, "hack/good"));
  symlinkSync("../../../../../etc", join(context, "hack/bad"));
  writeFileSync(join(scratch, "Dockerfile"), DOCKERFILE);
  await tsctl("build", "-q", "-t", "files:1", scratch);
  await tsctl("build", "-q", "-t", "layers", "--target", "base", scratch);
});
afterEach(() => daemon.clear());
afterAll(async () => {
  rmSync(scratch, { recursive: true, force: true });
  await daemon.stop();
});

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect([status, stderr], words.join(" ")).toEqual([0, ""]);
  return stdout.trim();
}

const mounted = (image: string, more = ""): string[] => [
  "--network",
  "none",
  "--mount",
  `type=image,src=${image},dst=/x${more}`,
];
const run = (image: string, script: string, ...more: string[]): Promise<string> =>
  tsctl("run", "--rm", ...mounted(image), ...more, "busybox", "sh", "-c", script);
/** What a container says that has a part of the image at /x. */
const part = (subpath: string, ...words: string[]) =>
  daemon.tsctl("run", "--rm", ...mounted("files:1", `,image-subpath=${subpath}`), "busybox", ...words);

describe("an image in a container", () => {
  it("is there with its owners, links and nothing that its layers have removed", async () => {
    expect(await run("files:1", "cat /x/foo /x/sub/hello; stat -c %u:%g /x/owned/file; ls /x")).toBe(
      "bar\nworld\n7:8\nfoo\nhack\nowned\nremoved\nsub",
    );
    expect(await run("layers", "ls -d /x/gone 2>&1; cat /x/owned/file; ls /x/bin/busybox")).toBe(
      "ls: /x/gone: No such file or directory\nmine\n/x/bin/busybox",
    );
  });

  it.each([
    ["in a user namespace of its own", []],
    ["in the host's", ["--userns", "host"]],
    ["where it is privileged", ["--privileged"]],
  ])("can be executed from, and not be written to, %s", async (_where, options) => {
    const script =
      "/x/bin/busybox echo runs; touch /x/new 2>&1; rm /x/bin/ls 2>&1; chmod 700 /x/bin 2>&1; grep -c ' /x overlay ro,' /proc/mounts";
    const words = ["run", "--rm", ...mounted("busybox"), ...options, "busybox", "sh", "-c", script];
    expect((await daemon.tsctl(...words)).stdout.trim().split("\n")).toEqual([
      "runs",
      "touch: /x/new: Read-only file system",
      "rm: can't remove '/x/bin/ls': Read-only file system",
      "chmod: /x/bin: Read-only file system",
      "1",
    ]);
  });

  it("may be the same one in several places, and its own", async () => {
    const again = ["--mount", "type=image,src=files:1,dst=/etc/y,readonly=false"];
    const script = "cat /x/foo /etc/y/foo; touch /etc/y/a 2>/dev/null || echo refused";
    expect(await run("files:1", script, ...again)).toBe("bar\nbar\nrefused");
  });

  it("is shown as Docker shows it", async () => {
    const id = await tsctl("create", ...mounted("files:1", ",image-subpath=sub"), "busybox", "true");
    const { Mounts, HostConfig } = JSON.parse(await tsctl("inspect", "-f", "{{json .}}", id)) as {
      Mounts: object[];
      HostConfig: { Mounts: object[] };
    };
    const image = await tsctl("inspect", "-f", "{{.Id}}", "files:1");
    expect(Mounts).toEqual([
      {
        Type: "image",
        Name: "files:1",
        Source: image,
        Destination: "/x",
        Mode: "",
        RW: false,
        Propagation: "",
      },
    ]);
    expect(HostConfig.Mounts).toMatchObject([
      { Type: "image", Source: "files:1", Target: "/x", ImageOptions: { Subpath: "sub" } },
    ]);
  });

  it("is found by cp, in a container that does not run too, and passed on by --volumes-from", async () => {
    const id = await tsctl("create", ...mounted("files:1"), "busybox", "true");
    await tsctl("cp", `${id}:/x/sub/hello`, join(scratch, "copied"));
    expect((await daemon.tsctl("cp", join(scratch, "copied"), `${id}:/x/sub/`)).stderr).toMatch(/read-only/i);
    expect(
      await tsctl("run", "--rm", "--network", "none", "--volumes-from", id, "busybox", "cat", "/x/foo"),
    ).toBe("bar");
  });

  it("does not drift, and is explained", async () => {
    const words = [...mounted("files:1", ",image-subpath=sub"), "busybox", "sleep", "600"];
    const id = await tsctl("run", "-d", ...words);
    expect(await tsctl("verify", id)).toContain("as planned");
    expect(await tsctl("explain", id)).toContain("a part of an image, found without a way out of it");
    expect(await daemon.tsctl("diff", id)).toMatchObject({ status: 0, stdout: "A /x\n" });
  });

  it("comes back with its container after the daemon's death", async () => {
    const id = await tsctl("create", ...mounted("files:1"), "busybox", "cat", "/x/foo");
    await daemon.end("SIGKILL");
    await daemon.launch();
    expect(await tsctl("start", "-a", id)).toBe("bar");
  });
});

describe("a part of an image", () => {
  it("is a directory or a file, through links that stay in it", async () => {
    expect((await part("sub", "ls", "/x")).stdout).toBe("hello\n");
    expect((await part("hack/good", "ls", "/x")).stdout).toBe("hello\n");
    expect((await part("sub/hello", "cat", "/x")).stdout).toBe("world\n");
  });

  it("that is outside or missing is refused, and nothing is left", async () => {
    expect((await part("hack/bad", "ls", "/x")).stderr).toContain(
      "path concatenation escapes the base directory",
    );
    expect((await part("none", "ls", "/x")).stderr).toMatch(/cannot access path .*no such file or directory/);
    expect((await part("../etc", "ls", "/x")).stderr).toContain(
      'invalid mount config for type "image": subpath must be a relative path within the volume',
    );
    expect(await daemon.lastingLeaks()).toEqual([]);
  });
});

describe("an image that is mounted", () => {
  it("can't be removed while it is needed; by force it loses its name only", async () => {
    await tsctl("tag", "files:1", "needed");
    await tsctl("rmi", "files:1");
    const image = await tsctl("inspect", "-f", "{{.Id}}", "needed");
    const shown = async (): Promise<number> => (await daemon.api("GET", `/images/${image}/json`)).status;
    const id = await tsctl("create", ...mounted("needed"), "busybox", "cat", "/x/foo");
    const refused = await daemon.tsctl("rmi", "needed");
    expect(refused.stderr).toContain(`container ${id.slice(0, 12)} is using its referenced image`);
    await tsctl("rmi", "-f", "needed");
    await tsctl("image", "prune", "-af");
    expect(await tsctl("start", "-a", id)).toBe("bar");
    expect(await shown()).toBe(200);
    await tsctl("rm", id);
    await tsctl("image", "prune", "-f");
    expect(await shown()).toBe(404);
    await tsctl("build", "-q", "-t", "files:1", scratch);
  });

  it.each([
    ["no such image", { Source: "nowhere" }, 404, "No such image: nowhere:latest"],
    [
      "no source",
      { Source: "" },
      400,
      'invalid mount config for type "image": field Source must not be empty',
    ],
    [
      "another kind's options",
      { Source: "busybox", VolumeOptions: { NoCopy: true } },
      400,
      'VolumeOptions must not be specified on mount type "image"',
    ],
    [
      "no path of the container's",
      { Source: "busybox", Target: "x" },
      400,
      "invalid mount config for type \"image\": invalid mount path: 'x' mount path must be absolute",
    ],
  ])("%s: refused, and nothing is left", async (_what, mount, status, message) => {
    const answer = await daemon.api("POST", "/containers/create", {
      Image: "busybox",
      HostConfig: { Mounts: [{ Type: "image", Target: "/x", ...mount }] },
    });
    expect([answer.status, JSON.parse(answer.text)]).toEqual([status, { message }]);
    expect(JSON.parse((await daemon.api("GET", "/containers/json?all=1")).text)).toEqual([]);
  });

  it("options of images on another kind of mount are refused", async () => {
    const { status, text } = await daemon.api("POST", "/containers/create", {
      Image: "busybox",
      HostConfig: { Mounts: [{ Type: "tmpfs", Target: "/x", ImageOptions: { Subpath: "a" } }] },
    });
    expect([status, JSON.parse(text)]).toEqual([
      400,
      { message: 'ImageOptions must not be specified on mount type "tmpfs"' },
    ]);
  });
});
