// Verifies running containers: the live kernel against the plan of each one's present life, and what has been asked for since.
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import {
  allProcesses,
  boundingSet,
  type DeviceRule,
  KernelError,
  type LimitChange,
  namespaceInode,
  namespaceInodes,
  readAllQdiscs,
  readLinks,
  readTraffic,
} from "@tsd/kernel-bindings";
import type { Verification } from "../../api/types.ts";
import { SpecificationError } from "../../runtime/errors.ts";
import type { Firewall } from "../../runtime/network/firewall.ts";
import type { KernelElements } from "../../runtime/network/host-elements-check.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { cgroupLimits, deviceRules } from "../../runtime/specify.ts";
import { verifyCgroups } from "../../runtime/verify/cgroups.ts";
import { type Drift, drift, subjects } from "../../runtime/verify/drift.ts";
import { type Expectation, expectationOf } from "../../runtime/verify/expectation.ts";
import type { HostFacts, LiveContainer } from "../../runtime/verify/live.ts";
import { verifyMounts } from "../../runtime/verify/mounts.ts";
import { verifyIdMaps, verifyNamespaces } from "../../runtime/verify/namespaces.ts";
import {
  type ExpectedLink,
  type ExpectedNetwork,
  type HostNetwork,
  verifyNetwork,
} from "../../runtime/verify/network.ts";
import { verifyProcesses } from "../../runtime/verify/processes.ts";
import { verifyValues } from "../../runtime/verify/values.ts";
import type { Container } from "../containers/registry.ts";
import type { ContainerService } from "../containers/service.ts";
import type { ExecService } from "../exec/service.ts";
import type { Memberships } from "../networks/memberships.ts";
import { gatewayPlace, interfaceAddresses } from "../networks/places.ts";
import type { NetworkService } from "../networks/service.ts";
import { requestedSize } from "../storage/options.ts";
import type { WritableLayers } from "../storage/writable-layers.ts";
import type { Explanations } from "./explain.ts";

export interface VerifierParts {
  containers: ContainerService;
  runtime: Runtime;
  execs: ExecService;
  memberships: Memberships;
  networks: NetworkService;
  layers: WritableLayers;
  firewall: Firewall;
  explanations: Explanations;
  /** Tables of nf_tables that hold for all networks. */
  tables: readonly WatchedTables[];
}

export interface WatchedTables {
  what: string;
  /** Whether the kernel has them as they were made. */
  readonly whole: boolean;
}

/** What is read once for all containers of one run. */
interface Round {
  facts: HostFacts;
  network: HostNetwork;
  elements: KernelElements;
  /** Tables that are not whole, in words. */
  brokenTables: string[];
  rules: { missing: string[]; extra: string[] };
  bounding: bigint;
}

/** Processes that are looked at before others get their turn. */
const AT_ONCE = 100;
/** Milliseconds until what was seen of processes is seen again: one that is on its way is not what it will be. */
const SECOND_LOOK = 100;

export class Verifier {
  readonly #parts: VerifierParts;
  #turn: Promise<unknown> = Promise.resolve();
  /** What is expected of containers, as long as their present life lasts. */
  readonly #expected = new WeakMap<Container, { startedAt: string; expectation: Expectation }>();

  constructor(parts: VerifierParts) {
    this.#parts = parts;
  }

  /** Verifies containers, one after the other, and one such run at a time. The daemon's other work goes on in between. */
  verify(containers: readonly Container[]): Promise<Verification[]> {
    const run = this.#turn.then(() => this.#run(containers));
    this.#turn = run.catch(() => undefined);
    return run;
  }

  async #run(containers: readonly Container[]): Promise<Verification[]> {
    const round = await this.#round();
    const results: Verification[] = [];
    for (const container of containers) {
      await nextTurn();
      results.push(await this.#one(container, round));
    }
    return this.#lookAgain(containers, results, round);
  }

