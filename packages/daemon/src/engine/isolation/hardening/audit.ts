// Audits the configuration of the daemon, its host and every container: facts are gathered, and held against the tables.
import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { namespaceInode, processStatus } from "@tsd/kernel-bindings";
import type { ConfigurationAudit } from "../../../api/types.ts";
import type { Runtime } from "../../../runtime/runtime.ts";
import { everything } from "../../access/caller.ts";
import type { Container } from "../../containers/registry.ts";
import type { ContainerService } from "../../containers/service.ts";
import type { ImageService } from "../../images/service.ts";
import { now, parseTime } from "../../timestamps.ts";
import { type ContainerFacts, containerChecks } from "./container-checks.ts";
import { type DaemonFacts, daemonChecks, type FileFacts } from "./daemon-checks.ts";
import { type Finding, findingsOf } from "./finding.ts";

/** What the daemon was told, as far as it is audited. */
export interface AuditedSettings {
  sockets: readonly string[];
  socketGroup: string;
  tcp: readonly { address: string; loopback: boolean }[];
  tls: {
    mode: DaemonFacts["tls"];
    certificate: string;
    key: string;
    authorities: string;
    revocationList: string;
  };
  allowUnauthenticatedTcp: boolean;
  anonymousPing: boolean;
  requestsPerSecond: number;
  rolesFile: string | undefined;
  policyWarnings: readonly string[];
  auditKey: string | undefined;
  dataRoot: string;
  execRoot: string;
  logLevel: string;
  iptables: boolean;
  icc: boolean;
  insecureRegistries: readonly string[];
  imagePolicy: { file: string; key: string } | undefined;
  defaultPids: number | undefined;
  defaultUlimits: readonly string[];
  defaultLayerSize: string | undefined;
  verifyInterval: number;
  defence: string;
}

export interface AuditorParts {
  containers: ContainerService;
  images: ImageService;
  runtime: Runtime;
  settings: () => AuditedSettings;
}

function fileFacts(path: string): FileFacts[] {
  try {
    const { mode, uid } = statSync(path);
    return [{ path, mode, uid }];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    // Some parameters are not there, or not for us to read.
    return "";
  }
};

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const expiriesIn = (path: string): DaemonFacts["expiries"] =>
  (textOf(path).match(PEM) ?? []).map((pem) => {
    const { subject, validTo } = new X509Certificate(pem);
    return { what: `${path} (${subject.replaceAll("\n", ", ")})`, when: new Date(validTo) };
  });

const sysctlNames = ["kernel.unprivileged_bpf_disabled", "kernel.kptr_restrict", "kernel.core_pattern"];

/** Those that the kernel has turned on; where securityfs is not mounted, those of two that show elsewhere. */
function securityModules(): string[] {
  const listed = textOf("/sys/kernel/security/lsm").split(",").filter(Boolean);
  if (listed.length > 0) return listed;
  return [
    ...(textOf("/sys/fs/selinux/enforce") ? ["selinux"] : []),
    ...(textOf("/sys/module/apparmor/parameters/enabled") === "Y" ? ["apparmor"] : []),
  ];
}

/** A program's directory, and what is in it: it runs what lies beside it. */
function programFiles(program: string): string[] {
  const directory = dirname(program);
  return [directory, ...readdirSync(directory).map((name) => join(directory, name))];
}

