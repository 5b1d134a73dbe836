// Labels of containers: each gets its own at create and keeps it, whatever becomes of the daemon.
import type { HostConfig } from "../../api/schemas/container-create.ts";
import type { SecurityModules } from "../../runtime/modules.ts";
import { parseSecurityOptions } from "../../runtime/security.ts";
import {
  type ContainerContexts,
  chooseLevel,
  containerLabels,
  levelOf,
  optionsOfLabel,
  relabelStep,
} from "../../runtime/selinux.ts";
import type { SecurityLabels } from "../../runtime/specify.ts";
import { everything } from "../access/caller.ts";
import { invalid } from "../errors.ts";
import type { ContainerDefinition, ContainerMount } from "./record.ts";
import type { ContainerRegistry } from "./registry.ts";
import { specifying } from "./validate.ts";

const noLabels: SecurityLabels = { process: "", mount: "", appArmor: "" };

/** The options of a request that says nothing of labels: who shares the host's processes or memory, or may do everything,
 * is not confined; who shares another container's has its label. As dockerd, which shows them in the configuration. */
function impliedOptions(host: HostConfig, labelOf: (container: string) => string): string[] {
  if (host.Privileged || host.IpcMode === "host" || host.PidMode === "host") return ["disable"];
  const [ipc, pid] = [host.IpcMode, host.PidMode].map((mode) => {
    const partner = /^container:(.+)$/.exec(mode)?.[1];
    return partner ? optionsOfLabel(labelOf(partner)) : undefined;
  });
  if (ipc && pid && ipc.join() !== pid.join())
    throw invalid("--ipc and --pid containers SELinux labels aren't the same");
  return ipc ?? pid ?? [];
}

export interface LabelParts {
  modules: SecurityModules;
  registry: ContainerRegistry;
}

/** Every level that a container has: nobody is given one of them, until it is removed. */
function levelsInUse(registry: ContainerRegistry): Set<string> {
  const labels = registry.all().flatMap(({ record: { definition } }) => definition.labels ?? []);
  return new Set(labels.flatMap(({ process, mount }) => [levelOf(process), levelOf(mount)]));
}

function selinuxLabels(
  options: readonly string[],
  contexts: ContainerContexts,
  registry: ContainerRegistry,
): Pick<SecurityLabels, "process" | "mount"> {
  return specifying(() => containerLabels(options, contexts, chooseLevel(levelsInUse(registry))));
}

/** Gives a container its labels, and puts down the options they were made of. Whoever calls this adds it to the registry in
 * the same turn: two containers would have one pair otherwise. */
export function assignLabels(definition: ContainerDefinition, { modules, registry }: LabelParts): void {
  const { hostConfig } = definition;
  const given = hostConfig.SecurityOpt ?? [];
  const security = parseSecurityOptions(given, hostConfig.Privileged);
  const labelOf = (id: string): string =>
    registry.look(id, everything)?.record.definition.labels?.process ?? "";
  const implied = security.labels.length > 0 ? [] : impliedOptions(hostConfig, labelOf);
  if (implied.length > 0) hostConfig.SecurityOpt = [...given, ...implied.map((option) => `label=${option}`)];
  const labels = [...security.labels, ...implied];
  definition.labels = {
    ...noLabels,
    ...(modules.selinux ? selinuxLabels(labels, modules.selinux, registry) : {}),
    appArmor: modules.profileFor(security, hostConfig.Privileged),
  };
}

/** Whether a container was made when this daemon did not use a module that it uses now. */
export const lacksLabels = ({ labels = noLabels }: ContainerDefinition, modules: SecurityModules): boolean =>
  (modules.selinux !== undefined && !labels.mount) || (modules.appArmor && !labels.appArmor);

/** What the container's processes and files get on this daemon: of modules that it does not use (any more), nothing. */
export function labelsInForce(
  { labels = noLabels }: ContainerDefinition,
  modules: SecurityModules,
): SecurityLabels {
  return {
    process: modules.selinux ? labels.process : "",
    mount: modules.selinux ? labels.mount : "",
    appArmor: modules.appArmor ? labels.appArmor : "",
  };
}

/** The steps that label what z and Z are said of. */
export const relabelSteps = (mounts: readonly ContainerMount[], { mount: label }: SecurityLabels) =>
  mounts.flatMap((mount) => {
    const words = mount.mode.split(",");
    if (!label || mount.type === "tmpfs" || !(words.includes("z") || words.includes("Z"))) return [];
    const place = { source: mount.source, confined: mount.confined ?? false, subpath: mount.subpath ?? "" };
    return [relabelStep(place, label, !words.includes("Z"))];
  });
