// Kernel parameters and names of a container's namespaces against its plan. They show only from inside, so this thread goes there
// for a moment.
import { readFileSync } from "node:fs";
import { inNamespace } from "@tsd/kernel-bindings";
import { type Drift, drift, unlessAllowed } from "./drift.ts";
import type { LiveContainer } from "./live.ts";

const plain = (text: string): string => text.trim().split(/\s+/).join(" ");

/** The kind of namespace that a parameter belongs to. */
const kindOf = (path: string): "net" | "ipc" | "uts" =>
  path.startsWith("/proc/sys/net/")
    ? "net"
    : /^\/proc\/sys\/kernel\/(hostname|domainname)$/.test(path)
      ? "uts"
      : "ipc";

/** Values by path, as process 1 would read them; those that can't be read are left out. */
function readInside(pid: number, paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const kind of ["net", "ipc", "uts"] as const) {
    const own = paths.filter((path) => kindOf(path) === kind);
    if (own.length === 0) continue;
    inNamespace(kind, `/proc/${pid}/ns/${kind}`, () => {
      for (const path of own) {
        try {
          found.set(path, plain(readFileSync(path, "utf8")));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
        }
      }
    });
  }
  return found;
}

const HOSTNAME = "/proc/sys/kernel/hostname";
const DOMAINNAME = "/proc/sys/kernel/domainname";
/** Of links, which may be gone or renamed since. */
const ofLink = /^\/proc\/sys\/net\/ipv[46]\/conf\/(?!all\/|default\/|lo\/)/;

export function verifyValues({ pid, expectation, bounding }: LiveContainer): Drift[] {
  const names: [path: string, value: string | undefined][] = [
    [HOSTNAME, expectation.hostname],
    [DOMAINNAME, expectation.domainname],
  ];
  const given = names.flatMap(([path, value]) => (value === undefined ? [] : [{ path, value }]));
  const found = readInside(
    pid,
    [...given, ...expectation.sysctls].map(({ path }) => path),
  );
  const hosts = given.flatMap(({ path, value }): Drift[] =>
    found.get(path) === value
      ? []
      : [drift("host name", path.slice(path.lastIndexOf("/") + 1), value, found.get(path) ?? "", "low")],
  );
  const parameters = expectation.sysctls.flatMap(({ path, value }): Drift[] => {
    const now = found.get(path);
    if (now === plain(value) || (now === undefined && ofLink.test(path))) return [];
    const name = path.slice("/proc/sys/".length).replaceAll("/", ".");
    return [drift("kernel parameter", name, plain(value), now ?? "not there", "medium")];
  });
  // Where /proc/sys may be written to, it may change its own.
  const sealed = expectation.mounts.some(({ target }) => target === "/proc/sys");
  return [
    ...unlessAllowed(hosts, "SYS_ADMIN", bounding),
    ...(sealed
      ? unlessAllowed(parameters, "SYS_ADMIN", bounding)
      : parameters.map((one): Drift => ({ ...one, severity: "info", byContainer: true }))),
  ];
}
