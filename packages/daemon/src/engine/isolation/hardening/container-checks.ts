// Checks of a container, as a table.

import type { Severity } from "../../../runtime/verify/drift.ts";
import type { ContainerDefinition } from "../../containers/record.ts";
import { type Check, when } from "./finding.ts";

export interface ContainerFacts {
  definition: ContainerDefinition;
  /** What the image's name says now, and whether anybody signed it. */
  image: { name: string; signed: boolean; createdDaysAgo: number | undefined };
  /** Sockets and directories of the daemon's that lead to the host. */
  daemonPaths: readonly string[];
  dataRoot: string;
  /** Addresses at which its ports are published, while it runs. */
  published: readonly { hostAddress: string; hostPort: number; containerPort: number; protocol: string }[];
  processes: readonly string[];
  /** Root inside is root outside; undefined while it does not run. */
  hostUsers: boolean | undefined;
  defaultPids: number | undefined;
  securityModules: readonly string[];
}

const strip = (name: string): string => name.toUpperCase().replace(/^CAP_/, "");
/** What leads out of a container, or nearly. */
const dangerous = new Set([
  ..."ALL SYS_ADMIN SYS_MODULE SYS_RAWIO SYS_PTRACE SYS_BOOT DAC_READ_SEARCH BPF PERFMON MAC_ADMIN MAC_OVERRIDE".split(
    " ",
  ),
]);
const weighty = new Set(
  "NET_ADMIN SYS_TIME SYSLOG SYS_RESOURCE AUDIT_CONTROL LINUX_IMMUTABLE SYS_NICE IPC_OWNER".split(" "),
);

/** Directories of a host, and what their being bound means. */
const sensitive: readonly [path: string, severity: Severity][] = [
  ["/", "critical"],
  ["/boot", "high"],
  ["/dev", "high"],
  ["/etc", "high"],
  ["/lib", "high"],
  ["/lib64", "high"],
  ["/proc", "high"],
  ["/root", "high"],
  ["/run", "high"],
  ["/sys", "high"],
  ["/usr", "high"],
  ["/bin", "high"],
  ["/sbin", "high"],
  ["/var/run", "high"],
  ["/var/lib/docker", "high"],
  ["/home", "medium"],
];
const engineSockets = /\/(docker|containerd|podman|crio)\.sock$/;
const order: readonly Severity[] = ["info", "low", "medium", "high", "critical"];
const lower = (severity: Severity): Severity => order[Math.max(1, order.indexOf(severity) - 1)] ?? "low";

function mountFindings({
  definition,
  daemonPaths,
  dataRoot,
}: ContainerFacts): { evidence: string; severity: Severity }[] {
  return definition.mounts.flatMap(({ type, source, target, readOnly }) => {
    if (type !== "bind") return [];
    const path = source.replace(/(?<=.)\/+$/, "");
    const evidence = `${path} at ${target}${readOnly ? ", read-only" : ""}`;
    // A socket can be spoken to where it can't be written over.
    if (engineSockets.test(path) || daemonPaths.includes(path))
      return [{ evidence: `${evidence}: an engine's socket`, severity: "critical" as const }];
    if (path === dataRoot || path.startsWith(`${dataRoot}/`))
      return [{ evidence: `${evidence}: the daemon's own files`, severity: "critical" as const }];
    const own = sensitive.find(
      ([directory]) => path === directory || (directory !== "/" && path.startsWith(`${directory}/`)),
    );
    if (!own) return [];
    // A part of it is less than all of it.
    const [directory, severity] = own;
    const whole = path === directory ? severity : lower(severity);
    return [{ evidence, severity: readOnly && directory !== "/" ? lower(whole) : whole }];
  });
}

const options = ({ definition }: ContainerFacts): readonly string[] =>
  definition.hostConfig.SecurityOpt ?? [];
const says = (facts: ContainerFacts, pattern: RegExp): string[] =>
  options(facts).filter((one) => pattern.test(one));
const secretName = /(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIAL)/i;

