// Files as block devices: attaches a file to a loop device (loop(4)) and mounts it, never twice.
import { closeSync, constants, existsSync, openSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KernelError } from "../errors.ts";
import { fsopen, MNT_DETACH } from "../libc.ts";
import { mountLater, umountLater } from "../mount-later.ts";
import { ioctlLater, ioctlNumberLater } from "./later.ts";

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_SET_CAPACITY = 0x4c07;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;
const BLOCK_SIZE = 4096;
const CONFIG_SIZE = 304;
const FLAGS_OFFSET = 8 + 5 * 8 + 3 * 4;
const FILE_NAME_OFFSET = FLAGS_OFFSET + 4;
const CONTROL = "/dev/loop-control";
const ATTEMPTS = 100;

/** Why files can't be mounted as this type of file system here; undefined when it seems that they can. */
export function loopObstacle(type: string, program: string): string | undefined {
  if (!existsSync(CONTROL)) return "there are no loop devices";
  const directories = (process.env.PATH || "/usr/sbin:/usr/bin:/sbin:/bin").split(":");
  if (![...directories, "/usr/sbin", "/sbin"].some((directory) => existsSync(join(directory, program))))
    return `there is no program ${program}`;
  try {
    closeSync(fsopen(type));
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return `the kernel has no ${type}: ${error.message}`;
    throw error;
  }
}

/** Devices by the files that are attached to them. */
export async function attachedFiles(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const names = (await readdir("/sys/block")).filter((name) => name.startsWith("loop"));
  for (const name of names) {
    try {
      found.set((await readFile(`/sys/block/${name}/loop/backing_file`, "utf8")).trimEnd(), `/dev/${name}`);
    } catch {
      // Not attached to anything.
    }
  }
  return found;
}

/** Attaches a file to a free device, which is free again when its last user is gone: keep it open until it is mounted. */
async function attach(file: string): Promise<{ device: string; descriptor: number }> {
  const control = openSync(CONTROL, "r+");
  const backing = openSync(file, "r+");
  try {
    for (let attempt = 0; ; attempt++) {
      const device = `/dev/loop${await ioctlNumberLater(control, LOOP_CTL_GET_FREE)}`;
      const descriptor = openSync(device, "r+");
      const config = Buffer.alloc(CONFIG_SIZE);
      config.writeUInt32LE(backing, 0);
      config.writeUInt32LE(BLOCK_SIZE, 4);
      config.writeUInt32LE(LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO, FLAGS_OFFSET);
      config.write(file.slice(-63), FILE_NAME_OFFSET);
      try {
        await ioctlLater(descriptor, LOOP_CONFIGURE, config);
        return { device, descriptor };
      } catch (error) {
        closeSync(descriptor);
        // Somebody else was quicker.
        if (!(error instanceof KernelError && error.code === "EBUSY" && attempt < ATTEMPTS)) throw error;
      }
    }
  } finally {
    closeSync(backing);
    closeSync(control);
  }
}

/** Whether something is mounted on a directory. */
export const isMounted = (directory: string): boolean =>
  existsSync(directory) && statSync(directory).dev !== statSync(join(directory, "..")).dev;

/** Mounts a file's file system. A file that is attached already, by whoever still uses it, is mounted from the same device:
 * two devices on one file would be the end of it. `fresh` files are known not to be. */
export async function mountFile(
  file: string,
  directory: string,
  type: string,
  options: string,
  fresh = false,
): Promise<void> {
  if (isMounted(directory)) return;
  for (let attempt = 0; ; attempt++) {
    const known = fresh ? undefined : (await attachedFiles()).get(file);
    const attached = known ? { device: known, descriptor: openSync(known, "r") } : await attach(file);
    try {
      await mountLater(attached.device, directory, type, options);
      return;
    } catch (error) {
      // The last user of a device may have gone in this moment, and the file with it.
      if (!known || attempt >= ATTEMPTS || (await attachedFiles()).get(file) === known) throw error;
      await delay(20);
    } finally {
      closeSync(attached.descriptor);
    }
  }
}

/** Unmounts what is mounted on a directory, at once; what still uses it keeps it, out of sight. */
export async function unmount(directory: string): Promise<void> {
  try {
    await umountLater(directory, 0);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "EBUSY") throw error;
    await umountLater(directory, MNT_DETACH);
  }
}

/** Tells the device of a file that the file has grown. */
export async function adoptSize(file: string): Promise<void> {
  const device = (await attachedFiles()).get(file);
  if (!device) throw new KernelError("LOOP_SET_CAPACITY", 6, file);
  const descriptor = openSync(device, constants.O_RDONLY);
  try {
    await ioctlNumberLater(descriptor, LOOP_SET_CAPACITY);
  } finally {
    closeSync(descriptor);
  }
}
