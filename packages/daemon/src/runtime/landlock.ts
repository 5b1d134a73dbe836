// Landlock rules as they are asked for (landlock=ro:/usr,rw:/data,bind:80,connect:443,scope:signal), and as a plan has them.
import { landlockAccess, landlockSince, type Step } from "@tsd/kernel-bindings";
import { SpecificationError } from "./errors.ts";

export interface LandlockRules {
  /** Paths in the container: "ro" reads and executes, "rw" does all. What is below none of them is out of reach. */
  paths: readonly { path: string; access: "ro" | "rw" }[];
  /** TCP ports; undefined: all of them are free. */
  bind: readonly number[] | undefined;
  connect: readonly number[] | undefined;
  /** Cut off from processes outside: their signals, their abstract Unix sockets. */
  scopes: readonly ("signal" | "abstract-unix")[];
}

const failure = (rule: string, reason: string): SpecificationError =>
  new SpecificationError("invalid", `landlock rule ${JSON.stringify(rule)}: ${reason}`);

function port(rule: string, text: string): number {
  const number = Number(text);
  if (!/^\d{1,5}$/.test(text) || number > 65535) throw failure(rule, "not a TCP port");
  return number;
}

/** Reads a list of rules, adding them to those there are. */
export function parseLandlock(text: string, before: LandlockRules | undefined): LandlockRules {
  const paths = [...(before?.paths ?? [])];
  const scopes = [...(before?.scopes ?? [])];
  let { bind, connect } = before ?? { bind: undefined, connect: undefined };
  for (const rule of text.split(",")) {
    const at = rule.indexOf(":");
    const kind = rule.slice(0, Math.max(at, 0));
    const value = rule.slice(at + 1);
    if (kind === "ro" || kind === "rw") {
      if (!value.startsWith("/")) throw failure(rule, "not an absolute path of the container's");
      paths.push({ path: value, access: kind });
    } else if (kind === "bind") bind = [...(bind ?? []), ...(value === "none" ? [] : [port(rule, value)])];
    else if (kind === "connect")
      connect = [...(connect ?? []), ...(value === "none" ? [] : [port(rule, value)])];
    else if (kind === "scope" && (value === "signal" || value === "abstract-unix")) scopes.push(value);
    else
      throw failure(
        rule,
        "neither ro:PATH, rw:PATH, bind:PORT, connect:PORT (or none), scope:signal nor scope:abstract-unix",
      );
  }
  if (paths.length > 128) throw failure(text.slice(0, 40), "more than 128 paths");
  return { paths, bind, connect, scopes };
}

/** Throws where the kernel's Landlock, of this version (0: none), can't do what is asked for. */
export function checkLandlock(rules: LandlockRules, version: number): void {
  const refuse = (what: string): never => {
    throw new SpecificationError("invalid", `landlock: ${what}`);
  };
  if (version === 0) refuse("this kernel has no Landlock, or it is turned off (lsm=landlock,…)");
  if ((rules.bind || rules.connect) && version < landlockSince.network)
    refuse(`rules for ports need version ${landlockSince.network} of Landlock, this kernel has ${version}`);
  if (rules.scopes.length > 0 && version < landlockSince.scope)
    refuse(`scopes need version ${landlockSince.scope} of Landlock, this kernel has ${version}`);
}

/** The step that restricts a process by these rules. */
export function landlockStep(rules: LandlockRules, version: number): Step {
  const { read, all, bindTcp, connectTcp, scopeAbstractUnix, scopeSignal } = landlockAccess;
  const everything = all(version);
  const ports = new Map<number, number>();
  const allow = (list: readonly number[] | undefined, access: number): void => {
    for (const number of list ?? []) ports.set(number, (ports.get(number) ?? 0) | access);
  };
  allow(rules.bind, bindTcp);
  allow(rules.connect, connectTcp);
  return {
    op: "landlock",
    // Without paths the file system stays as it is: rules for ports or scopes alone are nothing to lose files by.
    fileSystem: rules.paths.length > 0 ? everything : 0,
    network: (rules.bind ? bindTcp : 0) + (rules.connect ? connectTcp : 0),
    scoped:
      (rules.scopes.includes("abstract-unix") ? scopeAbstractUnix : 0) +
      (rules.scopes.includes("signal") ? scopeSignal : 0),
    paths: rules.paths.map(({ path }) => path),
    access: rules.paths.map(({ access }) => (access === "rw" ? everything : read)),
    ports: [...ports.keys()],
    portAccess: [...ports.values()],
  };
}
