// The kinds of documents and layers that registries keep (OCI image specification, and Docker's own before it).

export const mediaTypes = {
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
} as const;

export const isIndex = (type: string): boolean =>
  type === mediaTypes.dockerIndex || type === mediaTypes.ociIndex;

export const isManifest = (type: string): boolean =>
  type === mediaTypes.dockerManifest || type === mediaTypes.ociManifest;

/** All that a pull can make something of. */
export const acceptedManifests = [
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
].join(", ");

/** Layers that a pull can unpack: a tar, compressed or not; their first bytes say how. */
export const isLayer = (type: string): boolean =>
  /^application\/vnd\.oci\.image\.layer\.v1\.tar(?:\+(?:gzip|zstd))?(?:\+encrypted)?$/.test(type) ||
  /^application\/vnd\.docker\.image\.rootfs\.diff\.tar(?:\.gzip|\.zstd)?$/.test(type);

export const isEncrypted = (type: string): boolean => type.endsWith("+encrypted");

/** The type of a layer that is compressed like this; one that is no layer's where registries know no such compression. */
export const layerType = (compression: string): string =>
  compression === ""
    ? mediaTypes.ociLayer
    : compression === "gzip" || compression === "zstd"
      ? `${mediaTypes.ociLayer}+${compression}`
      : `application/x-${compression}`;
