// Puts signatures that clients made beside their images in the registry.
import { Readable } from "node:stream";
import type { Credentials } from "../../registry/credentials.ts";
import { RegistryError } from "../../registry/errors.ts";
import { sha256 } from "../../registry/manifest.ts";
import type { Registries } from "../../registry/registries.ts";
import { EngineError, invalid } from "../errors.ts";
import type { ImageCatalog } from "../images/catalog.ts";
import type { ImageRecord } from "../images/image.ts";
import { repositoryName } from "../images/reference.ts";
import { type ImageSignature, pushSignature } from "./signatures.ts";

/** Pushes a signature of an image's manifest to the repository where it has that digest. */
export async function publishSignature(
  parts: { catalog: ImageCatalog; registries: Registries },
  image: ImageRecord,
  signature: ImageSignature,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<void> {
  const names = image.repoDigests.filter((name) => name.endsWith(`@${signature.digest}`));
  if (names.length === 0)
    throw invalid(`${signature.digest} is no digest of this image in a registry: push it first`);
  try {
    for (const name of names) {
      const repository = await parts.registries.target(
        repositoryName(name.replace(/@.*$/, "")),
        credentials,
        signal,
      );
      const upload = async (bytes: Buffer): Promise<void> => {
        const digest = sha256(bytes);
        if (await repository.hasBlob(digest, signal)) return;
        await repository.upload(
          {
            digest,
            size: bytes.length,
            open: (offset) => Readable.from([bytes.subarray(offset)]),
            progress: () => undefined,
          },
          undefined,
          signal,
        );
      };
      await pushSignature(repository, signature, upload, signal);
    }
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new EngineError("system", error.message, { cause: error });
  }
  parts.catalog.addSignature({ ...signature, image: image.id });
}
