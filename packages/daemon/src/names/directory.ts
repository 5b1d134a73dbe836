// What the name server asks of those who know the networks.

/** A server that questions are passed on to. */
export interface Resolver {
  /** IPv4 or IPv6. */
  address: string;
  /** 53 unless given. */
  port?: number;
  /** Asked from the host's network instead of the container's: the host's own loopback resolver. */
  fromHost: boolean;
}

export interface Resolvers {
  /** In the order in which they are asked; those that did not answer lately come last. */
  servers: readonly Resolver[];
  /** False for containers that have internal networks only: what is not theirs is refused, as Docker does (SERVFAIL), so that
   * nothing leaves by questions. */
  forward: boolean;
  /** False where `--dns-opt ndots:N` was asked for: a name without dots is then not passed on but said to have no addresses,
   * so that the client goes on with its search domains, as in Docker. True unless given. */
  forwardSingleLabels?: boolean;
}

/** Addresses of a name; several are answered in random order. */
export interface NameAddresses {
  ipv4: readonly string[];
  ipv6: readonly string[];
}

/** Who has which name, as one container sees it. Asked for each question, so answers come from memory. */
export interface NameDirectory {
  /** A name in lower case, without the last dot; undefined if it belongs to nobody on the container's networks. A name that
   * exists without addresses of a family has an empty list of them. */
  lookup(containerId: string, name: string): NameAddresses | undefined;
  /** Names of an address: IPv4 with dots, IPv6 in lower case and shortened as in RFC 5952; undefined if it is nobody's. */
  reverse(containerId: string, address: string): readonly string[] | undefined;
  resolvers(containerId: string): Resolvers;
}
