// The OCI runtime configuration (config.json, runtime-spec 1.2): the fields that are written and read here.

export interface OciUser {
  uid: number;
  gid: number;
  additionalGids?: number[] | undefined;
  umask?: number | undefined;
}

export interface OciCapabilities {
  bounding?: string[] | undefined;
  effective?: string[] | undefined;
  permitted?: string[] | undefined;
  inheritable?: string[] | undefined;
  ambient?: string[] | undefined;
}

export interface OciProcess {
  terminal?: boolean | undefined;
  consoleSize?: { height: number; width: number } | undefined;
  user: OciUser;
  args: string[];
  env?: string[] | undefined;
  cwd: string;
  capabilities?: OciCapabilities | undefined;
  rlimits?: { type: string; soft: number; hard: number }[] | undefined;
  noNewPrivileges?: boolean | undefined;
  oomScoreAdj?: number | undefined;
  apparmorProfile?: string | undefined;
  selinuxLabel?: string | undefined;
}

export interface OciIdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export interface OciMount {
  destination: string;
  type?: string | undefined;
  source?: string | undefined;
  options?: string[] | undefined;
  uidMappings?: OciIdMapping[] | undefined;
  gidMappings?: OciIdMapping[] | undefined;
}

export interface OciDevice {
  type: string;
  path: string;
  major: number;
  minor: number;
  fileMode?: number | undefined;
  uid?: number | undefined;
  gid?: number | undefined;
}

export interface OciDeviceRule {
  allow: boolean;
  type?: string | undefined;
  major?: number | undefined;
  minor?: number | undefined;
  access?: string | undefined;
}

interface OciBlockDevice {
  major: number;
  minor: number;
}
type OciThrottles = (OciBlockDevice & { rate: number })[];

export interface OciResources {
  devices?: OciDeviceRule[] | undefined;
  memory?:
    | {
        limit?: number | undefined;
        swap?: number | undefined;
        reservation?: number | undefined;
        swappiness?: number | undefined;
        kernelTCP?: number | undefined;
        disableOOMKiller?: boolean | undefined;
      }
    | undefined;
  cpu?:
    | {
        shares?: number | undefined;
        quota?: number | undefined;
        period?: number | undefined;
        realtimePeriod?: number | undefined;
        realtimeRuntime?: number | undefined;
        cpus?: string | undefined;
        mems?: string | undefined;
      }
    | undefined;
  pids?: { limit: number } | undefined;
  hugepageLimits?: { pageSize: string; limit: number }[] | undefined;
  network?:
    | {
        classID?: number | undefined;
        priorities?: { name: string; priority: number }[] | undefined;
      }
    | undefined;
  blockIO?:
    | {
        weight?: number | undefined;
        weightDevice?: (OciBlockDevice & { weight: number })[] | undefined;
        throttleReadBpsDevice?: OciThrottles | undefined;
        throttleWriteBpsDevice?: OciThrottles | undefined;
        throttleReadIOPSDevice?: OciThrottles | undefined;
        throttleWriteIOPSDevice?: OciThrottles | undefined;
      }
    | undefined;
}

export interface OciSeccomp {
  defaultAction: string;
  defaultErrnoRet?: number | undefined;
  architectures?: string[] | undefined;
  flags?: string[] | undefined;
  syscalls?:
    | {
        names: string[];
        action: string;
        errnoRet?: number | undefined;
        args?: { index: number; value: number; valueTwo?: number | undefined; op: string }[] | undefined;
      }[]
    | undefined;
}

export interface OciHook {
  path: string;
  args?: string[] | undefined;
  env?: string[] | undefined;
  /** Seconds. */
  timeout?: number | undefined;
}

export const hookKinds = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;
export type HookKind = (typeof hookKinds)[number];

export interface OciLinux {
  namespaces?: { type: string; path?: string | undefined }[] | undefined;
  uidMappings?: OciIdMapping[] | undefined;
  gidMappings?: OciIdMapping[] | undefined;
  timeOffsets?: Record<string, { secs?: number | undefined; nanosecs?: number | undefined }> | undefined;
  devices?: OciDevice[] | undefined;
  cgroupsPath?: string | undefined;
  resources?: OciResources | undefined;
  rootfsPropagation?: string | undefined;
  seccomp?: OciSeccomp | undefined;
  sysctl?: Record<string, string> | undefined;
  maskedPaths?: string[] | undefined;
  readonlyPaths?: string[] | undefined;
  mountLabel?: string | undefined;
}

export interface OciConfig {
  ociVersion: string;
  process?: OciProcess | undefined;
  root: { path: string; readonly?: boolean | undefined };
  hostname?: string | undefined;
  domainname?: string | undefined;
  mounts?: OciMount[] | undefined;
  hooks?: { [K in HookKind]?: OciHook[] | undefined } | undefined;
  annotations?: Record<string, string> | undefined;
  linux?: OciLinux | undefined;
}

/** What is written here came by 1.1 at the latest, and runtimes refuse versions that they do not know. */
export const OCI_VERSION = "1.1.0";

/** A container as a bundle for an OCI runtime (ours alone). */
export interface OciBundle {
  Config: OciConfig;
  /** What else belongs into the root: files of the engine's, by their paths. */
  Files: { Path: string; Text: string }[];
  /** What the configuration can't say. */
  Notes: string[];
}

/** 2^64 − 1, which means no limit and which no JavaScript number holds. */
const UNLIMITED = "18446744073709551615";

/** JSON in which limits without a limit are what runtimes know them by. */
export const ociText = (value: object, indentation = 2): string =>
  JSON.stringify(value, null, indentation).replace(
    /(?<!\\)"(soft|hard)":(\s*)18446744073709552000/g,
    `"$1":$2${UNLIMITED}`,
  );
