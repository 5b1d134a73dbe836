// Seccomp profiles in Docker's JSON format: checked, resolved for a container and this host, compiled once each.
import { createHash } from "node:crypto";
import { release } from "node:os";
import { compileSeccomp, type SeccompFilter } from "@tsd/kernel-bindings";
import { z } from "zod";
import { SpecificationError } from "../errors.ts";
import { defaultSeccompProfile } from "./default-profile.ts";

/** A kernel's version as major.minor. */
const kernelVersion = z.string().regex(/^\d+\.\d+$/, "invalid kernel version: not MAJOR.MINOR");

const conditions = z
  .object({
    caps: z.array(z.string()).nullish(),
    arches: z.array(z.string()).nullish(),
    minKernel: kernelVersion.nullish(),
  })
  .nullish();

const operator = z.enum([
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
]);

const MOST = 2n ** 64n;
/** An unsigned number of 64 bits; too long for a JSON number's precision, it comes as text (readNumbers). */
const wide = z.unknown().transform((value, context): number | bigint => {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  if (typeof value === "string" && /^\d{16,20}$/.test(value) && BigInt(value) < MOST) return BigInt(value);
  context.addIssue({ code: "custom", message: `${String(value)} is no whole number that fits into 64 bits` });
  return z.NEVER;
});

const profileSchema = z.object({
  defaultAction: z.string().nullish(),
  defaultErrnoRet: z.int().nonnegative().nullish(),
  architectures: z.array(z.string()).nullish(),
  archMap: z
    .array(z.object({ architecture: z.string(), subArchitectures: z.array(z.string()).nullish() }))
    .nullish(),
  flags: z.array(z.string()).nullish(),
  /** Of whoever answers SCMP_ACT_NOTIFY. */
  listenerPath: z.string().nullish(),
  listenerMetadata: z.string().nullish(),
  syscalls: z
    .array(
      z.object({
        names: z.array(z.string()).nullish(),
        name: z.string().nullish(),
        action: z.string(),
        errnoRet: z.int().nonnegative().nullish(),
        args: z
          .array(
            z.object({
              index: z.int().min(0).max(5),
              value: wide,
              valueTwo: wide.nullish(),
              op: operator,
            }),
          )
          .nullish(),
        comment: z.string().nullish(),
        includes: conditions,
        excludes: conditions,
      }),
    )
    .nullish(),
});
export type SeccompProfile = z.output<typeof profileSchema>;

/** SECCOMP_FILTER_FLAG_* (seccomp(2)). */
const filterFlags: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  // Of the listener that there is none of.
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 0,
};

const machines: Readonly<Record<string, { go: string; token: string }>> = {
  x64: { go: "amd64", token: "SCMP_ARCH_X86_64" },
  arm64: { go: "arm64", token: "SCMP_ARCH_AARCH64" },
  riscv64: { go: "riscv64", token: "SCMP_ARCH_RISCV64" },
  s390x: { go: "s390x", token: "SCMP_ARCH_S390X" },
};

/** What a profile's conditions are held against. Capability names carry their CAP_ prefix. */
export interface SeccompTarget {
  capabilities: ReadonlySet<string>;
  kernel: string;
  machine: string;
}

const failed = (reason: string): SpecificationError =>
  new SpecificationError("invalid", `Decoding seccomp profile failed: ${reason}`);

/** Numbers that JavaScript's would round, as text: arguments are compared to the last of their 64 bits. */
const readNumbers = (text: string): string =>
  text.replace(/("value(?:Two)?"\s*:\s*)(\d{16,})(?=\s*[,}])/gi, '$1"$2"');

/** What JSON can say and a filter can't be. */
function checkProfile(profile: SeccompProfile): void {
  if (profile.architectures?.length && profile.archMap?.length)
    throw failed("both 'architectures' and 'archMap' are specified in the seccomp profile, use either");
  const actions = [profile.defaultAction ?? "", ...(profile.syscalls ?? []).map(({ action }) => action)];
  if (actions.includes("SCMP_ACT_NOTIFY") || profile.listenerPath)
    throw failed(
      "SCMP_ACT_NOTIFY (and listenerPath) need a program that answers for the calls: not supported, use SCMP_ACT_ERRNO or SCMP_ACT_LOG",
    );
  for (const { name, names } of profile.syscalls ?? [])
    if (name && names?.length)
      throw failed("both 'name' and 'names' are specified in the seccomp profile, use either");
  for (const flag of profile.flags ?? [])
    if (!(flag in filterFlags)) throw failed(`unknown seccomp flag ${JSON.stringify(flag)}`);
}

/** Reads a profile; undefined for one that says nothing, which is none (as in dockerd). Throws SpecificationError naming
 * what is wrong. */