  /** Drifts of processes must be there a moment later, too. */
  async #lookAgain(
    containers: readonly Container[],
    results: readonly Verification[],
    round: Round,
  ): Promise<Verification[]> {
    const passing = (one: Verification["Drifts"][number]): boolean =>
      ["process", "capability", "namespace", "resource limit"].includes(one.Subject);
    if (!results.some(({ Drifts }) => Drifts.some(passing))) return [...results];
    await delay(SECOND_LOOK);
    const facts = await this.#facts();
    const again: Verification[] = [];
    for (const [index, result] of results.entries()) {
      const container = containers[index];
      if (!container || !result.Drifts.some(passing)) again.push(result);
      else {
        const second = await this.#one(container, { ...round, facts });
        const keys = new Set(second.Drifts.map(keyOf));
        again.push({
          ...result,
          Running: second.Running,
          Drifts: result.Drifts.filter((one) => second.Running && (!passing(one) || keys.has(keyOf(one)))),
        });
      }
    }
    return again;
  }

  async #round(): Promise<Round> {
    const { tables, firewall } = this.#parts;
    const rules = await firewall.differences();
    const facts = await this.#facts();
    await nextTurn();
    const network = {
      links: new Map(readLinks().map((link) => [link.index, link])),
      qdiscs: readAllQdiscs(),
      classesOf: (index: number) => readTraffic(index).classes,
    };
    await nextTurn();
    return {
      facts,
      network,
      elements: this.#elements(),
      brokenTables: tables.filter(({ whole }) => !whole).map(({ what }) => what),
      rules,
      bounding: boundingSet(),
    };
  }

  /** Tables that somebody has removed are empty. */
  #elements(): KernelElements {
    try {
      return this.#parts.networks.tables.kernelElements();
    } catch (error) {
      if (error instanceof KernelError)
        return { sets: new Map(), expected: new Map(), senders: new Map(), allowed: new Set() };
      throw error;
    }
  }

  async #facts(): Promise<HostFacts> {
    const byPidNamespace = new Map<number, number[]>();
    for (const [index, pid] of allProcesses().entries()) {
      if (index % AT_ONCE === AT_ONCE - 1) await nextTurn();
      const inode = namespaceInode(pid, "pid");
      const list = byPidNamespace.get(inode);
      if (list) list.push(pid);
      else byPidNamespace.set(inode, [pid]);
    }
    const containers: Map<string, { pid: number; namespaces: ReturnType<typeof namespaceInodes> }> =
      new Map();
    for (const [index, container] of this.#parts.containers.registry.all().entries()) {
      if (index % (AT_ONCE / 5) === 0) await nextTurn();
      if (!container.alive) continue;
      const { pid } = container.state;
      containers.set(container.id, { pid, namespaces: namespaceInodes(pid) });
    }
    return { host: namespaceInodes("self"), byPidNamespace, containers };
  }

  async #one(container: Container, round: Round): Promise<Verification> {
    const began = performance.now();
    const { startedAt } = container.state;
    const answer = (drifts: readonly Drift[], running: boolean): Verification => ({
      Id: container.id,
      Name: container.name,
      Running: running,
      Drifts: drifts.map((one) => ({
        Subject: one.subject,
        What: one.what,
        Expected: one.expected,
        Found: one.found,
        Severity: one.severity,
        ByContainer: one.byContainer,
      })),
      Subjects: [...subjects],
      Milliseconds: Math.round((performance.now() - began) * 100) / 100,
    });
    if (!container.alive || !round.facts.containers.has(container.id)) return answer([], false);
    try {
      const drifts = await this.#drifts(container, round);
      // What ended meanwhile is nobody's drift.
      const same = container.alive && container.state.startedAt === startedAt;
      return answer(same ? drifts : [], same);
    } catch (error) {
      const gone = ["ENOENT", "ESRCH", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "");
      if (gone && (!container.alive || namespaceInode(container.state.pid, "pid") === 0))
        return answer([], false);
      throw error;
    }
  }

  async #drifts(container: Container, round: Round): Promise<Drift[]> {
    const live = this.#live(container, round.facts, round.bounding);
    const { Runtime } = container.record.definition.hostConfig;
    if (Runtime !== "tsd" && this.#parts.runtime.foreign.find(Runtime))
      return [drift("plan", "who runs it", "tsd's own runtime", `${Runtime}: not verified`, "info")];
    if (!live)
      return [
        drift("plan", "the plan of its present life", "kept", "not kept, or by another version", "info"),
      ];
    const drifts = [
      ...verifyNamespaces(live),
      ...verifyIdMaps(live),
      ...verifyMounts(live),
      ...verifyValues(live),
    ];
    await nextTurn();
    drifts.push(...verifyCgroups(live, this.#updated(container, live.group), this.#deviceRules(container)));
    drifts.push(...(await verifyProcesses(live)));
    await nextTurn();
    drifts.push(...this.#network(container, live, round));
    drifts.push(...(await this.#storage(container)));
    return drifts;
  }

  /** A running container as it is to be looked at; undefined where no plan was kept. */
  #live(container: Container, facts: HostFacts, host: bigint): LiveContainer | undefined {
    const { runtime, execs } = this.#parts;
    const { definition, state } = container.record;
    const expectation = this.expectation(container);
    return (
      expectation && {
        id: container.id,
        pid: state.pid,
        expectation,
        cgroups: runtime.cgroups,
        group: runtime.cgroupOf(container.id, definition.hostConfig.CgroupParent),
        bounding: (expectation.bounding ?? host) & host,
        privileged: execs.privilegedProcesses(container),
        facts,
      }
    );
  }

  /** Only the processes of some containers, looked at twice: what is there both times. */
  async processes(containers: readonly Container[]): Promise<Map<Container, Drift[]>> {
    const look = async (): Promise<Map<Container, Drift[]>> => {
      const facts = await this.#facts();
      const found = new Map<Container, Drift[]>();
      for (const container of containers) {
        const live = container.alive ? this.#live(container, facts, boundingSet()) : undefined;
        const drifts = live && (await verifyProcesses(live));
        if (drifts?.length && container.alive) found.set(container, drifts);
      }
      return found;
    };
    const first = await look();
    if (first.size === 0) return first;
    await delay(SECOND_LOOK);
    const second = await look();
    for (const [container, drifts] of first) {
      const again = new Set(second.get(container)?.map(({ what }) => what));
      first.set(
        container,
        drifts.filter(({ what }) => again.has(what)),
      );
    }
    return first;
  }

  /** What is expected of a running container; undefined where no plan was kept. */
  expectation(container: Container): Expectation | undefined {
    const { startedAt } = container.state;
    const known = this.#expected.get(container);
    if (known?.startedAt === startedAt) return known.expectation;
    const plan = this.#parts.explanations.kept(container);
    // What another runtime does is not in the plan that it was started by.
    if (!plan || plan.some(({ op }) => op === "adopt")) return undefined;
    const expectation = expectationOf(plan);
    this.#expected.set(container, { startedAt, expectation });
    return expectation;
  }

  /** Limits as they are since the last update. */
  #updated(container: Container, group: string): LimitChange[] {
    const { cgroups } = this.#parts.runtime;
    try {
      return cgroups.changes(group, cgroupLimits(container.record.definition.hostConfig));
    } catch (error) {
      // A limit that could not be set now was not set then either.
      if (error instanceof KernelError) return [];
      throw error;
    }
  }

  /** What it may do with devices since the last update. Devices by name are as their specifications were at the start. */
  #deviceRules({ record }: Container): readonly DeviceRule[] | undefined {
    const { hostConfig } = record.definition;
    if (hostConfig.DeviceRequests?.length) return undefined;
    try {
      const rules = deviceRules(hostConfig, []);
      return rules === "all" ? undefined : rules;
    } catch (error) {
      // A device that has gone from the host since.
      if (error instanceof SpecificationError) return undefined;
      throw error;
    }
  }

  #network(container: Container, { pid, expectation, bounding }: LiveContainer, round: Round): Drift[] {
    if (!expectation.own.has("net")) return [];
    const { containers, memberships, networks } = this.#parts;
    const { endpoints, ports } = container.state;
    const member = containers.starter.member(container);
    const places = memberships.places(member, { endpoints, ports });
    const links = places.flatMap(({ endpoint, network, shape }): ExpectedLink[] => {
      if (!endpoint.interface) return [];
      const addresses = interfaceAddresses(endpoint).map(
        ({ address, prefixLength }) => `${address}/${prefixLength}`,
      );
      const { bridge } = network;
      const host = bridge && {
        name: endpoint.hostName,
        index: endpoint.hostIndex,
        bridgeIndex: network.link.index,
        isolated: !bridge.icc,
        shape,
        shaper: endpoint.shaper,
      };
      // An ipvlan link has its parent's.
      const mac = network.record.driver === "ipvlan" ? "" : endpoint.mac;
      return [{ name: endpoint.interface, mac, addresses, host }];
    });
    for (const { networkId, interface: name } of Object.values(endpoints))
      if (networkId === "" && name) links.push({ name, mac: "", addresses: undefined, host: undefined });
    const expected: ExpectedNetwork = {
      links,
      gateways: {
        4: gatewayPlace(places, 4)?.endpoint.gateway ?? "",
        6: gatewayPlace(places, 6)?.endpoint.gateway6 ?? "",
      },
    };
    const drifts = verifyNetwork(pid, expected, round.network, bounding);
    if (!places.some(({ network }) => network.bridge)) return drifts;
    const bridges = places.flatMap(({ network }) => (network.bridge ? [network.link.name] : []));
    return [
      ...drifts,
      ...networks.tables
        .compare(container.id, round.elements)
        .map(({ what, expected: wanted, found }) => drift("firewall", what, wanted, found, "high")),
      ...round.brokenTables.map((what) =>
        drift("firewall", what, "as it was made", "changed by somebody else", "high"),
      ),
      ...ruleDrifts(bridges, round.rules),
    ];
  }

  async #storage(container: Container): Promise<Drift[]> {
    const size = requestedSize(container.record.definition.hostConfig.StorageOpt);
    if (size === undefined) return [];
    const usage = await this.#parts.layers.usage(container.id);
    if (usage === undefined)
      return [drift("storage", "limit of the writable layer", `${size}`, "none", "medium")];
    // Drivers round to their blocks, and one that could not be made smaller is larger.
    return usage.limit > size * 1.05 || usage.limit === 0
      ? [drift("storage", "limit of the writable layer", `${size}`, `${usage.limit}`, "medium")]
      : [];
  }
}

const keyOf = ({ Subject, What }: Verification["Drifts"][number]): string => `${Subject}\n${What}`;

/** Rules of a container's networks; those without a network's name lead to them all. */
function ruleDrifts(bridges: readonly string[], rules: Round["rules"]): Drift[] {
  const concerns = (line: string): boolean => {
    const named = /--comment "?tsd:([^\s"]+)/.exec(line)?.[1];
    return named === undefined || bridges.includes(named);
  };
  return [
    ...rules.missing
      .filter(concerns)
      .map((line) => drift("firewall", `iptables rule ${line}`, "there", "not there", "high")),
    ...rules.extra
      .filter(concerns)
      .map((line) => drift("firewall", `iptables rule ${line}`, "not there", "there", "high")),
  ];
}
