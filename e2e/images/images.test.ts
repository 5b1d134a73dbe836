// Images: import with changes, load of every archive format, unpacking, tags, removal; a whole Debian.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveDirectory, layerTar, layoutArchive, savedArchive } from "../harness/archives.ts";
import { eventually, output } from "../harness/command.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { debianRoot } from "../harness/debian.ts";

let daemon: TestDaemon;
const archives = archiveDirectory();
let base: string;
let upper: string;

beforeAll(async () => {
  daemon = await TestDaemon.start("images");
  await daemon.importBusybox();
  base = await layerTar(
    archives.path,
    "base",
    `mkdir -p bin etc dir/sub gone; cp /bin/busybox bin/; for a in sh cat ls stat readlink touch test find; do ln -s busybox bin/$a; done
     echo base > file; echo hidden > gone/x; echo old > dir/old; echo 1 > dir/sub/one
     ln file hard; ln -s ../../../etc/passwd escape; mknod fifo p; mknod null c 1 3; chmod 4755 bin/busybox; chown 12:34 file
     touch -d '2020-02-02 02:02:02 UTC' dated; touch "$(printf 'n%.0s' $(seq 200))"`,
  );
  upper = await layerTar(
    archives.path,
    "upper",
    "mkdir dir; echo upper > file; touch .wh.gone dir/.wh..wh..opq; echo new > dir/new",
  );
});
afterAll(async () => {
  archives.remove();
  await daemon.stop();
});

async function tsctl(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await daemon.tsctl(...words);
  expect(`${stderr}${status}`).toBe("0");
  return stdout.trim();
}

describe("import", () => {
  it("applies changes, and runs", async () => {
    const changes = [
      "CMD cat /file",
      'ENTRYPOINT ["/bin/sh","-c"]',
      "ENV A=b C='d e'",
      "EXPOSE 80",
      "LABEL l=m",
      "USER 12",
      "WORKDIR /dir",
      "VOLUME /v",
      "STOPSIGNAL SIGINT",
    ];
    await tsctl("import", ...changes.flatMap((change) => ["-c", change]), base, "changed:1");
    const config = JSON.parse(await tsctl("inspect", "-f", "{{json .Config}}", "changed:1")) as Record<
      string,
      unknown
    >;
    expect(config).toMatchObject({
      Entrypoint: ["/bin/sh", "-c"],
      Cmd: ["/bin/sh", "-c", "cat /file"],
      Env: ["A=b", "C=d e"],
      ExposedPorts: { "80/tcp": {} },
      Labels: { l: "m" },
      User: "12",
      WorkingDir: "/dir",
      Volumes: { "/v": {} },
      StopSignal: "SIGINT",
    });
    expect(await tsctl("run", "--rm", "--entrypoint", "cat", "changed:1", "/file")).toBe("base");
    await tsctl("rmi", "changed:1");
  });

  it("keeps owners, modes, times, links, devices and long names", async () => {
    await tsctl("import", base, "kept");
    const look = (script: string) => tsctl("run", "--rm", "kept", "sh", "-c", script);
    expect(
      await look(
        "stat -c '%u:%g' /file; stat -c %a /bin/busybox; stat -c %h /hard; readlink /escape; stat -c %F /fifo; stat -c '%F %t:%T' /null; stat -c %Y /dated; ls / | grep -c nnnnnnnnnn",
      ),
    ).toBe(
      [
        "12:34",
        "4755",
        "2",
        "../../../etc/passwd",
        "fifo",
        "character special file 1:3",
        "1580608922",
        "1",
      ].join("\n"),
    );
    await tsctl("rmi", "kept");
  });

  it("refuses what is no archive, and leaves nothing of it", async () => {
    const { status, stderr } = await daemon.cli("sh", [
      "-c",
      `echo nonsense-nonsense | ${join(import.meta.dirname, "../../packages/client/bin/tsctl")} import - bad`,
    ]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("unpacking layer")]);
    expect(await output("sh", ["-c", `ls ${daemon.root}/data/layers | grep -c ^new- || true`])).toBe("0");
  });
});

