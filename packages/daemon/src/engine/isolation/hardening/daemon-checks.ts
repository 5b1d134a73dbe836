// Checks of the daemon and its host, as a table.
import { type Check, when } from "./finding.ts";

/** A file or directory as far as it can be somebody's way in. */
export interface FileFacts {
  path: string;
  mode: number;
  uid: number;
}

export interface DaemonFacts {
  /** Who may connect, and how. */
  sockets: readonly FileFacts[];
  socketGroup: { name: string; members: readonly string[] };
  tcp: readonly { address: string; loopback: boolean }[];
  tls: "none" | "server" | "mutual";
  allowUnauthenticatedTcp: boolean;
  anonymousPing: boolean;
  requestsPerSecond: number;
  rolesFile: FileFacts | undefined;
  policyWarnings: readonly string[];
  privateKeys: readonly FileFacts[];
  /** Other files that the daemon believes. */
  trustedFiles: readonly FileFacts[];
  expiries: readonly { what: string; when: Date }[];
  revocationList: boolean;
  auditKey: { given: boolean };
  dataRoot: FileFacts;
  dataRootOnRootFileSystem: boolean;
  execRoot: FileFacts;
  logLevel: string;
  iptables: boolean;
  icc: boolean;
  insecureRegistries: readonly string[];
  imagePolicy: boolean;
  defaultPids: number | undefined;
  defaultUlimits: readonly string[];
  defaultLayerSize: string | undefined;
  verifyInterval: number;
  defence: string;
  kernel: { release: string; securityModules: readonly string[]; seccomp: boolean };
  /** Parameters of the host's kernel, by their dotted names; missing ones are not there. */
  sysctls: Readonly<Record<string, string>>;
  now: Date;
}

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, "0");
const shown = ({ path, mode, uid }: FileFacts): string => `${path} has mode ${octal(mode)}, owner ${uid}`;
const writableByOthers = ({ mode, uid }: FileFacts): boolean => (mode & 0o022) !== 0 || uid !== 0;
const DAY = 24 * 3600_000;
const EXPIRY_NEAR = 30;

function kernelIsOlder(release: string, major: number, minor: number): boolean {
  const [, own = "0", below = "0"] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(own) < major || (Number(own) === major && Number(below) < minor);
}