export const containerChecks: readonly Check<ContainerFacts>[] = [
  {
    id: "container.privileged",
    severity: "critical",
    title: "it is privileged: root in it is root on this machine",
    remedy: "leave --privileged away; add the one capability or device that it needs",
    find: ({ definition }) => when(definition.hostConfig.Privileged, "HostConfig.Privileged is set"),
  },
  {
    id: "container.capabilities.added",
    severity: "medium",
    title: "it has capabilities beyond the default",
    remedy: "take --cap-add away where the program runs without",
    find: ({ definition }) =>
      (definition.hostConfig.CapAdd ?? []).map(strip).map((name) => ({
        evidence: `CapAdd ${name}`,
        severity: dangerous.has(name) ? "high" : weighty.has(name) ? "medium" : "low",
      })),
  },
  {
    id: "container.capabilities.kept",
    severity: "info",
    title: "it has all the default capabilities",
    remedy: "--cap-drop ALL, and --cap-add what it needs",
    find: ({ definition }) =>
      when(
        !definition.hostConfig.Privileged && !definition.hostConfig.CapDrop?.length,
        "HostConfig.CapDrop is empty",
      ),
  },
  ...(
    [
      [
        "network",
        "NetworkMode",
        "high",
        "it shares the host's network: its loopback, its sockets, its traffic",
      ],
      ["pid", "PidMode", "high", "it sees, and as root may trace, the host's processes"],
      ["ipc", "IpcMode", "medium", "it shares the host's memory segments and queues"],
      ["uts", "UTSMode", "low", "it shares the host's name"],
      ["cgroup", "CgroupnsMode", "low", "it sees where it stands among the host's control groups"],
      ["user", "UsernsMode", "medium", "it is kept out of a user namespace on purpose"],
    ] as const
  ).map(
    ([kind, field, severity, title]): Check<ContainerFacts> => ({
      id: `container.namespace.${kind}`,
      severity,
      title,
      remedy: `leave HostConfig.${field} to the default`,
      find: ({ definition }) => when(definition.hostConfig[field] === "host", `HostConfig.${field} is host`),
    }),
  ),
  {
    id: "container.seccomp.unconfined",
    severity: "high",
    title: "no system call is refused to it",
    remedy: "leave seccomp=unconfined away, or give a profile",
    find: (facts) => says(facts, /^seccomp[=:]unconfined$/),
  },
  {
    id: "container.label.disabled",
    severity: "medium",
    title: "SELinux or AppArmor does not hold it",
    remedy: "leave label=disable and apparmor=unconfined away",
    find: (facts) =>
      facts.securityModules.some((name) => name === "selinux" || name === "apparmor")
        ? says(facts, /^(label[=:]disable|apparmor[=:]unconfined)$/)
        : [],
  },
  {
    id: "container.paths.unmasked",
    severity: "high",
    title: "paths of /proc and /sys are not hidden, or can be written to",
    remedy: "leave systempaths=unconfined away",
    find: ({ definition: { hostConfig } }) =>
      when(
        !hostConfig.Privileged &&
          (hostConfig.MaskedPaths?.length === 0 || hostConfig.ReadonlyPaths?.length === 0),
        "HostConfig.MaskedPaths or ReadonlyPaths is empty",
      ),
  },
  {
    id: "container.new-privileges",
    severity: "low",
    title: "its programs may gain rights by set-uid files",
    remedy: "--security-opt no-new-privileges",
    find: (facts) =>
      when(
        !options(facts).some((one) => /^no-new-privileges([=:]true)?$/.test(one)),
        "HostConfig.SecurityOpt says nothing of no-new-privileges",
      ),
  },
  {
    id: "container.mounts.sensitive",
    severity: "high",
    title: "it has a part of the host's files that leads out of it",
    remedy: "bind only what it needs, and read-only; use a volume",
    find: mountFindings,
  },
  {
    id: "container.mounts.propagation",
    severity: "medium",
    title: "what it mounts appears on the host",
    remedy: "leave shared propagation away",
    find: ({ definition }) =>
      definition.mounts
        .filter(({ propagation }) => /shared/.test(propagation))
        .map(({ source, target, propagation }) => `${source} at ${target}: ${propagation}`),
  },
  {
    id: "container.devices",
    severity: "medium",
    title: "it has devices of the host's",
    remedy: "give only the one that it needs, and r or rw instead of rwm",
    find: ({ definition: { hostConfig } }) => [
      ...(hostConfig.Devices ?? []).map(({ PathOnHost, CgroupPermissions }) => ({
        evidence: `${PathOnHost} (${CgroupPermissions})`,
        severity: /^\/dev\/(sd|nvme|vd|xvd|mapper|dm-|mem|kmem|port|loop)/.test(PathOnHost)
          ? ("high" as const)
          : ("medium" as const),
      })),
      ...(hostConfig.DeviceCgroupRules ?? []).map((rule) => ({
        evidence: `device rule ${rule}`,
        severity: /^(a|b \*)/.test(rule) ? ("high" as const) : ("medium" as const),
      })),
    ],
  },
  {
    id: "container.limits.memory",
    severity: "medium",
    title: "it may use all of the host's memory",
    remedy: "--memory",
    find: ({ definition }) => when(definition.hostConfig.Memory === 0, "HostConfig.Memory is 0"),
  },
  {
    id: "container.limits.cpu",
    severity: "low",
    title: "it may use all of the host's processors",
    remedy: "--cpus, or --cpu-shares",
    find: ({ definition: { hostConfig } }) =>
      when(
        !hostConfig.NanoCpus && !hostConfig.CpuQuota && !hostConfig.CpuShares && !hostConfig.CpusetCpus,
        "HostConfig.NanoCpus, CpuQuota, CpuShares and CpusetCpus say nothing",
      ),
  },
  {
    id: "container.limits.pids",
    severity: "medium",
    title: "it may have as many processes as it likes",
    remedy: "--pids-limit",
    find: ({ definition: { hostConfig }, defaultPids }) =>
      when(
        (hostConfig.PidsLimit ?? 0) < 0 || (!hostConfig.PidsLimit && defaultPids === undefined),
        `HostConfig.PidsLimit is ${hostConfig.PidsLimit}`,
      ),
  },
  {
    id: "container.limits.storage",
    severity: "info",
    title: "what it writes is limited by the disk only",
    remedy: "--storage-opt size=BYTES, or --read-only",
    find: ({ definition: { hostConfig } }) =>
      when(!hostConfig.StorageOpt?.size && !hostConfig.ReadonlyRootfs, "HostConfig.StorageOpt has no size"),
  },
  {
    id: "container.oom.disabled",
    severity: "medium",
    title: "it is not ended when memory runs out",
    remedy: "leave --oom-kill-disable away",
    find: ({ definition }) =>
      when(Boolean(definition.hostConfig.OomKillDisable), "HostConfig.OomKillDisable is set"),
  },
  {
    id: "container.oom.score",
    severity: "low",
    title: "others are ended before it when memory runs out",
    remedy: "leave --oom-score-adj at 0 or above",
    find: ({ definition: { hostConfig } }) =>
      when(hostConfig.OomScoreAdj < 0, `HostConfig.OomScoreAdj is ${hostConfig.OomScoreAdj}`),
  },
  {
    id: "container.user.root",
    severity: "medium",
    title: "it runs as root",
    remedy: "USER in its Dockerfile, or --user",
    find: ({ definition: { config } }) =>
      when(/^(|0|root)(:.*)?$/.test(config.User), `Config.User is ${JSON.stringify(config.User)}`),
  },
  {
    id: "container.user.host",
    severity: "medium",
    title: "its root is the host's root, but for capabilities",
    remedy: "give it a user namespace",
    find: ({ hostUsers }) => when(hostUsers === true, "process 1 is in the host's user namespace"),
  },
  {
    id: "container.root.writable",
    severity: "low",
    title: "it may change its own programs",
    remedy: "--read-only, with --tmpfs or volumes for what it writes",
    find: ({ definition }) =>
      when(!definition.hostConfig.ReadonlyRootfs, "HostConfig.ReadonlyRootfs is not set"),
  },
  {
    id: "container.ports.low",
    severity: "info",
    title: "it answers at ports of the host's that programs trust",
    remedy: "publish at a port above 1023, behind a proxy of the host's",
    find: ({ published }) =>
      published
        .filter(({ hostPort }) => hostPort > 0 && hostPort < 1024)
        .map(
          ({ hostPort, protocol, containerPort }) => `port ${hostPort}/${protocol} leads to ${containerPort}`,
        ),
  },
  {
    id: "container.ports.everywhere",
    severity: "low",
    title: "it is reached at every address of the host's",
    remedy: "--publish ADDRESS:PORT:PORT",
    find: ({ published }) =>
      published
        .filter(({ hostAddress }) => hostAddress === "0.0.0.0" || hostAddress === "::")
        .map(({ hostAddress, hostPort, protocol }) => `${hostAddress} port ${hostPort}/${protocol}`),
  },
  {
    id: "container.health",
    severity: "low",
    title: "nobody knows whether it works",
    remedy: "HEALTHCHECK in its Dockerfile, or --health-cmd",
    find: ({ definition: { config } }) =>
      when(
        !config.Healthcheck?.Test?.length || config.Healthcheck.Test[0] === "NONE",
        "there is no healthcheck",
      ),
  },
  {
    id: "container.restart.unbounded",
    severity: "low",
    title: "it is started again however often it fails",
    remedy: "--restart on-failure:5",
    find: ({ definition: { hostConfig } }) =>
      when(
        ["always", "unless-stopped"].includes(hostConfig.RestartPolicy.Name) ||
          (hostConfig.RestartPolicy.Name === "on-failure" &&
            hostConfig.RestartPolicy.MaximumRetryCount === 0),
        `restart policy ${hostConfig.RestartPolicy.Name} without a maximum`,
      ),
  },
  {
    id: "container.image.pinned",
    severity: "low",
    title: "its image's name may stand for another tomorrow",
    remedy: "name the image by its digest: NAME@sha256:…",
    find: ({ image }) => when(!/@sha256:|^sha256:/.test(image.name), `created from ${image.name}`),
  },
  {
    id: "container.image.unsigned",
    severity: "low",
    title: "nobody vouches for its image",
    remedy: "sign it (tsctl image sign) and ask for signatures in an image policy",
    find: ({ image }) => when(!image.signed, `no signature of ${image.name} is known`),
  },
  {
    id: "container.image.old",
    severity: "info",
    title: "its image is old",
    remedy: "build or pull it anew: what was found since is not mended in it",
    find: ({ image }) =>
      when((image.createdDaysAgo ?? 0) > 365, `${image.name} was made ${image.createdDaysAgo} days ago`),
  },
  {
    id: "container.environment.secrets",
    severity: "low",
    title: "its environment seems to hold secrets: everybody who may inspect it sees them",
    remedy: "hand secrets in as files",
    find: ({ definition: { config } }) =>
      (config.Env ?? [])
        .map((one) => one.split("=")[0] ?? "")
        .filter((name) => secretName.test(name))
        .map((name) => `variable ${name}`),
  },
  {
    id: "container.ssh",
    severity: "medium",
    title: "an SSH server runs in it",
    remedy: "use tsctl exec: it is judged by roles, and in the audit record",
    find: ({ processes }) => when(processes.includes("sshd"), "a process sshd"),
  },
  {
    id: "container.log.none",
    severity: "low",
    title: "what it prints is not kept",
    remedy: "leave --log-driver none away",
    find: ({ definition }) => when(definition.hostConfig.LogConfig.Type === "none", "log driver none"),
  },
  {
    id: "container.cgroup-parent",
    severity: "low",
    title: "it is in a control group of its own choice",
    remedy: "leave --cgroup-parent away",
    find: ({ definition: { hostConfig } }) =>
      when(hostConfig.CgroupParent !== "", `HostConfig.CgroupParent is ${hostConfig.CgroupParent}`),
  },
  {
    id: "container.system",
    severity: "info",
    title: "it is a whole system, with an init of its own",
    remedy: "run one program in each container where that will do",
    find: ({ definition }) => when(definition.hostConfig.Type === "system", "HostConfig.Type is system"),
  },
];
