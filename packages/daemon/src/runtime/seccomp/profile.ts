// Seccomp profiles in Docker's JSON format: checked, resolved for a container and this host, compiled once each.
import { createHash } from "node:crypto";
import { release } from "node:os";
import { compileSeccomp, type SeccompFilter } from "@tsd/kernel-bindings";
import { z } from "zod";
import { SpecificationError } from "../errors.ts";
import { defaultSeccompProfile } from "./default-profile.ts";

const conditions = z
  .object({
    caps: z.array(z.string()).nullish(),
    arches: z.array(z.string()).nullish(),
    minKernel: z.string().nullish(),
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

const profileSchema = z.object({
  defaultAction: z.string(),
  defaultErrnoRet: z.int().nullish(),
  architectures: z.array(z.string()).nullish(),
  archMap: z
    .array(z.object({ architecture: z.string(), subArchitectures: z.array(z.string()).nullish() }))
    .nullish(),
  flags: z.array(z.string()).nullish(),
  syscalls: z
    .array(
      z.object({
        names: z.array(z.string()).nullish(),
        name: z.string().nullish(),
        action: z.string(),
        errnoRet: z.int().nullish(),
        args: z
          .array(
            z.object({
              index: z.int().min(0).max(5),
              value: z.number().nonnegative(),
              valueTwo: z.number().nonnegative().nullish(),
              op: operator,
            }),
          )
          .nullish(),
        includes: conditions,
        excludes: conditions,
      }),
    )
    .nullish(),
});
export type SeccompProfile = z.input<typeof profileSchema>;

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

/** Reads a profile. Throws SpecificationError naming what is wrong. */
export function parseSeccompProfile(text: string): SeccompProfile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new SpecificationError("invalid", `Decoding seccomp profile failed: ${(error as Error).message}`);
  }
  const parsed = profileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new SpecificationError(
    "invalid",
    `Decoding seccomp profile failed: ${issue?.path.join(".")}: ${issue?.message}`,
  );
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
    defaultAction: profile.defaultAction,
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

/** The rules for a container on this host; `profile` is Docker's JSON or "default", capabilities carry their prefix. */
export function seccompRules(profile: string, capabilities: readonly string[]): SeccompFilter {
  const target = { capabilities: new Set(capabilities), kernel: release(), machine: process.arch };
  const parsed = profile === "default" ? defaultSeccompProfile : parseSeccompProfile(profile);
  return resolveSeccompProfile(parsed, target);
}

/** Compiled filters by what they were made from: each takes 10 ms to build, and few are distinct. */
export class SeccompCompiler {
  readonly #compiled = new Map<string, Buffer>();

  /** The filter for a container; `profile` is Docker's JSON, "default", or "unconfined" for none. */
  filter(profile: string, capabilities: readonly string[]): Buffer | undefined {
    if (profile === "unconfined") return undefined;
    const prefixed = capabilities.map((name) => `CAP_${name}`);
    const key = createHash("sha256").update(profile).update(prefixed.join()).digest("base64");
    const known = this.#compiled.get(key);
    if (known) return known;
    let program: Buffer;
    try {
      program = compileSeccomp(seccompRules(profile, prefixed));
    } catch (error) {
      if (error instanceof RangeError)
        throw new SpecificationError("invalid", `seccomp profile: ${error.message}`);
      throw error;
    }
    if (this.#compiled.size >= 64) this.#compiled.clear();
    this.#compiled.set(key, program);
    return program;
  }
}
