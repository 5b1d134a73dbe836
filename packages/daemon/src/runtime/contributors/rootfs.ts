// Root: the overlay of the image's layers and the container's own, the mounts on it, and the change of root.
import { MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, type Step } from "@tsd/kernel-bindings";
import { type BindSpec, plainBind } from "../mounts.ts";
import type { ContainerSpec, MountSpec, RootedSpec } from "../spec.ts";
import { contextOption } from "./labels.ts";

const propagations = { private: MS_PRIVATE, slave: MS_SLAVE, shared: MS_SHARED } as const;
const INIT_TARGET = "/sbin/docker-init";
/** What overlayfs needs of a writable layer's directory. */
const UPPER = "diff";
const WORK = "work";

/** Everything bound into the container, shallow targets first so that deeper ones land on top of them. */
export function binds(spec: RootedSpec): BindSpec[] {
  const asked = spec.mounts.filter((mount) => mount.type === "bind");
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

/** Sources and the root, as detached trees: taken in the host's mount namespace, with its propagation. `idmapped` ones show
 * their files with their own ids in the container's user namespace. */
export const treeSteps = (spec: RootedSpec, idmapped: boolean): Step[] => [
  ...binds(spec).map(
    (bind, slot): Step =>
      bind.namespace
        ? { op: "bind.open-in", slot, namespace: bind.namespace, source: bind.source }
        : {
            op: "bind.open",
            slot,
            source: bind.source,
            recursive: bind.recursive,
            confined: bind.confined,
            subpath: bind.subpath,
            idmapped,
          },
  ),
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

/** The first slot that no bind takes. */
export const slotAfterBinds = (spec: RootedSpec): number => binds(spec).length;

/** From here on nothing that is mounted reaches the host. */
export const rootSteps = (spec: RootedSpec): Step[] => [
  { op: "take-over" },
  { op: "propagation", path: "/", flags: MS_REC | MS_PRIVATE },
  { op: "root.attach", staging: spec.root.staging },
];

export function mountSteps(spec: RootedSpec): Step[] {
  const attached = binds(spec).map((bind, slot) => ({ target: bind.target, step: bindStep(bind, slot) }));
  const tmpfs = spec.mounts.flatMap((mount) =>
    mount.type === "tmpfs" ? [{ target: mount.target, step: tmpfsStep(mount, spec.mountLabel) }] : [],
  );
  return [...tmpfs, ...attached].sort(byDepth).map(({ step }) => step);
}

const bindStep = (bind: BindSpec, slot: number): Step => ({
  op: "bind",
  slot,
  target: bind.target,
  attributes: bind.readOnly ? MOUNT_ATTR_RDONLY : 0,
  recursive: bind.readOnlyRecursive,
  propagation: propagations[bind.propagation],
});

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
