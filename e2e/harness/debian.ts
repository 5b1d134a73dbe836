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

/** A directory with packages, and all that they need besides what a root with systemd has; undefined where they can't be had.
 * They are installed from there, so that no container needs a way to a mirror. */
export async function debianPackages(names: readonly string[]): Promise<string | undefined> {
  const root = await debianRoot();
  if (!root) return undefined;
  const directory = join(cache, `packages-${names.join("-")}`);
  if (existsSync(directory)) return directory;
  const status = join(cache, "packages-status");
  const make = [
    `[ -e ${directory} ] && exit 0`,
    `rm -rf ${directory}.new; mkdir -p ${directory}.new/partial`,
    `tar -xOf ${root} ./var/lib/dpkg/status >${status} || exit 1`,
    `apt-get install -qq -y --no-install-recommends --download-only -o Dir::State::status=${status} -o Dir::Cache::archives=${directory}.new -o Debug::NoLocking=1 -o APT::Get::AllowUnauthenticated=false ${names.join(" ")} >${cache}/packages.log 2>&1 || exit 1`,
    `rm -rf ${directory}.new/partial ${directory}.new/lock; mv ${directory}.new ${directory}`,
  ];
  await run("flock", [join(cache, "lock"), "sh", "-c", make.join("; ")], { timeout: 380_000 });
  return existsSync(directory) ? directory : undefined;
}
