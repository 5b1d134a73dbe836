// What this host's kernel has to confine containers with besides namespaces: SELinux, AppArmor, Landlock; and lxcfs.
import {
  appArmorSupport,
  isAppArmorProfile,
  landlockVersion,
  loadAppArmorProfile,
  selinuxContainerContexts,
  selinuxMode,
} from "@tsd/kernel-bindings";
import { DEFAULT_PROFILE, defaultProfile, profileName } from "./apparmor-profile.ts";
import { SpecificationError } from "./errors.ts";
import { checkLandlock } from "./landlock.ts";
import { type Lxcfs, noLxcfs } from "./lxcfs.ts";
import type { SecurityOptions } from "./security.ts";
import type { ContainerContexts } from "./selinux.ts";

export class SecurityModules {
  /** Set where the daemon labels its containers. */
  readonly selinux: ContainerContexts | undefined;
  /** Undefined where the kernel's AppArmor is off, or there is nothing to load a profile with. */
  readonly #appArmorParser: string | undefined;
  readonly landlock = landlockVersion();
  readonly lxcfs: Lxcfs;

  constructor(
    parts: { selinux?: ContainerContexts; appArmorParser?: string | undefined; lxcfs?: Lxcfs } = {},
  ) {
    this.selinux = parts.selinux;
    this.#appArmorParser = parts.appArmorParser;
    this.lxcfs = parts.lxcfs ?? noLxcfs;
  }

  /** Finds out, and loads the default AppArmor profile. Throws only for what was asked for by name: SELinux. */
  static async find(
    settings: { selinux: boolean; lxcfs: Lxcfs },
    warn: (message: string) => void,
  ): Promise<SecurityModules> {
    if (settings.selinux && selinuxMode() === undefined)
      throw new Error(
        "--selinux-enabled: this kernel has no SELinux, or no policy is loaded (selinux=1 security=selinux)",
      );
    const { enabled, parser } = appArmorSupport();
    if (enabled && !parser)
      warn("AppArmor is on, but apparmor_parser is not installed: containers run without a profile");
    const modules = new SecurityModules({
      ...(settings.selinux ? { selinux: selinuxContainerContexts() } : {}),
      appArmorParser: enabled ? parser : undefined,
      lxcfs: settings.lxcfs,
    });
    try {
      if (enabled && parser) await loadAppArmorProfile(parser, defaultProfile);
    } catch (error) {
      warn(`AppArmor: the profile ${DEFAULT_PROFILE} can't be loaded: ${(error as Error).message}`);
    }
    return modules;
  }

  get appArmor(): boolean {
    return this.#appArmorParser !== undefined;
  }

  /** Loads the default profile if that is the one and it is not there (any more: others may have removed it). */
  ensureProfile(name: string): Promise<void> | undefined {
    if (!this.#appArmorParser || name !== DEFAULT_PROFILE || isAppArmorProfile(name)) return undefined;
    return loadAppArmorProfile(this.#appArmorParser, defaultProfile);
  }

  /** The profile of a container with these options; "" where there are none. */
  profileFor(security: SecurityOptions, privileged: boolean): string {
    if (!this.appArmor) return "";
    if (security.appArmor !== undefined) return profileName(security.appArmor);
    return privileged ? "unconfined" : DEFAULT_PROFILE;
  }

  /** Throws for options that this host can't fulfil, naming what it lacks; returns what has no effect here. */
  check(security: SecurityOptions): string[] {
    const { appArmor, labels, landlock } = security;
    const warnings: string[] = [];
    if (appArmor !== undefined && appArmor !== "unconfined") {
      const name = profileName(appArmor);
      if (this.appArmor) this.#checkProfile(name);
      else if (name === DEFAULT_PROFILE)
        warnings.push(`security option apparmor=${appArmor} has no effect: AppArmor is not on here`);
      else
        throw new SpecificationError(
          "invalid",
          `security option apparmor=${appArmor}: this host's kernel has no AppArmor, or apparmor_parser is not installed`,
        );
    }
    const asked = labels.filter((label) => label !== "disable");
    if (asked.length > 0 && !this.selinux)
      warnings.push(
        `security option label=${asked[0]} has no effect: SELinux is not enabled in this daemon (--selinux-enabled)`,
      );
    if (security.seccomp === "log")
      warnings.push(
        "security option seccomp=log: what the default profile denies is let through, and logged",
      );
    if (landlock) checkLandlock(landlock, this.landlock);
    return warnings;
  }

  #checkProfile(name: string): void {
    if (name !== DEFAULT_PROFILE && !isAppArmorProfile(name))
      throw new SpecificationError(
        "invalid",
        `security option apparmor=${name}: no such profile is loaded in the kernel (apparmor_parser -r FILE loads one)`,
      );
  }
}
