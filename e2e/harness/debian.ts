// Debian roots for tests, made by debootstrap once per machine.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./command.ts";

const cache = "/var/cache/tsd-test";

/** A root's tar with packages in it; undefined where debootstrap could not make one (no network, no mirror). Suites that ask
 * at the same time wait for one of them to make it. */
async function debootstrapped(name: string, packages: readonly string[]): Promise<string | undefined> {
  mkdirSync(cache, { recursive: true });
  const archive = join(cache, `${name}.tar`);
  if (!existsSync(archive)) {
    const root = join(cache, `${name}.new`);
    const make = [
      `[ -e ${archive} ] && exit 0`,
      `rm -rf ${root}`,
      `debootstrap --variant=minbase --include=${packages.join(",")} bookworm ${root} >${cache}/debootstrap.log 2>&1 || exit 1`,
      `tar --numeric-owner --xattrs -C ${root} -cf ${archive}.new . && mv ${archive}.new ${archive}`,
      `rm -rf ${root}`,
    ];
    await run("flock", [join(cache, "lock"), "sh", "-c", make.join("; ")], { timeout: 380_000 });
  }
  return existsSync(archive) ? archive : undefined;
}

/** One with systemd. */
export const debianRoot = (): Promise<string | undefined> =>
  debootstrapped("debian-systemd", ["systemd-sysv", "dbus"]);

/** One with a C compiler. */
export const debianToolchain = (): Promise<string | undefined> =>
  debootstrapped("debian-gcc", ["gcc", "libc6-dev"]);
