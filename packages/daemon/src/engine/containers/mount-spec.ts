// A container's mounts as its plan wants them.
import { parseTmpfs } from "../../runtime/mounts.ts";
import type { MountSpec } from "../../runtime/spec.ts";
import type { ContainerMount } from "./record.ts";
import type { Container } from "./registry.ts";

/** The volumes among a container's mounts. */
export const volumeNames = (container: Container): string[] =>
  container.record.definition.mounts.filter(({ type }) => type === "volume").map(({ name }) => name);

/** A resolved mount as the plan wants it; `layersOf` tells the directories of an image, topmost first. */
export function mountSpec(mount: ContainerMount, layersOf: (imageId: string) => string[]): MountSpec {
  if (mount.type === "image")
    return {
      type: "image",
      layers: layersOf(mount.source),
      target: mount.target,
      subpath: mount.subpath,
    };
  if (mount.type === "tmpfs")
    return { type: "tmpfs", target: mount.target, ...parseTmpfs(mount.tmpfsOptions) };
  return {
    type: "bind",
    source: mount.source,
    namespace: "",
    target: mount.target,
    readOnly: mount.readOnly,
    readOnlyRecursive: mount.readOnlyRecursive,
    confined: mount.confined ?? false,
    subpath: mount.subpath ?? "",
    recursive: mount.recursive,
    propagation: mount.propagation.replace(/^r/, "") as "private" | "slave" | "shared",
  };
}