function daemonFacts(settings: AuditedSettings): DaemonFacts {
  const { dataRoot, execRoot, tls, rolesFile, auditKey, imagePolicy, tcp } = settings;
  const members = new RegExp(`^${settings.socketGroup.replace(/[^\w-]/g, "")}:[^:]*:\\d+:(.*)$`, "m").exec(
    textOf("/etc/group"),
  )?.[1];
  const withTls = tls.mode !== "none" && tcp.length > 0;
  const [data = { path: dataRoot, mode: 0, uid: 0 }] = fileFacts(dataRoot);
  const [run = { path: execRoot, mode: 0, uid: 0 }] = fileFacts(execRoot);
  const trusted = [
    ...(withTls
      ? [tls.certificate, tls.authorities, ...(tls.revocationList ? [tls.revocationList] : [])]
      : []),
    ...(imagePolicy ? [imagePolicy.file, imagePolicy.key] : []),
    ...programFiles(process.argv[1] ?? "/"),
  ];
  return {
    ...settings,
    sockets: settings.sockets.flatMap(fileFacts),
    socketGroup: { name: settings.socketGroup, members: (members ?? "").split(",").filter(Boolean) },
    tls: tls.mode,
    rolesFile: rolesFile === undefined ? undefined : fileFacts(rolesFile)[0],
    privateKeys: [
      ...(withTls ? fileFacts(tls.key) : []),
      ...fileFacts(auditKey ?? join(dataRoot, "audit/key.pem")),
    ],
    trustedFiles: trusted.filter(Boolean).flatMap(fileFacts),
    expiries: withTls ? [tls.certificate, tls.authorities].flatMap(expiriesIn) : [],
    revocationList: tls.revocationList !== "",
    auditKey: { given: auditKey !== undefined },
    dataRoot: data,
    dataRootOnRootFileSystem: statSync(dataRoot).dev === statSync("/").dev,
    execRoot: run,
    imagePolicy: imagePolicy !== undefined,
    kernel: {
      release: release(),
      securityModules: securityModules(),
      seccomp: /^Seccomp:/m.test(textOf("/proc/self/status")),
    },
    sysctls: Object.fromEntries(
      sysctlNames.map((name) => [name, textOf(`/proc/sys/${name.replaceAll(".", "/")}`)]),
    ),
    now: new Date(),
  };
}

const NANOSECONDS_PER_DAY = 24n * 3600n * 1_000_000_000n;

export class ConfigurationAuditor {
  readonly #parts: AuditorParts;

  constructor(parts: AuditorParts) {
    this.#parts = parts;
  }

  /** Everything that is found, the worst first. */
  async audit(): Promise<ConfigurationAudit> {
    const settings = this.#parts.settings();
    const facts = daemonFacts(settings);
    const findings = findingsOf(daemonChecks, facts);
    const containers = this.#parts.containers.registry.all();
    for (const container of containers) {
      await nextTurn();
      findings.push(
        ...findingsOf(containerChecks, this.#containerFacts(container, settings, facts), container.name),
      );
    }
    const rank = ["critical", "high", "medium", "low", "info"];
    const sorted = findings.sort((a, b) => rank.indexOf(a.severity) - rank.indexOf(b.severity));
    const failed = new Set(findings.map(({ id }) => id));
    const checks = [...daemonChecks, ...containerChecks].map(({ id }) => id);
    return {
      Time: now(),
      Containers: containers.length,
      Findings: sorted.map(findingView),
      Passed: checks.filter((id) => !failed.has(id)),
    };
  }

  #containerFacts(container: Container, settings: AuditedSettings, { kernel }: DaemonFacts): ContainerFacts {
    const { images, runtime } = this.#parts;
    const { definition, state } = container.record;
    const image = images.find(definition.imageId, everything);
    const created = image && parseTime(image.config.created ?? "");
    const cgroup = runtime.cgroupOf(container.id, definition.hostConfig.CgroupParent);
    const pids = container.alive ? runtime.cgroups.processes(cgroup) : [];
    return {
      definition,
      image: {
        name: definition.config.Image,
        signed: image !== undefined && images.isSigned(image),
        createdDaysAgo: created
          ? Number((BigInt(Date.now()) * 1_000_000n - created) / NANOSECONDS_PER_DAY)
          : undefined,
      },
      daemonPaths: [...settings.sockets, settings.execRoot],
      dataRoot: settings.dataRoot,
      published: state.ports,
      processes: pids.flatMap((pid) => processStatus(pid)?.name ?? []),
      hostUsers: container.alive
        ? namespaceInode(state.pid, "user") === namespaceInode("self", "user")
        : undefined,
      defaultPids: settings.defaultPids,
      securityModules: kernel.securityModules,
    };
  }
}

const findingView = (finding: Finding): ConfigurationAudit["Findings"][number] => ({
  Id: finding.id,
  Severity: finding.severity,
  Container: finding.container,
  Title: finding.title,
  Evidence: finding.evidence,
  Remedy: finding.remedy,
});
