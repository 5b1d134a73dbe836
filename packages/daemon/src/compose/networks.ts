// Wires networks, and what holds for them.
import { randomBytes } from "node:crypto";
import type { Logger } from "pino";
import type { Settings } from "../configuration/settings.ts";
import { ChainService } from "../engine/chains/service.ts";
import type { EventBus } from "../engine/events/bus.ts";
import { Memberships } from "../engine/networks/memberships.ts";
import { Names } from "../engine/networks/names.ts";
import { SubnetChooser } from "../engine/networks/pools.ts";
import { ephemeralPorts, HostPorts } from "../engine/networks/ports.ts";
import { NetworkService } from "../engine/networks/service.ts";
import { PolicyService } from "../engine/policies/service.ts";
import { ChainTables } from "../runtime/network/chain-tables.ts";
import { Firewall } from "../runtime/network/firewall.ts";
import { FloodTables } from "../runtime/network/flood-tables.ts";
import { HostTables } from "../runtime/network/host-tables.ts";
import { LinkReaper } from "../runtime/network/link-reaper.ts";
import { PolicyTables } from "../runtime/network/policy-tables.ts";
import { chainStore } from "../state/chains.ts";
import { installationFact, type openDatabase } from "../state/database.ts";
import { networkStore } from "../state/networks.ts";
import { policyStore } from "../state/policies.ts";

export interface NetworkParts {
  db: ReturnType<typeof openDatabase>;
  settings: Settings;
  events: EventBus;
  logger: Logger;
  report: (problem: unknown, what: string) => void;
}

/** Networks, the tables and rules that hold for them, and the places of containers in them. */
export function composeNetworks({ db, settings, events, logger, report }: NetworkParts) {
  const networkId = installationFact(db, "default-network", () => randomBytes(32).toString("hex"));
  const tables = new HostTables();
  const policyTables = new PolicyTables();
  const chainTables = new ChainTables();
  const floods = new FloodTables();
  const firewall = new Firewall(report, (repaired) => {
    if (
      [tables.repair(), policyTables.repair(), chainTables.repair(), floods.repair(), repaired].includes(true)
    )
      logger.warn("the packet filter's rules had been taken away, and are back");
  });
  const networks = new NetworkService({
    store: networkStore(db),
    settings: {
      bridge: settings.bridge,
      defaultNetworkId: networkId,
      mtu: settings.mtu,
      icc: settings.icc,
      firewall: settings.iptables,
    },
    subnets: new SubnetChooser(settings.addressPools, networkId),
    firewall,
    tables,
    events,
    report,
  });
  const policies = new PolicyService({ store: policyStore(db), networks, tables: policyTables, report });
  const chains = new ChainService({
    store: chainStore(db),
    networks,
    tables: chainTables,
    hostTables: tables,
    report,
  });
  const names = new Names(networks, report);
  const reaper = new LinkReaper(report);
  const memberships = new Memberships({
    networks,
    hostPorts: new HostPorts(ephemeralPorts()),
    floods,
    mtu: settings.mtu,
    watchers: [policies, chains, names],
  });
  return {
    networks,
    policies,
    chains,
    names,
    reaper,
    memberships,
    floods,
    firewall,
    /** All tables of nf_tables. */
    tables: [tables, policyTables, chainTables, floods],
  };
}
