// The daemon's start: finds the monitors of an earlier daemon again, learns what happened meanwhile, applies restart
// policies, finishes what was half done, and removes what belongs to nobody.
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { everything } from "../access/caller.ts";
import { requestedSize } from "../storage/options.ts";
import type { ContainerLifecycle } from "./lifecycle.ts";
import type { Container } from "./registry.ts";
import { restartsWithDaemon } from "./restart-policy.ts";

/** What was found, for the log. */
export interface AdoptionReport {
  adopted: number;
  endedMeanwhile: number;
  removalsFinished: number;
  startsTakenBack: number;
  strays: number;
}

/** Ends at once with what does not take time; restarts go on afterwards. */
export async function adoptContainers(lifecycle: ContainerLifecycle): Promise<AdoptionReport> {
  const report: AdoptionReport = {
    adopted: 0,
    endedMeanwhile: 0,
    removalsFinished: 0,
    startsTakenBack: 0,
    strays: 0,
  };
  await Promise.all(
    lifecycle.registry
      .all()
      .map((container) => container.exclusively(() => adoptOne(lifecycle, container, report))),
  );
  report.strays = await sweep(lifecycle);
  return report;
}

async function adoptOne(
  lifecycle: ContainerLifecycle,
  container: Container,
  found: AdoptionReport,
): Promise<void> {
  const { runtime, layers, report } = lifecycle.parts;
  const { CgroupParent, StorageOpt } = container.record.definition.hostConfig;
  const places = runtime.places(container.id, CgroupParent);
  if (container.record.definition.temporary) {
    await endTemporary(lifecycle, container);
    found.removalsFinished++;
    return;
  }
  if (container.state.removal || !existsSync(lifecycle.starter.directory(container.id))) {
    // A removal that the last daemon did not live to finish.
    container.removing = true;
    await lifecycle.starter.release(container);
    runtime.forget(places);
    container.note({ status: "exited", pid: 0 });
    await lifecycle.remove(container, container.state.removal === "with-volumes");
    found.removalsFinished++;
    return;
  }
  const size = requestedSize(StorageOpt);
  if (size !== undefined)
    await layers
      .reconcile(container.id, size)
      .catch((error) => report(error, `limit of what ${container.id} writes`));
  if (container.alive) {
    if (await lifecycle.adopt(container)) found.adopted++;
    else {
      await lifecycle.ended(container, undefined);
      found.endedMeanwhile++;
    }
    return;
  }
  if (runtime.hasTraces(places)) {
    // A start that the last daemon did not live to tell of: if it got anywhere, it counts, else it is taken back.
    if (await lifecycle.adoptStart(container)) {
      found.adopted++;
      return;
    }
    await lifecycle.starter.release(container);
    container.note({}, () => runtime.forget(places));
    found.startsTakenBack++;
  }
  const { RestartPolicy } = container.record.definition.hostConfig;
  if (container.state.status === "restarting" || restartsWithDaemon(RestartPolicy, container.state))
    lifecycle.startSoon(container);
}

/** A build's step whose build died with the last daemon. */
async function endTemporary(lifecycle: ContainerLifecycle, container: Container): Promise<void> {
  const { runtime, memberships, report } = lifecycle.parts;
  const places = runtime.places(container.id, container.record.definition.hostConfig.CgroupParent);
  container.removing = true;
  if (container.alive) memberships.takeUp(lifecycle.starter.member(container), container.state, report);
  await lifecycle.starter.release(container);
  runtime.forget(places);
  container.note({ status: "exited", pid: 0 });
  await lifecycle.remove(container, true);
}

/** Removes processes, directories and files that belong to no container; returns how many. */
async function sweep(lifecycle: ContainerLifecycle): Promise<number> {
  const { runtime, root, trash, layers } = lifecycle.parts;
  const { registry } = lifecycle;
  const strays = await runtime.sweep((prefix) => registry.findByIdPrefix(prefix) !== undefined);
  let found = strays + layers.sweep((id) => registry.look(id, everything) !== undefined);
  for (const name of await readdir(root)) {
    if (registry.look(name, everything)) continue;
    found++;
    await rm(join(root, name), { recursive: true, force: true });
  }
  await rm(trash, { recursive: true, force: true });
  return found;
}
