// Explains what is, was or would be done to the kernel for a container: its launch plan in words, each step with who carries it
// out, by which calls, and why; and what the daemon does beside the plan.
import {
  type ExplainedStep,
  explainPlan,
  keptPlan,
  type Plan,
  PlanFormatError,
  processStatus,
} from "@tsd/kernel-bindings";
import type { ContainerCreate } from "../../api/schemas/container-create.ts";
import type { Explanation, ExplanationStep } from "../../api/types.ts";
import type { IdMaps, IdRange } from "../../runtime/user-namespace.ts";
import type { Caller } from "../access/caller.ts";
import type { ContainerDefinition, ContainerRecord } from "../containers/record.ts";
import { initialState } from "../containers/record.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import type { EndpointState } from "../networks/record.ts";
import { besidePlan } from "./beside.ts";

type Endpoints = Readonly<Record<string, EndpointState>>;

const carriers = {
  monitor: "monitor",
  host: "monitor, on the host",
  child: "the container's process",
} as const;

/** What differs between two containers that are alike: ids, and the names, numbers and addresses that the engine chose. Each with
 * the word that stands for it. */
function chosenByEngine(definition: ContainerDefinition, endpoints: Endpoints): [string, string][] {
  const { id } = definition;
  const words: [string, string][] = [
    [id, "ID"],
    [id.slice(0, 16), "ID"],
    [id.slice(0, 12), "ID"],
  ];
  for (const { anonymous, name } of definition.mounts) if (anonymous) words.push([name, "VOLUME"]);
  for (const [network, endpoint] of Object.entries(endpoints)) {
    const asked = definition.networks[network];
    // A device of the host's keeps its name; indexes that the engine chose are too large to be anything else.
    if (endpoint.hostIndex > 0) words.push([endpoint.hostName, "LINK"], [`${endpoint.hostIndex}`, "INDEX"]);
    if (endpoint.shaper) words.push([endpoint.shaper.name, "SHAPER"], [`${endpoint.shaper.index}`, "INDEX2"]);
    if (!asked?.MacAddress) words.push([endpoint.mac, "MAC"]);
    if (!asked?.IPAMConfig?.IPv4Address) words.push([endpoint.address, "ADDRESS"]);
    if (!asked?.IPAMConfig?.IPv6Address) words.push([endpoint.address6, "ADDRESS6"]);
  }
  // "veth…" before what might be a part of it.
  return words.filter(([text]) => text !== "").sort(([a], [b]) => b.length - a.length);
}

/** What stands for what the engine chose. */
interface Chosen {
  words: readonly [string, string][];
  /** Users and groups of the host's that the engine chose for the container's. */
  ids: readonly IdRange[];
  /** The categories of SELinux labels are the engine's choice, too. */
  categories: boolean;
}

/** A step's text as it would be for any container that is alike. */
function alike(text: string, { words, ids, categories }: Chosen): string {
  let result = text.replace(/\/proc\/\d+\//g, "/proc/PID/");
  for (const [own, word] of words) result = result.replaceAll(own, word);
  if (categories) result = result.replace(/:c\d+,c\d+\b/g, ":CATEGORIES");
  return ids.length === 0
    ? result
    : result.replace(/\d{4,}/g, (number) => {
        const range = ids.find(({ host, size }) => Number(number) >= host && Number(number) < host + size);
        return range ? `HOST-ID+${Number(number) - range.host}` : number;
      });
}

function stepView(step: ExplainedStep, chosen: Chosen): ExplanationStep {
  return {
    Number: step.number,
    Stage: step.stage,
    By: carriers[step.stage],
    Operation: step.op,
    Calls: step.calls,
    Does: step.does,
    Details: step.details,
    Why: step.why,
    Alike: alike([step.op, ...step.calls, step.does, ...step.details].join("\n"), chosen),
  };
}

function view(
  definition: ContainerDefinition,
  of: Explanation["Of"],
  plan: Plan,
  endpoints: Endpoints,
  maps: IdMaps | undefined,
): Explanation {
  const chosen = {
    words: chosenByEngine(definition, endpoints),
    ids: definition.userNamespace?.kind === "maps" || !maps ? [] : [...maps.uids, ...maps.gids],
    categories: !definition.hostConfig.SecurityOpt?.some((option) => /^label[=:]level/.test(option)),
  };
  return {
    Id: of === "would-be" ? "" : definition.id,
    Name: definition.name,
    Of: of,
    Steps: explainPlan(plan).map((step) => stepView(step, chosen)),
    Beside: besidePlan(definition, endpoints).map((item) => ({ ...item, Alike: alike(item.Does, chosen) })),
  };
}

export class Explanations {
  readonly #containers: ContainerService;

  constructor(containers: ContainerService) {
    this.#containers = containers;
  }

  /** The plan of a container's present life, or, where it does not run, of its next start. Throws what that start would. */
  ofContainer(container: Container): Explanation {
    const { record, state } = container;
    const kept = container.alive ? this.kept(container) : undefined;
    if (kept)
      return view(record.definition, "present life", kept, state.endpoints, state.userNamespace?.maps);
    return this.#rehearse(record, "next start");
  }

  /** The plan that a running container was started with; undefined where none was kept that this version can read. */
  kept(container: Container): Plan | undefined {
    try {
      // The parent of process 1 is its monitor.
      const monitor = processStatus(container.state.pid)?.parent;
      return monitor === undefined ? undefined : keptPlan(monitor);
    } catch (error) {
      if (error instanceof PlanFormatError) return undefined;
      throw error;
    }
  }

  /** The plan of a container that would be created and started so: judged like a create, and nothing is left of it. */
  async ofRequest(request: ContainerCreate, name: string | undefined, caller: Caller): Promise<Explanation> {
    const definition = await this.#containers.creation.rehearse(request, name, caller);
    return this.#rehearse({ definition, state: { ...initialState } }, "would-be");
  }

  #rehearse(record: ContainerRecord, of: Explanation["Of"]): Explanation {
    const { plan, endpoints, userNamespace } = this.#containers.starter.rehearse(record);
    const maps = userNamespace.kind === "host" ? undefined : userNamespace.maps;
    return view(record.definition, of, plan, endpoints, maps);
  }
}
