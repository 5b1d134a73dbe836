// The local driver's options: what is wrong with them in Docker's words, and what they mean to mount(2).
import { MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE } from "@tsd/kernel-bindings";
import { parseSize } from "../../api/sizes.ts";
import { invalid, notFound } from "../errors.ts";

/** What is mounted on a volume while it is in use: the arguments of mount(2). */
export interface MountPlan {
  source: string;
  type: string;
  flags: number;
  /** The file system's own options. */
  data: string;
}

const MS_RDONLY = 1;
export const MS_REMOUNT = 0x20;
export const MS_BIND = 0x1000;
export const PROPAGATIONS = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

/** mount(8)'s words for flags (linux/mount.h); those of `off` take one away. */
const on: Readonly<Record<string, number>> = {
  ro: MS_RDONLY,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  sync: 0x10,
  mand: 0x40,
  dirsync: 0x80,
  noatime: 0x400,
  nodiratime: 0x800,
  bind: MS_BIND,
  rbind: MS_BIND | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  relatime: 0x200000,
  strictatime: 0x1000000,
};
const off: Readonly<Record<string, number>> = {
  rw: MS_RDONLY,
  suid: 0x2,
  dev: 0x4,
  exec: 0x8,
  async: 0x10,
  nomand: 0x40,
  atime: 0x400,
  diratime: 0x800,
  norelatime: 0x200000,
  nostrictatime: 0x1000000,
};

const known = new Set(["type", "device", "o", "size"]);
const required: readonly [option: string, needs: readonly string[]][] = [
  ["o", ["device", "type"]],
  ["type", ["device"]],
  ["device", ["type"]],
];

export type DriverOptions = Readonly<Record<string, string>> | null;

/** Throws for a driver that there is none of. */
export function checkDriver(name: string, driver: string): void {
  if (driver && driver !== "local")
    throw notFound(`create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`);
}

/** Throws for what can't be a volume's name. */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw invalid(
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name) || name.length > 255)
    throw invalid(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
}

/** Throws for options that there are none of, or that lack another. */
export function checkDriverOptions(name: string, options: DriverOptions): void {
  const given = options ?? {};
  const refuse = (reason: string) => invalid(`create ${name}: ${reason}`);
  for (const option of Object.keys(given))
    if (!known.has(option)) throw refuse(`invalid option: ${JSON.stringify(option)}`);
  if (given.size !== undefined && parseSize(given.size) === undefined)
    throw refuse(`invalid size: '${given.size}'`);
  for (const [option, needs] of required)
    for (const need of needs)
      if (given[option] !== undefined && !given[need]) throw refuse(`missing required option: "${need}"`);
  // On a bind this would be done to the host's own mount.
  if ((given.o ?? "").split(",").includes("remount")) throw refuse('invalid option: o: "remount"');
  for (const [option, value] of Object.entries(given))
    if (value.includes("\0")) throw refuse(`invalid option: ${option}: it contains a NUL`);
}

/** Bytes that the volume may hold; undefined without a limit. A file system that is mounted has its own. */
export function requestedLimit(options: DriverOptions): number | undefined {
  if (options?.size === undefined || options.type) return undefined;
  return parseSize(options.size) || undefined;
}

/** What is to be mounted on the volume; undefined when it is a directory of its own. */
export function mountPlan(options: DriverOptions): MountPlan | undefined {
  if (!options?.type || !options.device) return undefined;
  const data: string[] = [];
  let flags = 0;
  for (const word of options.o ? options.o.split(",") : []) {
    if (on[word] !== undefined) flags |= on[word];
    else if (off[word] !== undefined) flags &= ~off[word];
    else if (word && word !== "defaults") data.push(word);
  }
  return { source: options.device, type: options.type, flags, data: data.join(",") };
}

/** The calls of mount(2) that carry a plan out, in order: propagation is set by itself, and a bind becomes read-only only
 * when it is there (mount(2), "notes"). */
export function mountCalls({ source, type, flags, data }: MountPlan): MountPlan[] {
  const calls: MountPlan[] = [{ source, type, flags: flags & ~PROPAGATIONS, data }];
  if (flags & PROPAGATIONS)
    calls.push({ source: "none", type: "", flags: flags & (PROPAGATIONS | MS_REC), data: "" });
  if (flags & MS_BIND && flags & ~(MS_BIND | MS_REC | PROPAGATIONS))
    calls.push({
      source: "none",
      type: "",
      flags: (flags & ~(PROPAGATIONS | MS_REC)) | MS_REMOUNT,
      data: "",
    });
  return calls;
}
