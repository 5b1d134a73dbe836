// What is mounted on volumes with options: at their first use, in the host's sight, and taken away after the last.

import { lookup } from "node:dns/promises";
import { closeSync } from "node:fs";
import { isIP } from "node:net";
import { getSystemErrorMap } from "node:util";
import {
  AT_FDCWD,
  isMountPoint,
  KernelError,
  MNT_DETACH,
  mountLater,
  O_PATH,
  openat2,
  RESOLVE_NO_SYMLINKS,
  umountLater,
} from "@tsd/kernel-bindings";
import { EngineError } from "../errors.ts";
import { type MountPlan, mountCalls } from "./options.ts";
import type { VolumePlaces } from "./places.ts";
import type { Volume } from "./volume.ts";

export class VolumeMounts {
  readonly #places: VolumePlaces;
  readonly #report: (problem: unknown, what: string) => void;

  constructor(places: VolumePlaces, report: (problem: unknown, what: string) => void) {
    this.#places = places;
    this.#report = report;
  }

  /** Keeps a volume in use until `release`; returns a promise only when there is something to wait for. */
  acquire(volume: Volume, holder: string): Promise<void> | undefined {
    if (volume.busy || (volume.plan && volume.holders.size === 0))
      return volume.exclusively(() => this.acquireNow(volume, holder));
    volume.holders.add(holder);
    return undefined;
  }

  /** As acquire, for whoever has the volume's turn. */
  async acquireNow(volume: Volume, holder: string): Promise<void> {
    if (volume.plan && volume.holders.size === 0) await this.#mount(volume, volume.plan);
    volume.holders.add(holder);
  }

  /** Ends a use. What was mounted goes soon after the last: nobody needs to wait, since the next use does. */
  release(volume: Volume, holder: string): void {
    if (!volume.holders.delete(holder) || volume.holders.size > 0 || !volume.plan) return;
    volume
      .exclusively(() => this.unmountUnused(volume))
      .catch((error) => this.#report(error, `unmounting volume ${volume.name}`));
  }

  /** Whether something is mounted on a volume, whoever did it. */
  isMounted({ name, plan }: Volume): boolean {
    return plan !== undefined && isMountPoint(this.#places.mountPoint(name));
  }

  async unmountUnused(volume: Volume): Promise<void> {
    if (!volume.plan || volume.holders.size > 0) return;
    const target = this.#places.mountPoint(volume.name);
    while (isMountPoint(target)) await unmount(target);
  }

  async #mount(volume: Volume, plan: MountPlan): Promise<void> {
    const target = this.#places.mountPoint(volume.name);
    // Left by an earlier daemon for a container that has ended: a new use is a new mount.
    await this.unmountUnused(volume);
    const resolved = await resolveServer(plan);
    const { confined } = volume.record;
    let source: number | undefined;
    try {
      if (confined) source = openat2(AT_FDCWD, confined, O_PATH, RESOLVE_NO_SYMLINKS);
      for (const [index, call] of mountCalls(resolved).entries()) {
        const from = source !== undefined && index === 0 ? `/proc/self/fd/${source}` : call.source;
        await mountLater(from, target, call.type, call.data, call.flags);
      }
    } catch (error) {
      while (isMountPoint(target)) await unmount(target);
      throw mountError(error, target, resolved);
    } finally {
      if (source !== undefined) closeSync(source);
    }
  }
}

async function unmount(target: string): Promise<void> {
  try {
    await umountLater(target, 0);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== "EBUSY") throw error;
    await umountLater(target, MNT_DETACH);
  }
}

/** The kernel wants a server's address, not its name. */
async function resolveServer(plan: MountPlan): Promise<MountPlan> {
  if (!/^(nfs|cifs)/.test(plan.type)) return plan;
  const words = plan.data.split(",");
  const at = words.findIndex((word) => word.startsWith("addr="));
  const name = words[at]?.slice("addr=".length) ?? "";
  if (!name || isIP(name)) return plan;
  try {
    const { address } = await lookup(name);
    return { ...plan, data: words.with(at, `addr=${address}`).join(",") };
  } catch (cause) {
    throw new EngineError(
      "system",
      `error resolving passed in network volume address: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

function mountError(error: unknown, target: string, plan: MountPlan): unknown {
  if (!(error instanceof KernelError)) return error;
  const [first] = mountCalls(plan);
  const flags = first?.flags ? `, flags: 0x${first.flags.toString(16)}` : "";
  const data = plan.data ? `, data: ${plan.data}` : "";
  const reason = getSystemErrorMap().get(-error.errno)?.[1] ?? error.code;
  return new EngineError(
    "system",
    `error while mounting volume '${target}': failed to mount local volume: mount ${plan.source}:${target}${flags}${data}: ${reason}`,
    { cause: error },
  );
}
