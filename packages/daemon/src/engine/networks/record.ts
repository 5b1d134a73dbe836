// Networks as they are kept, and where.

/** A subnet of a network, as a request gives it and inspect shows it. */
export interface IpamConfig {
  Subnet: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}

export type NetworkDriver = "bridge" | "host" | "null" | "macvlan" | "ipvlan";

export interface NetworkRecord {
  id: string;
  name: string;
  created: string;
  /** Who created it (Caller.id); "" for those that are always there. */
  owner: string;
  driver: NetworkDriver;
  ipv4: boolean;
  ipv6: boolean;
  internal: boolean;
  attachable: boolean;
  ipam: {
    driver: string;
    options: Record<string, string> | null;
    /** As shown: complete for subnets that the engine chose. */
    config: IpamConfig[];
    /** The user chose the subnet, so that addresses in it may be chosen too. */
    chosen: boolean;
  };
  options: Record<string, string>;
  labels: Record<string, string>;
}

/** Keeps records over the daemon's life. Every method is synchronous and durable against the daemon's death. */
export interface NetworkStore {
  all(): NetworkRecord[];
  insert(record: NetworkRecord): void;
  delete(id: string): void;
}

/** One container's place in one network, while it has it. Names and numbers of links are the kernel's. */
export interface EndpointState {
  networkId: string;
  endpointId: string;
  /** In the container. */
  interface: string;
  /** The other end, on the host; "" for drivers without one. */
  hostName: string;
  hostIndex: number;
  /** The ifb that what the container sends is led through, if it is shaped. */
  shaper?: { name: string; index: number } | undefined;
  /** Link-local addresses that were asked for besides. */
  linkLocal?: readonly string[];
  mac: string;
  /** "" without one, as for all below. */
  address: string;
  prefixLength: number;
  gateway: string;
  address6: string;
  prefixLength6: number;
  gateway6: string;
}

export type TransportProtocol = "tcp" | "udp" | "sctp";

/** A port of the host's that leads to one of a container's. */
export interface PublishedPort {
  containerPort: number;
  protocol: TransportProtocol;
  /** "0.0.0.0" and "::" for all of them. */
  hostAddress: string;
  /** 0 in routed networks, where the container's own address is reached. */
  hostPort: number;
  /** The container's, that it leads to. */
  address: string;
}