export const daemonChecks: readonly Check<DaemonFacts>[] = [
  {
    id: "daemon.socket.mode",
    severity: "critical",
    title: "everybody on this machine may connect to the daemon",
    remedy: "set --socket-mode to 660 or less",
    find: ({ sockets }) => sockets.filter(({ mode }) => mode & 0o007).map(shown),
  },
  {
    id: "daemon.socket.group",
    severity: "medium",
    title: "members of the socket's group are root on this machine",
    remedy: "give the group's members a lesser role with --roles-file, or take them out of the group",
    find: ({ socketGroup, rolesFile }) =>
      when(
        socketGroup.members.length > 0 && !rolesFile,
        `group ${socketGroup.name} has ${socketGroup.members.join(", ")}, and without a roles file they are admin`,
      ),
  },
  {
    id: "daemon.tcp.plain",
    severity: "critical",
    title: "the daemon listens at TCP without TLS",
    remedy: "use --tlsverify with certificates, or ssh:// from the client, or only a Unix socket",
    find: ({ tcp, tls }) =>
      tls === "none"
        ? tcp.map(({ address, loopback }) => ({
            evidence: `${address}: whoever reaches it is admin`,
            severity: loopback ? ("high" as const) : ("critical" as const),
          }))
        : [],
  },
  {
    id: "daemon.tcp.anonymous",
    severity: "critical",
    title: "clients at TCP need no certificate",
    remedy: "use --tlsverify instead of --tls",
    find: ({ tcp, tls }) =>
      tls === "server" ? tcp.map(({ address }) => `${address}: --tls without --tlsverify`) : [],
  },
  {
    id: "daemon.tcp.allowed",
    severity: "high",
    title: "unauthenticated TCP is allowed",
    remedy: "leave --allow-unauthenticated-tcp away",
    find: ({ allowUnauthenticatedTcp }) =>
      when(allowUnauthenticatedTcp, "--allow-unauthenticated-tcp is set"),
  },
  {
    id: "daemon.tcp.rate",
    severity: "low",
    title: "callers may make as many requests as they like",
    remedy: "set --max-requests-per-second, or requestsPerSecond of roles",
    find: ({ tcp, requestsPerSecond }) =>
      when(
        tcp.length > 0 && requestsPerSecond === 0,
        "--max-requests-per-second is 0, and the daemon listens at TCP",
      ),
  },
  {
    id: "daemon.ping.anonymous",
    severity: "info",
    title: "clients without a certificate are answered a ping",
    remedy: "leave --anonymous-ping away unless a load balancer needs it",
    find: ({ anonymousPing }) => when(anonymousPing, "--anonymous-ping is set"),
  },
  {
    id: "daemon.roles.missing",
    severity: "medium",
    title: "everybody who may connect may do everything",
    remedy: "write a roles file (docs/remote.md), so that each caller has what it needs",
    find: ({ rolesFile }) => when(!rolesFile, "--roles-file is not set"),
  },
  {
    id: "daemon.roles.defaults",
    severity: "high",
    title: "the roles file gives more than it seems to",
    remedy: "give admin, privileged containers and binds of / to named callers only",
    find: ({ policyWarnings }) => policyWarnings,
  },
  {
    id: "daemon.files.writable",
    severity: "high",
    title: "others than root may change what the daemon believes",
    remedy: "chown root and chmod go-w",
    find: ({ trustedFiles, rolesFile }) =>
      [...trustedFiles, ...(rolesFile ? [rolesFile] : [])].filter(writableByOthers).map(shown),
  },
  {
    id: "daemon.keys.mode",
    severity: "critical",
    title: "others than root may read a private key",
    remedy: "chown root and chmod 600; make a new key, for this one may be known",
    find: ({ privateKeys }) => privateKeys.filter(({ mode, uid }) => mode & 0o077 || uid !== 0).map(shown),
  },
  {
    id: "daemon.certificates.expiry",
    severity: "medium",
    title: "a certificate or revocation list expires soon, or has expired",
    remedy: "issue a new one (tsctl certs), and send SIGHUP",
    find: ({ expiries, now }) =>
      expiries
        .filter(({ when: end }) => end.getTime() - now.getTime() < EXPIRY_NEAR * DAY)
        .map(({ what, when: end }) => ({
          evidence: `${what}: ${end.toISOString()}`,
          severity: end < now ? ("high" as const) : ("medium" as const),
        })),
  },
  {
    id: "daemon.certificates.revocation",
    severity: "low",
    title: "a certificate that was lost can't be revoked",
    remedy: "keep a revocation list (tsctl certs revoke) and name it with --tlscrl",
    find: ({ tls, revocationList }) =>
      when(tls === "mutual" && !revocationList, "there is no revocation list"),
  },
  {
    id: "daemon.audit.key",
    severity: "low",
    title: "the audit record's key is kept beside the record",
    remedy: "name a key elsewhere with --audit-key, or write the fingerprint down elsewhere",
    find: ({ auditKey }) => when(!auditKey.given, "whoever can write the record can sign it anew"),
  },
  {
    id: "daemon.data-root.mode",
    severity: "high",
    title: "others may enter the data root, or change it",
    remedy: "chown root and chmod 711 or less",
    find: ({ dataRoot }) => when((dataRoot.mode & 0o066) !== 0 || dataRoot.uid !== 0, shown(dataRoot)),
  },
  {
    id: "daemon.data-root.partition",
    severity: "low",
    title: "images and containers share a file system with the host",
    remedy: "put the data root on a file system of its own: what fills it fills nothing else then",
    find: ({ dataRootOnRootFileSystem, dataRoot }) =>
      when(dataRootOnRootFileSystem, `${dataRoot.path} is on the root file system`),
  },
  {
    id: "daemon.exec-root.mode",
    severity: "high",
    title: "others may change what is in the exec root",
    remedy: "chown root and chmod 711",
    find: ({ execRoot }) => when(writableByOthers(execRoot), shown(execRoot)),
  },
  {
    id: "daemon.log.level",
    severity: "low",
    title: "the log tells too much or too little",
    remedy: "set --log-level info",
    find: ({ logLevel }) => when(!["info", "warn"].includes(logLevel), `--log-level ${logLevel}`),
  },
  {
    id: "daemon.firewall",
    severity: "high",
    title: "the daemon writes no firewall rules",
    remedy: "leave --iptables on: networks are not kept apart without",
    find: ({ iptables }) => when(!iptables, "--iptables=false"),
  },
  {
    id: "daemon.icc",
    severity: "low",
    title: "containers of one network reach each other by default",
    remedy: "set --icc=false, or write a policy for each network (docs/networks.md)",
    find: ({ icc }) => when(icc, "--icc is on"),
  },
  {
    id: "daemon.registries.insecure",
    severity: "medium",
    title: "images may come from registries that are not who they say",
    remedy: "give the registry a certificate (--registry-certs-dir) and take it off --insecure-registry",
    find: ({ insecureRegistries }) =>
      insecureRegistries
        .filter((one) => !/^(127\.|localhost|::1)/.test(one))
        .map((one) => `--insecure-registry ${one}`),
  },
  {
    id: "daemon.images.policy",
    severity: "low",
    title: "any image may be run, signed or not",
    remedy: "write an image policy (docs/images.md)",
    find: ({ imagePolicy }) => when(!imagePolicy, "--image-policy is not set"),
  },
  {
    id: "daemon.defaults.pids",
    severity: "medium",
    title: "a container may have as many processes as it likes",
    remedy: "leave --default-pids-limit above 0",
    find: ({ defaultPids }) => when(defaultPids === undefined, "--default-pids-limit 0"),
  },
  {
    id: "daemon.defaults.ulimits",
    severity: "info",
    title: "containers have the daemon's own resource limits",
    remedy: "set --default-ulimit nofile=SOFT:HARD and the like",
    find: ({ defaultUlimits }) =>
      when(!defaultUlimits.includes("nofile"), "--default-ulimit says nothing of nofile"),
  },
  {
    id: "daemon.defaults.storage",
    severity: "low",
    title: "a container may fill the disk",
    remedy: "set --storage-opt size=BYTES",
    find: ({ defaultLayerSize }) => when(defaultLayerSize === undefined, "--storage-opt size is not set"),
  },
  {
    id: "daemon.verify",
    severity: "info",
    title: "nobody looks whether isolation still holds",
    remedy: "set --verify-interval, such as 5m, and watch for drift events",
    find: ({ verifyInterval }) => when(verifyInterval === 0, "--verify-interval is 0"),
  },
  {
    id: "daemon.defence",
    severity: "info",
    title: "nobody looks whether containers run what they wrote, or rise above their rights",
    remedy: "set --defence report",
    find: ({ defence }) => when(defence === "off", "--defence is off"),
  },
  {
    id: "host.kernel.version",
    severity: "medium",
    title: "the kernel is old",
    remedy: "use a kernel that is maintained, 5.15 or newer",
    find: ({ kernel }) => when(kernelIsOlder(kernel.release, 5, 15), `Linux ${kernel.release}`),
  },
  {
    id: "host.kernel.seccomp",
    severity: "high",
    title: "the kernel filters no system calls",
    remedy: "use a kernel with CONFIG_SECCOMP_FILTER",
    find: ({ kernel }) => when(!kernel.seccomp, "/proc/self/status has no Seccomp line"),
  },
  {
    id: "host.kernel.security-module",
    severity: "medium",
    title: "no SELinux or AppArmor stands behind the other walls",
    remedy: "use a kernel with one of them turned on",
    find: ({ kernel }) =>
      when(
        !kernel.securityModules.some((name) => name === "selinux" || name === "apparmor"),
        `security modules: ${kernel.securityModules.join(", ") || "none"}`,
      ),
  },
  {
    id: "host.kernel.bpf",
    severity: "low",
    title: "everybody may load BPF programs",
    remedy: "sysctl kernel.unprivileged_bpf_disabled=2",
    find: ({ sysctls }) =>
      when(sysctls["kernel.unprivileged_bpf_disabled"] === "0", "kernel.unprivileged_bpf_disabled = 0"),
  },
  {
    id: "host.kernel.pointers",
    severity: "low",
    title: "the kernel shows its addresses to everybody",
    remedy: "sysctl kernel.kptr_restrict=1",
    find: ({ sysctls }) => when(sysctls["kernel.kptr_restrict"] === "0", "kernel.kptr_restrict = 0"),
  },
  {
    id: "host.kernel.core-pattern",
    severity: "medium",
    title: "core dumps of containers go to a program of the host's",
    remedy: "set kernel.core_pattern to a plain file name, unless the program knows of containers",
    find: ({ sysctls }) =>
      when(
        (sysctls["kernel.core_pattern"] ?? "").startsWith("|"),
        `kernel.core_pattern = ${sysctls["kernel.core_pattern"]}`,
      ),
  },
];
