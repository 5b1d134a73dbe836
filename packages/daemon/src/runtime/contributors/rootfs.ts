// Root: the overlay of the image's layers and the container's own, the mounts on it, and the change of root.
import { MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, type Step } from "@tsd/kernel-bindings";
import { type AttachedSpec, type BindSpec, plainBind } from "../mounts.ts";
import type { ContainerSpec, MountSpec, RootedSpec } from "../spec.ts";
import { contextOption } from "./labels.ts";

const propagations = { private: MS_PRIVATE, slave: MS_SLAVE, shared: MS_SHARED } as const;
const INIT_TARGET = "/sbin/docker-init";
/** What overlayfs needs of a writable layer's directory. */
const UPPER = "diff";
const WORK = "work";

/** Everything that is opened on the host and attached in the container. */
export function attached(spec: RootedSpec): AttachedSpec[] {
  const asked = spec.mounts.filter((mount) => mount.type !== "tmpfs");
  const taken = new Set(spec.mounts.map(({ target }) => target));
  const own = (source: string, target: string, readOnly: boolean): BindSpec =>
    plainBind(source, target, { readOnly });
  const files = spec.files
    .filter(({ target }) => !taken.has(target))
    .map(({ source, target }) => own(source, target, false));
  const init = spec.init ? [own(spec.init, INIT_TARGET, true)] : [];
  const views = (spec.views ?? [])
    .filter(({ target }) => !taken.has(target))
    .map(({ source, target }) => own(source, target, true));
  return [...files, ...init, ...views, ...asked];
}

const depth = (target: string): number => target.split("/").filter(Boolean).length;
export const byDepth = (a: { target: string }, b: { target: string }): number =>
  depth(a.target) - depth(b.target);

function openStep(spec: RootedSpec, one: AttachedSpec, slot: number, idmapped: boolean): Step {
  if (one.type === "image")
    return {
      op: "image.open",
      slot,
      lower: one.layers,
      options: contextOption(spec.mountLabel),
      idmapped,
      staging: spec.root.staging,
    };
  const { source, namespace, recursive, confined, subpath } = one;
  if (namespace) return { op: "bind.open-in", slot, namespace, source };
  return { op: "bind.open", slot, source, recursive, confined, subpath, idmapped };
}

/** Sources and the root, as detached trees: taken in the host's mount namespace, with its propagation. `idmapped` ones show
 * their files with their own ids in the container's user namespace. */
export const treeSteps = (spec: RootedSpec, idmapped: boolean): Step[] => [
  ...attached(spec).map((one, slot) => openStep(spec, one, slot, idmapped)),
  {
    op: "root.overlay",
    lower: spec.root.layers,
    base: spec.root.base,
    upper: UPPER,
    work: WORK,
    options: contextOption(spec.mountLabel),
    idmapped,
    staging: spec.root.staging,
  },
];

/** The first slot that nothing of these takes. */
export const slotAfterAttached = (spec: RootedSpec): number => attached(spec).length;

/** What of images is asked for, out of the whole of them. */
const partSteps = (spec: RootedSpec): Step[] =>
  attached(spec).flatMap((one, slot): Step[] =>
    one.type === "image" && one.subpath
      ? [{ op: "image.part", slot, subpath: one.subpath, staging: spec.root.staging }]
      : [],
  );

/** From here on nothing that is mounted reaches the host. */
export const rootSteps = (spec: RootedSpec): Step[] => [
  { op: "take-over" },
  { op: "propagation", path: "/", flags: MS_REC | MS_PRIVATE },
  ...partSteps(spec),
  { op: "root.attach", staging: spec.root.staging },
];

/** Shallow targets first, so that deeper ones land on top of them. */
export function mountSteps(spec: RootedSpec): Step[] {
  const opened = attached(spec).map((one, slot) => ({ target: one.target, step: attachStep(one, slot) }));
  const tmpfs = spec.mounts.flatMap((mount) =>
    mount.type === "tmpfs" ? [{ target: mount.target, step: tmpfsStep(mount, spec.mountLabel) }] : [],
  );
  return [...tmpfs, ...opened].sort(byDepth).map(({ step }) => step);
}

function attachStep(one: AttachedSpec, slot: number): Step {
  const { readOnly, readOnlyRecursive, propagation } =
    one.type === "image"
      ? { readOnly: true, readOnlyRecursive: false, propagation: "private" as const }
      : one;
  return {
    op: "bind",
    slot,
    target: one.target,
    attributes: readOnly ? MOUNT_ATTR_RDONLY : 0,
    recursive: readOnlyRecursive,
    propagation: propagations[propagation],
  };
}

const tmpfsStep = (mount: Extract<MountSpec, { type: "tmpfs" }>, label: string | undefined): Step => ({
  op: "mount",
  type: "tmpfs",
  target: mount.target,
  options: [...mount.options, ...contextOption(label)],
  attributes: mount.attributes,
  source: "tmpfs",
  strict: false,
});

/** Paths that must stay writable until the kernel's parameters are set. */
const amongParameters = (path: string): boolean => path.startsWith("/proc/sys/");

/** What is hidden or read-only; `among`: of the paths among the kernel's parameters, or of all others. */
export function maskSteps(spec: ContainerSpec, among: boolean): Step[] {
  const chosen = (path: string): boolean => amongParameters(path) === among;
  return [
    ...spec.readonlyPaths.filter(chosen).map((path): Step => ({ op: "readonly", path })),
    ...spec.maskedPaths.filter(chosen).map((path): Step => ({ op: "mask", path })),
  ];
}

export const pivotSteps = (spec: RootedSpec): Step[] => [
  { op: "pivot", attributes: spec.root.readOnly ? MOUNT_ATTR_RDONLY : 0 },
];

/** The command, under the init where one was asked for. */
export const commandOf = (spec: ContainerSpec): readonly string[] =>
  spec.init ? [INIT_TARGET, "--", ...spec.process.arguments] : spec.process.arguments;