describe("load", () => {
  const layers = () => [base, upper];

  it("docker save's archives: whiteouts, opaque directories, several layers, twice", async () => {
    const archive = await savedArchive(archives.path, layers(), ["saved:1"], { Cmd: ["cat", "/file"] });
    expect(await tsctl("load", "-i", archive)).toBe("Loaded image: saved:1");
    expect(await tsctl("load", "-i", archive)).toBe("Loaded image: saved:1");
    expect(await tsctl("run", "--rm", "saved:1")).toBe("upper");
    expect(
      await tsctl(
        "run",
        "--rm",
        "saved:1",
        "sh",
        "-c",
        "ls /dir; test -e /gone || echo whited out; cat /hard",
      ),
    ).toBe("new\nwhited out\nbase");
    expect((await tsctl("history", "-q", "saved:1")).split("\n")).toHaveLength(2);
    expect(await tsctl("images", "--format", "{{.Repository}}:{{.Tag}}", "saved")).toBe("saved:1");
  });

  it.each(["none", "gzip", "zstd"] as const)("OCI layouts with %s layers", async (compression) => {
    const archive = await layoutArchive(archives.path, layers(), `layout:${compression}`, compression);
    expect(await tsctl("load", "-i", archive)).toBe(`Loaded image: layout:${compression}`);
    expect(await tsctl("run", "--rm", `layout:${compression}`)).toBe("upper");
    await tsctl("rmi", `layout:${compression}`);
  });

  it("shares layers, and takes them away with the last image", async () => {
    await tsctl("tag", "saved:1", "again:2");
    expect(await tsctl("rmi", "saved:1")).toBe("Untagged: saved:1");
    const gone = (await tsctl("rmi", "again:2")).split("\n");
    expect(gone[0]).toBe("Untagged: again:2");
    expect(gone.filter((line) => line.startsWith("Deleted: sha256:"))).toHaveLength(3);
  });

  it("refuses layers that are not what the configuration says", async () => {
    const archive = await savedArchive(archives.path, layers(), ["tampered:1"]);
    await output("sh", [
      "-euc",
      'mkdir "$1"; tar -C "$1" -xf "$0"; echo x >> "$1/file"; cp "$1/layer1/layer.tar" "$1/layer0/layer.tar"; tar -C "$1" -cf "$0" .',
      archive,
      `${archive}.d`,
    ]);
    const { status, stderr } = await daemon.tsctl("load", "-i", archive);
    expect([status, stderr]).toEqual([1, expect.stringContaining("invalid diffID for layer 0")]);
    expect((await daemon.tsctl("inspect", "tampered:1")).status).toBe(1);
  });

  it("a hostile layer stays in its root", async () => {
    const hostile = await layerTar(archives.path, "hostile", "ln -s /tmp out; mkdir sub");
    await output("sh", [
      "-euc",
      'echo evil > "$1"; tar --append -f "$0" --transform "s,^.*$,out/tsd-hostile-file," -P "$1"; tar --append -f "$0" --transform "s,^.*$,../../../tmp/tsd-hostile-climb," -P "$1"',
      hostile,
      join(archives.path, "evil"),
    ]);
    await daemon.tsctl("import", hostile, "hostile");
    expect(existsSync("/tmp/tsd-hostile-file")).toBe(false);
    expect(existsSync("/tmp/tsd-hostile-climb")).toBe(false);
  });
});

describe("removal", () => {
  it("is refused while containers use the image, with docker's words", async () => {
    await tsctl("run", "-d", "--name", "user", "busybox", "sleep", "100");
    const id = await tsctl("ps", "-q", "--no-trunc");
    const { stderr } = await daemon.tsctl("rmi", "busybox");
    expect(stderr).toMatch(
      new RegExp(
        `conflict: unable to remove repository reference "busybox" \\(must force\\) - container ${id.slice(0, 12)} is using its referenced image [0-9a-f]{12}`,
      ),
    );
    await tsctl("rm", "-f", "user");
  });
});

describe("a Debian root", () => {
  it("runs apt-get, bash and a service", async (context) => {
    const root = await debianRoot();
    if (!root) return context.skip("debootstrap could not make one here");
    const { status, stderr } = await daemon.cli(
      "sh",
      ["-c", `${join(import.meta.dirname, "../../packages/client/bin/tsctl")} import ${root} debian`],
      { timeout: 120_000 },
    );
    expect(`${stderr}${status}`).toBe("0");
    expect(await tsctl("run", "--rm", "debian", "apt-get", "--version")).toMatch(/^apt \d/);
    expect(
      await tsctl("run", "--rm", "debian", "bash", "-c", "basename $BASH; id -un; ls /proc/self/fd | wc -l"),
    ).toMatch(/^bash\nroot\n4$/);
    // perl is in the base system: a service that answers on the network.
    const server =
      'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 7777, Listen => 5, ReuseAddr => 1); while (my $c = $s->accept) { print $c "served\\n"; close $c }';
    await tsctl("run", "-d", "--name", "service", "debian", "perl", "-e", server);
    const address = await tsctl("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "service");
    await eventually(
      "the service answers",
      async () =>
        (
          await daemon.cli("nsenter", [
            `--net=/run/netns/${daemon.namespace}`,
            "/bin/busybox",
            "nc",
            "-w",
            "2",
            address,
            "7777",
          ])
        ).stdout === "served\n",
    );
    await tsctl("rm", "-f", "service");
  }, 180_000);
});
