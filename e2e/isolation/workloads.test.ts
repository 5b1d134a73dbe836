// Ordinary work under the default user namespace: packages are installed, a database and a web server run, a project on the
// host is worked on; files are owned rightly on both sides.
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, output, run } from "../harness/command.ts";
import { hasDocker, TestDaemon } from "../harness/daemon.ts";
import { debianPackages, debianRoot } from "../harness/debian.ts";

const root = await debianRoot();
const packages = root && (await debianPackages(["postgresql", "nginx-light", "nodejs"]));
const patience = 300_000;

describe.skipIf(!root || !packages)("a Debian container", () => {
  let daemon: TestDaemon;
  /** The stock client, where it is here. */
  const client = hasDocker ? "docker" : "tsctl";

  beforeAll(async () => {
    daemon = await TestDaemon.start("workloads");
    await output("sh", [
      "-c",
      `DOCKER_HOST=${daemon.host} ${hasDocker ? "docker" : "false"} import ${root} debian || exit 1`,
    ]).catch(async () => {
      expect((await daemon.tsctl("import", root ?? "", "debian")).stderr).toBe("");
    });
  }, patience);
  afterAll(async () => {
    await daemon.clear();
    const leaks = await daemon.lastingLeaks();
    await daemon.stop();
    expect(leaks).toEqual([]);
  });

  /** Runs to its end; the output of one that goes well. */
  const ran = async (...words: string[]): Promise<string> => {
    const { status, stdout, stderr } = await daemon.cli(client, ["run", ...words], { timeout: patience });
    expect([status, status === 0 ? "" : stdout + stderr]).toEqual([0, ""]);
    return stdout.trim();
  };
  const exec = async (name: string, ...words: string[]): Promise<string> => {
    const { stdout, stderr } = await daemon[client]("exec", name, ...words);
    return (stdout + stderr).trim();
  };
  const ownerOf = (path: string): string => {
    const { uid, gid } = statSync(path);
    return `${uid}:${gid}`;
  };
  /** The host's user behind process 1. */
  const outsider = async (name: string): Promise<number> => {
    const { State } = JSON.parse((await daemon.api("GET", `/containers/${name}/json`)).text) as {
      State: { Pid: number };
    };
    return statSync(`/proc/${State.Pid}`).uid;
  };

  it(
    "installs packages",
    async () => {
      const install =
        "apt-get install -qq -y --no-install-recommends /packages/*.deb >/log 2>&1 || { cat /log; exit 1; }";
      const environment = ["-e", "DEBIAN_FRONTEND=noninteractive"];
      const words = ["--name", "apt", ...environment, "-v", `${packages}:/packages:ro`, "debian", "sh", "-c"];
      expect(
        await ran(
          ...words,
          `rm -r /etc/apt/sources.list /var/lib/apt/lists; ${install}; stat -c %U:%G /var/lib/postgresql /usr/bin/node`,
        ),
      ).toBe("postgres:postgres\nroot:root");
      const { stderr } = await daemon.tsctl("commit", "apt", "stack");
      expect(stderr).toBe("");
      await daemon.tsctl("rm", "apt");
      expect(await ran("--rm", "stack", "dpkg", "--audit")).toBe("");
    },
    patience,
  );

  it(
    "runs PostgreSQL on a volume, which the next container takes up",
    async () => {
      const bin = "PATH=$(echo /usr/lib/postgresql/*/bin):$PATH";
      const serve = `${bin}; cd /; chown postgres /data; [ -e /data/base ] || su postgres -c "$(command -v initdb) -D /data >/dev/null"; exec su postgres -c "exec $(command -v postgres) -D /data -k /tmp"`;
      const start = (): Promise<string> =>
        ran("-d", "--name", "database", "-v", "pgdata:/data", "stack", "sh", "-c", serve);
      const query = (text: string): Promise<string> =>
        exec("database", "su", "postgres", "-c", `cd /; psql -h /tmp -tAc "${text}"`);
      await start();
      await eventually("the database", async () => (await query("select 1")) === "1", 60_000);
      await query("create table kept (word text)");
      await query("insert into kept values ('written')");
      expect(await outsider("database")).toBeGreaterThan(100_000);
      const uid = await exec("database", "id", "-u", "postgres");
      const { Mountpoint } = JSON.parse((await daemon.api("GET", "/volumes/pgdata")).text) as {
        Mountpoint: string;
      };
      expect(ownerOf(join(Mountpoint, "base")).split(":")[0]).toBe(uid);
      await daemon[client]("stop", "database");
      await daemon.tsctl("rm", "database");
      await start();
      await eventually(
        "what was kept",
        async () => (await query("select word from kept")) === "written",
        60_000,
      );
      await daemon.tsctl("rm", "-f", "database");
    },
    patience,
  );

  it(
    "serves files of the host's with nginx, as its own user, on a port of the host's",
    async () => {
      const site = join(daemon.root, "site");
      mkdirSync(site);
      writeFileSync(join(site, "index.html"), "from the host\n", { mode: 0o644 });
      const script =
        "ln -sf /dev/stdout /var/log/nginx/access.log; ln -sf /dev/stderr /var/log/nginx/error.log; exec nginx -g 'daemon off;'";
      await ran(
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-v",
        `${site}:/var/www/html:ro`,
        "stack",
        "sh",
        "-c",
        script,
      );
      const fetch = (): Promise<string> =>
        run("nsenter", [`--net=/run/netns/${daemon.namespace}`, "curl", "-s", "http://127.0.0.1:8080/"]).then(
          ({ stdout }) => stdout,
        );
      await eventually("the page", async () => (await fetch()) === "from the host\n", 30_000);
      expect(
        await exec("web", "sh", "-c", "stat -c %U /proc/[0-9]*/exe 2>/dev/null | sort | uniq"),
      ).toContain("www-data");
      await eventually("the log", async () => (await daemon[client]("logs", "web")).stdout.includes("GET /"));
      await daemon.tsctl("rm", "-f", "web");
    },
    patience,
  );

  it(
    "builds a project of the host's, whose files stay its owner's",
    async () => {
      const project = join(daemon.root, "project");
      mkdirSync(join(project, "src"), { recursive: true });
      writeFileSync(join(project, "src/words.js"), "module.exports = ['built', 'by'];\n");
      writeFileSync(
        join(project, "build.js"),
        "const fs = require('fs'); fs.mkdirSync('dist', { recursive: true }); fs.writeFileSync('dist/out', require('./src/words.js').join(' ') + ' ' + process.getuid()); console.log(fs.readFileSync('dist/out', 'utf8'));\n",
      );
      await output("chown", ["-R", "1000:1000", project]);
      chmodSync(daemon.root, 0o755);
      const words = ["--rm", "-v", `${project}:/project`, "-w", "/project"];
      expect(await ran(...words, "-u", "1000:1000", "stack", "node", "build.js")).toBe("built by 1000");
      expect(ownerOf(join(project, "dist/out"))).toBe("1000:1000");
      expect(readdirSync(join(project, "dist"))).toEqual(["out"]);
      // Root in the container works on it as root does, and what it makes is root's.
      expect(await ran(...words, "stack", "sh", "-c", "rm -r dist && node build.js")).toBe("built by 0");
      expect(ownerOf(join(project, "dist/out"))).toBe("0:0");
      expect(ownerOf(join(project, "src/words.js"))).toBe("1000:1000");
      // Nobody else may.
      await output("chmod", ["-R", "go-w", project]);
      const stranger = await daemon[client]("run", ...words, "-u", "1001", "stack", "node", "build.js");
      expect(stranger.stderr).toContain("EACCES");
    },
    patience,
  );
});
