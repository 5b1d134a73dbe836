// What containers used in the last minutes: sampled all the time, a few at once, and kept in memory.
import { setImmediate as nextTurn } from "node:timers/promises";
import { type CgroupUsage, KeptFiles, type LinkBytes, readLinkBytes } from "@tsd/kernel-bindings";
import type { Runtime } from "../../runtime/runtime.ts";
import type { LifecycleObserver } from "./lifecycle.ts";
import type { Container } from "./registry.ts";
import { interfaceCounters } from "./stats.ts";
import { type TimedUsage, type UsageSample, UsageSamples } from "./usage-samples.ts";

export const INTERVAL_SECONDS = 5;
/** Ten minutes of them. */
const KEPT = 120;
/** After so many looks also those are looked at closely that do nothing: their memory may have been taken back. */
const CLOSELY_AFTER = 12;
/** Containers that are looked at in one turn of the event loop, which takes one to two milliseconds. */
const AT_ONCE = 20;

/** What went through a container's network: at the host's ends of its links where it has such. */
function movedBytes(container: Container, links: ReadonlyMap<number, LinkBytes>): LinkBytes {
  const { hostConfig } = container.record.definition;
  const sum = { received: 0, sent: 0 };
  if (["host", "none"].includes(hostConfig.NetworkMode)) return sum;
  const endpoints = Object.values(container.state.endpoints);
  if (endpoints.length > 0 && endpoints.every(({ hostIndex }) => links.has(hostIndex))) {
    for (const { hostIndex } of endpoints) {
      sum.received += links.get(hostIndex)?.sent ?? 0;
      sum.sent += links.get(hostIndex)?.received ?? 0;
    }
    return sum;
  }
  for (const { rx_bytes, tx_bytes } of Object.values(interfaceCounters(container.state.pid))) {
    sum.received += rx_bytes;
    sum.sent += tx_bytes;
  }
  return sum;
}

const timedUsage = (usage: CgroupUsage, moved: LinkBytes): TimedUsage => ({
  time: Date.now(),
  Cpu: usage.cpu,
  Memory: usage.memory,
  Processes: usage.processes,
  Read: usage.read,
  Written: usage.written,
  Received: moved.received,
  Sent: moved.sent,
});

interface Watched {
  samples: UsageSamples;
  files: KeptFiles;
  cgroup: string;
  /** What it used at the last look. */
  usage?: CgroupUsage;
}

export class StatsHistory implements LifecycleObserver {
  readonly #runtime: Runtime;
  readonly #watched = new Map<Container, Watched>();
  #looks = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** A container's samples, oldest first; none of one that does not run. */
  of(container: Container): readonly UsageSample[] {
    return this.#watched.get(container)?.samples.all() ?? [];
  }

  started(container: Container): void {
    this.#forget(container);
    const cgroup = this.#runtime.cgroupOf(container.id, container.record.definition.hostConfig.CgroupParent);
    this.#watched.set(container, { samples: new UsageSamples(KEPT), files: new KeptFiles(), cgroup });
    this.#timer ??= setInterval(() => void this.#round(), INTERVAL_SECONDS * 1000).unref();
  }

  ended(container: Container): void {
    this.#forget(container);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #forget(container: Container): void {
    this.#watched.get(container)?.files.close();
    this.#watched.delete(container);
  }

  /** One sample of each. */
  async #round(): Promise<void> {
    const links = readLinkBytes();
    const closely = ++this.#looks % CLOSELY_AFTER === 0;
    let done = 0;
    for (const [container, watched] of [...this.#watched]) {
      const { samples, files } = watched;
      if (++done % AT_ONCE === 0) await nextTurn();
      // While others were looked at it may have ended: its files are closed then.
      if (!container.alive || this.#watched.get(container)?.files !== files) continue;
      watched.usage = this.#runtime.cgroups.usage(watched.cgroup, files, closely ? undefined : watched.usage);
      samples.add(timedUsage(watched.usage, movedBytes(container, links)));
    }
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { files } of this.#watched.values()) files.close();
  }
}
