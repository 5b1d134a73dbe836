// A Debian root with systemd in it, made by debootstrap once per machine.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./command.ts";

const cache = "/var/cache/tsd-test";
const archive = join(cache, "debian-systemd.tar");

/** The root's tar; undefined where debootstrap could not make one (no network, no mirror). Suites that ask at the same time
 * wait for one of them to make it. */
export async function debianRoot(): Promise<string | undefined> {
  mkdirSync(cache, { recursive: true });
  if (!existsSync(archive)) {
    const root = join(cache, "debian-systemd.new");
    const make = [
      `[ -e ${archive} ] && exit 0`,
      `rm -rf ${root}`,
      `debootstrap --variant=minbase --include=systemd-sysv,dbus bookworm ${root} >${cache}/debootstrap.log 2>&1 || exit 1`,
      `tar --numeric-owner --xattrs -C ${root} -cf ${archive}.new . && mv ${archive}.new ${archive}`,
      `rm -rf ${root}`,
    ];
    await run("flock", [join(cache, "lock"), "sh", "-c", make.join("; ")], { timeout: 380_000 });
  }
  return existsSync(archive) ? archive : undefined;
}