export function parseSeccompProfile(text: string): SeccompProfile | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readNumbers(text));
  } catch (error) {
    throw failed((error as Error).message);
  }
  const parsed = profileSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw failed(`${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { data } = parsed;
  if (!data.defaultAction && !data.syscalls?.length) return undefined;
  checkProfile(data);
  return data;
}

/** Denied calls are let through and logged (the kernel's log, or auditd's: type SECCOMP). */
export function loggingProfile(profile: SeccompProfile): SeccompProfile {
  const logged = (action: string): string => (action === "SCMP_ACT_ALLOW" ? action : "SCMP_ACT_LOG");
  return {
    ...profile,
    defaultAction: logged(profile.defaultAction ?? ""),
    syscalls: (profile.syscalls ?? []).map((rule) => ({ ...rule, action: logged(rule.action) })),
  };
}

const versionOf = (text: string): [number, number] => {
  const match = /^(\d+)\.(\d+)/.exec(text);
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
};
function kernelAtLeast(kernel: string, wanted: string): boolean {
  const [major, minor] = versionOf(kernel);
  const [wantedMajor, wantedMinor] = versionOf(wanted);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** The rules of a profile that hold for a container on a host. */
export function resolveSeccompProfile(profile: SeccompProfile, target: SeccompTarget): SeccompFilter {
  const machine = machines[target.machine];
  const mapped = (profile.archMap ?? []).filter(({ architecture }) => architecture === machine?.token);
  const architectures = [
    ...(profile.architectures ?? []),
    ...mapped.flatMap(({ architecture, subArchitectures }) => [architecture, ...(subArchitectures ?? [])]),
  ];
  const rules = (profile.syscalls ?? []).filter(({ includes, excludes }) => {
    const arch = machine?.go ?? target.machine;
    if (includes?.arches?.length && !includes.arches.includes(arch)) return false;
    if (includes?.caps?.some((capability) => !target.capabilities.has(capability))) return false;
    if (includes?.minKernel && !kernelAtLeast(target.kernel, includes.minKernel)) return false;
    if (excludes?.arches?.includes(arch)) return false;
    if (excludes?.caps?.some((capability) => target.capabilities.has(capability))) return false;
    return !(excludes?.minKernel && kernelAtLeast(target.kernel, excludes.minKernel));
  });
  return {
    defaultAction: profile.defaultAction ?? "",
    defaultErrnoRet: profile.defaultErrnoRet ?? undefined,
    architectures,
    rules: rules.map(({ names, name, action, errnoRet, args }) => ({
      names: [...(names ?? []), ...(name ? [name] : [])],
      action,
      errnoRet: errnoRet ?? undefined,
      args: args?.map((argument) => ({ ...argument, valueTwo: argument.valueTwo ?? 0 })),
    })),
  };
}

/** A filter as a plan loads it. */
export interface CompiledSeccomp {
  program: Buffer;
  flags: number;
}

/** SECCOMP_FILTER_FLAG_* by their names, together. */
export const seccompFlags = (names: readonly string[]): number =>
  names.reduce((sum, name) => sum | (filterFlags[name] ?? 0), 0);

/** The rules for a container on this host, with capabilities that carry their prefix; undefined where nothing is refused.
 * `profile` is Docker's JSON, "default" or "log". */
export function seccompRules(
  profile: string,
  capabilities: readonly string[],
): (SeccompFilter & { flags: readonly string[] }) | undefined {
  const target = { capabilities: new Set(capabilities), kernel: release(), machine: process.arch };
  const parsed = profileOf(profile);
  return parsed && { ...resolveSeccompProfile(parsed, target), flags: parsed.flags ?? [] };
}

/** Compiled filters by what they were made from: each takes 10 ms to build, and few are distinct. */
export class SeccompCompiler {
  readonly #compiled = new Map<string, CompiledSeccomp>();

  /** The filter for a container; `profile` is Docker's JSON, "default", "log", or "unconfined" for none. */
  filter(profile: string, capabilities: readonly string[]): CompiledSeccomp | undefined {
    if (profile === "unconfined") return undefined;
    const prefixed = capabilities.map((name) => `CAP_${name}`);
    const key = createHash("sha256").update(profile).update(prefixed.join()).digest("base64");
    const known = this.#compiled.get(key);
    if (known) return known;
    let compiled: CompiledSeccomp;
    try {
      const rules = seccompRules(profile, prefixed);
      if (!rules) return undefined;
      compiled = { program: compileSeccomp(rules), flags: seccompFlags(rules.flags) };
    } catch (error) {
      if (error instanceof RangeError)
        throw new SpecificationError("invalid", `seccomp profile: ${error.message}`);
      throw error;
    }
    if (this.#compiled.size >= 64) this.#compiled.clear();
    this.#compiled.set(key, compiled);
    return compiled;
  }
}

function profileOf(name: string): SeccompProfile | undefined {
  if (name === "default") return defaultSeccompProfile;
  return name === "log" ? loggingProfile(defaultSeccompProfile) : parseSeccompProfile(name);
}
