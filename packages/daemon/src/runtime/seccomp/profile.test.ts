// The default profile equals the reference data; conditions hold for the right containers.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defaultSeccompProfile } from "./default-profile.ts";
import { parseSeccompProfile, resolveSeccompProfile, type SeccompProfile } from "./profile.ts";

const target = (...capabilities: string[]) => ({
  capabilities: new Set(capabilities),
  kernel: "6.1.0",
  machine: "x64",
});

const allowed = (profile: SeccompProfile, ...capabilities: string[]): Set<string> =>
  new Set(
    resolveSeccompProfile(profile, target(...capabilities))
      .rules.filter(({ action }) => action === "SCMP_ACT_ALLOW")
      .flatMap(({ names, args }) =>
        names.map(
          (name) =>
            `${name}${args ? JSON.stringify(args.map(({ index, op, value }) => [index, op, value])) : ""}`,
        ),
      ),
  );

// The reference is not part of the repository: a clone by itself skips this comparison, visibly.
const reference = join(import.meta.dirname, "../../../../../../shared/reference/docker-seccomp-default.json");

describe("default seccomp profile", () => {
  it.skipIf(!existsSync(reference))("equals the reference data rule by rule", () => {
    const theirs = parseSeccompProfile(readFileSync(reference, "utf8"));
    if (!theirs) throw new Error("the reference says nothing");
    for (const capabilities of [
      [],
      ["CAP_SYS_ADMIN"],
      ["CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_SYSLOG"],
    ])
      expect(allowed(defaultSeccompProfile, ...capabilities)).toEqual(allowed(theirs, ...capabilities));
    expect(defaultSeccompProfile.archMap).toEqual(
      theirs.archMap?.map((entry) => ({ ...entry, subArchitectures: entry.subArchitectures ?? [] })),
    );
  });

  it("denies what leads out of a container, and allows it with the capability", () => {
    const plain = allowed(defaultSeccompProfile);
    for (const name of ["mount", "setns", "unshare", "bpf", "reboot", "init_module", "kexec_load", "add_key"])
      expect(plain).not.toContain(name);
    expect(plain).toContain("openat2");
    expect(allowed(defaultSeccompProfile, "CAP_SYS_ADMIN")).toContain("mount");
    expect(allowed(defaultSeccompProfile, "CAP_SYS_BOOT")).toContain("reboot");
  });

  it("lets clone make processes, not namespaces", () => {
    expect([...allowed(defaultSeccompProfile)].filter((name) => name.startsWith("clone"))).toEqual([
      'clone[[0,"SCMP_CMP_MASKED_EQ",2114060288]]',
    ]);
  });

  it("names what is wrong with a profile", () => {
    expect(() => parseSeccompProfile("{bad")).toThrow(/Decoding seccomp profile failed/);
    expect(() =>
      parseSeccompProfile('{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"]}]}'),
    ).toThrow(/syscalls.0.action/);
  });
});
