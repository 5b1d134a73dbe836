// SELinux labels, Landlock rules and the steps they become, compared as data.
import { describe, expect, it } from "vitest";
import { checkLandlock, landlockStep, parseLandlock } from "./landlock.ts";
import { SecurityModules } from "./modules.ts";
import { parseSecurityOptions } from "./security.ts";
import { chooseLevel, containerLabels, levelOf, optionsOfLabel, relabelStep } from "./selinux.ts";

const contexts = {
  process: { user: "system_u", role: "system_r", type: "container_t", level: "s0" },
  file: { user: "system_u", role: "object_r", type: "container_file_t", level: "s0" },
};
const known = (): boolean => true;

describe("SELinux labels", () => {
  it("have two different categories that nobody has, in order", () => {
    const numbers = [5, 5, 900, 3, 2, 1];
    const random = (): number => numbers.shift() ?? 0;
    expect(chooseLevel(new Set(), random)).toBe("s0:c3,c900");
    expect(chooseLevel(new Set(["s0:c1,c2"]), random)).toBe("s0:c0,c1");
    const taken = new Set<string>();
    for (let made = 0; made < 2000; made++) {
      const level = chooseLevel(taken);
      expect(taken.has(level)).toBe(false);
      expect(level).toMatch(/^s0:c\d{1,4},c\d{1,4}$/);
      taken.add(level);
    }
    const everyPair = new Set<string>();
    for (let a = 0; a < 1024; a++) for (let b = a + 1; b < 1024; b++) everyPair.add(`s0:c${a},c${b}`);
    everyPair.delete("s0:c1022,c1023");
    expect(chooseLevel(everyPair)).toBe("s0:c1022,c1023");
    everyPair.add("s0:c1022,c1023");
    expect(() => chooseLevel(everyPair)).toThrow("every pair of categories is in use");
  }, 60_000);

  it("are made of the policy's contexts and the options", () => {
    const labels = (...options: string[]) => containerLabels(options, contexts, "s0:c1,c2", known);
    expect(labels()).toEqual({
      process: "system_u:system_r:container_t:s0:c1,c2",
      mount: "system_u:object_r:container_file_t:s0:c1,c2",
    });
    expect(labels("type:my_t", "filetype:my_file_t", "level:s0:c7,c8", "user:me_u", "role:my_r")).toEqual({
      process: "me_u:my_r:my_t:s0:c7,c8",
      mount: "me_u:object_r:my_file_t:s0:c7,c8",
    });
    expect(labels("disable")).toEqual({
      process: "system_u:system_r:spc_t:s0-s0:c0.c1023",
      mount: "system_u:object_r:container_file_t:s0:c1,c2",
    });
    const noSpecial = (context: string): boolean => !context.includes("spc_t");
    expect(containerLabels(["disable"], contexts, "s0:c1,c2", noSpecial).process).toBe("");
    expect(() => containerLabels(["type:x"], contexts, "s0", () => false)).toThrow(
      "the host's policy does not know the context system_u:system_r:x:s0",
    );
  });

  it("are shared with a partner that is confined", () => {
    expect(optionsOfLabel("system_u:system_r:container_t:s0:c1,c2")).toEqual([
      "user:system_u",
      "role:system_r",
      "type:container_t",
      "level:s0:c1,c2",
    ]);
    expect(optionsOfLabel("system_u:system_r:spc_t:s0-s0:c0.c1023")).toEqual([]);
    expect(levelOf("")).toBe("");
  });

  it("of what is bound: for all without categories, and never of the host's own directories", () => {
    const place = { source: "/srv/a", confined: true, subpath: "" };
    const label = "system_u:object_r:container_file_t:s0:c1,c2";
    expect(relabelStep(place, label, false)).toMatchObject({ op: "relabel", label, confined: true });
    const shared = relabelStep(place, label, true);
    expect(shared).toMatchObject({ label: "system_u:object_r:container_file_t:s0" });
    for (const path of ["/", "/etc", "/usr", "/home", "/var/lib"])
      expect(shared.op === "relabel" && shared.forbidden).toContain(path);
  });
});

describe("a host without modules", () => {
  const modules = new SecurityModules();
  const check = (...options: string[]) => modules.check(parseSecurityOptions(options, false));
  it("refuses what can't be, and says what has no effect", () => {
    expect(check("apparmor=unconfined", "label=disable")).toEqual([]);
    expect(check("label=type:my_t")[0]).toContain("label=type:my_t has no effect");
    expect(check("apparmor=docker-default")[0]).toContain("apparmor=docker-default has no effect");
    expect(check("seccomp=log")[0]).toContain("let through, and logged");
    expect(() => check("apparmor=strict")).toThrow("no AppArmor");
    expect(modules.profileFor(parseSecurityOptions([], false), false)).toBe("");
  });
});

describe("Landlock rules", () => {
  it("become a step of rights that the kernel's version knows", () => {
    const rules = parseLandlock("ro:/usr,rw:/data,bind:80,connect:443,connect:80,scope:signal", undefined);
    expect(landlockStep(rules, 6)).toEqual({
      op: "landlock",
      fileSystem: 0xffff,
      network: 3,
      scoped: 2,
      paths: ["/usr", "/data"],
      access: [0b1101, 0xffff],
      ports: [80, 443],
      portAccess: [3, 2],
    });
    expect(landlockStep(parseLandlock("rw:/", undefined), 1)).toMatchObject({
      fileSystem: 0x1fff,
      access: [0x1fff],
      network: 0,
      scoped: 0,
    });
    expect(landlockStep(parseLandlock("bind:none", undefined), 4)).toMatchObject({
      fileSystem: 0,
      network: 1,
    });
  });

  it("are refused where the kernel can't", () => {
    const rules = (text: string) => parseLandlock(text, undefined);
    expect(() => checkLandlock(rules("ro:/"), 0)).toThrow("no Landlock");
    expect(() => checkLandlock(rules("bind:80"), 3)).toThrow("rules for ports need version 4");
    expect(() => checkLandlock(rules("scope:signal"), 5)).toThrow("scopes need version 6");
    expect(() => checkLandlock(rules("ro:/,bind:1,scope:signal"), 6)).not.toThrow();
  });
});
