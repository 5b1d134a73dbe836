// SELinux labels of containers: a pair of categories of each one's own, what options make of them, and trees to relabel.
import { randomInt } from "node:crypto";
import {
  isSelinuxContext,
  parseSelinuxContext,
  type SelinuxContext,
  type Step,
  selinuxContext,
} from "@tsd/kernel-bindings";
import { SpecificationError } from "./errors.ts";

/** The policy's contexts for containers. */
export interface ContainerContexts {
  process: SelinuxContext;
  file: SelinuxContext;
}

const CATEGORIES = 1024;
/** What may reach everything: processes of containers that are not to be confined. */
const UNCONFINED_TYPE = "spc_t";
const EVERY_CATEGORY = "s0-s0:c0.c1023";
const SHARED_LEVEL = "s0";

/** Two different categories that nobody has: "s0:c12,c345". Throws when all half a million are taken. */
export function chooseLevel(
  taken: ReadonlySet<string>,
  random: (below: number) => number = randomInt,
): string {
  const level = (a: number, b: number): string => `s0:c${Math.min(a, b)},c${Math.max(a, b)}`;
  for (let attempt = 0; attempt < 64; attempt++) {
    const [a, b] = [random(CATEGORIES), random(CATEGORIES)];
    if (a !== b && !taken.has(level(a, b))) return level(a, b);
  }
  for (let a = 0; a < CATEGORIES; a++)
    for (let b = a + 1; b < CATEGORIES; b++) if (!taken.has(level(a, b))) return level(a, b);
  throw new SpecificationError("system", "SELinux: every pair of categories is in use");
}

/** The level of a label; "" for none. */
export const levelOf = (label: string): string => (label ? parseSelinuxContext(label).level : "");

export interface ContainerLabels {
  /** What its processes run as; "" where the policy has no type for it, so that they stay what the daemon is. */
  process: string;
  /** What its files are. */
  mount: string;
}

function known(context: SelinuxContext, isKnown: (context: string) => boolean): string {
  const text = selinuxContext(context);
  if (!isKnown(text))
    throw new SpecificationError("invalid", `SELinux: the host's policy does not know the context ${text}`);
  return text;
}

/** The labels that options (label=…) make of the policy's contexts and a level that is the container's own. */
export function containerLabels(
  options: readonly string[],
  { process, file }: ContainerContexts,
  level: string,
  isKnown: (context: string) => boolean = isSelinuxContext,
): ContainerLabels {
  const own = { ...process, level };
  const files = { ...file, level };
  if (options.includes("disable")) {
    const unconfined = selinuxContext({ ...process, type: UNCONFINED_TYPE, level: EVERY_CATEGORY });
    return { process: isKnown(unconfined) ? unconfined : "", mount: known(files, isKnown) };
  }
  for (const option of options) {
    const at = option.indexOf(":");
    const [part, value] = [option.slice(0, at), option.slice(at + 1)];
    if (part === "filetype") files.type = value;
    else if (part === "user" || part === "level") {
      own[part] = value;
      files[part] = value;
    } else if (part === "role" || part === "type") own[part] = value;
  }
  return { process: known(own, isKnown), mount: known(files, isKnown) };
}

/** The options that give another container this one's label: they share memory or processes. */
export function optionsOfLabel(label: string): string[] {
  if (!label) return [];
  const context = parseSelinuxContext(label);
  // Whose partner is not confined is confined all the same, as in dockerd.
  if (context.type === UNCONFINED_TYPE) return [];
  return (["user", "role", "type", "level"] as const).map((part) => `${part}:${context[part]}`);
}

/** The host's own directories: relabelling one would take it from everybody else. */
const hostDirectories: readonly string[] = [
  ..."/ /bin /boot /dev /etc /etc/passwd /etc/group /etc/shadow /home /lib /lib32 /lib64 /media /mnt /opt /proc /root".split(
    " ",
  ),
  ..."/run /sbin /srv /sys /tmp /usr /usr/bin /usr/lib /usr/lib64 /usr/sbin /usr/share /usr/local".split(" "),
  ..."/var /var/cache /var/lib /var/log /var/run /var/spool /var/tmp".split(" "),
];

/** The step that labels a source for one container (Z), or for all (z). */
export const relabelStep = (
  mount: { source: string; confined: boolean; subpath: string },
  label: string,
  shared: boolean,
): Step => ({
  op: "relabel",
  source: mount.source,
  confined: mount.confined,
  subpath: mount.subpath,
  label: shared ? selinuxContext({ ...parseSelinuxContext(label), level: SHARED_LEVEL }) : label,
  forbidden: hostDirectories,
});
