// Makes an image of Debian's static busybox: the one program, its applets as links, the usual users and directories.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const users = [
  ["root", 0, "/root", "/bin/sh"],
  ["daemon", 1, "/usr/sbin", "/bin/false"],
  ["bin", 2, "/bin", "/bin/false"],
  ["sys", 3, "/dev", "/bin/false"],
  ["mail", 8, "/var/spool/mail", "/bin/false"],
  ["www-data", 33, "/var/www", "/bin/false"],
  ["operator", 37, "/var", "/bin/false"],
  ["nobody", 65534, "/home", "/bin/false"],
];

/** Writes the root file system's tar and returns its path, in a directory that the caller removes. */
export function busyboxRoot() {
  const directory = mkdtempSync(join(tmpdir(), "tsd-busybox-"));
  const root = join(directory, "root");
  for (const path of [
    "bin",
    "dev",
    "etc",
    "home",
    "proc",
    "root",
    "sys",
    "usr/sbin",
    "var/spool/mail",
    "var/www",
  ])
    mkdirSync(join(root, path), { recursive: true });
  mkdirSync(join(root, "tmp"), { mode: 0o1777 });
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  const applets = execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" }).trim().split("\n");
  for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  writeFileSync(
    join(root, "etc/passwd"),
    users.map(([name, id, home, shell]) => `${name}:x:${id}:${id}:${name}:${home}:${shell}\n`).join(""),
  );
  writeFileSync(
    join(root, "etc/group"),
    [...users.map(([name, id]) => `${name}:x:${id}:\n`), "tty:x:5:\n", "wheel:x:10:root\n"].join(""),
  );
  const archive = join(directory, "busybox.tar");
  // The same root always makes the same layer.
  execFileSync("tar", [
    "--numeric-owner",
    "--owner=0",
    "--group=0",
    "--sort=name",
    "--mtime=@0",
    "-C",
    root,
    "-cf",
    archive,
    ".",
  ]);
  spawnSync("chmod", ["-R", "u+w", root]);
  return { directory, archive };
}

/** Imports it by a client program (tsctl or docker). */
export function importBusybox(client, name, environment = process.env) {
  const { directory, archive } = busyboxRoot();
  try {
    execFileSync(client, ["import", "-c", 'CMD ["sh"]', archive, name], {
      stdio: ["ignore", "ignore", "inherit"],
      env: environment,
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
