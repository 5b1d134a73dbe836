// What the image policy says of a pull, a push and a run; without a policy everything is allowed.
import type { Repository } from "../../registry/repository.ts";
import { type Caller, everything } from "../access/caller.ts";
import { EngineError } from "../errors.ts";
import type { ImageCatalog } from "../images/catalog.ts";
import type { ImageRecord } from "../images/image.ts";
import { repositoryName } from "../images/reference.ts";
import type { Act, ImagePolicy, Verdict } from "./policy.ts";
import { fetchSignatures, type ImageSignature, isSignedBy } from "./signatures.ts";

/** Images that came from no registry. */
const LOCAL = "local";

const forbidden = (message: string): EngineError =>
  new EngineError("forbidden", `denied by the image policy: ${message}`);

/** A repository's name with its registry, as rules write it. */
function fullName(name: string): string {
  const { registry, path } = repositoryName(name);
  return `${registry}/${path}`;
}

export class ImageTrust {
  readonly #catalog: ImageCatalog;
  #policy: ImagePolicy | undefined;

  constructor(catalog: ImageCatalog, policy: ImagePolicy | undefined) {
    this.#catalog = catalog;
    this.#policy = policy;
  }

  /** Takes up another policy; what runs goes on. */
  configure(policy: ImagePolicy | undefined): void {
    this.#policy = policy;
  }

  #judge(repository: string, act: Act, caller: Caller | undefined): Verdict {
    if (!this.#policy) return { allowed: true, reason: "", signers: undefined };
    return this.#policy.judge(repository, act, { id: caller?.id ?? "", role: caller?.role?.name });
  }

  /** Throws where the caller may not push there. `name` is in familiar form. */
  checkPush(name: string, caller: Caller): void {
    const { allowed, reason } = this.#judge(fullName(name), "push", caller);
    if (!allowed) throw forbidden(`push to ${fullName(name)} by ${caller.id} (${reason})`);
  }

  /** Throws where the caller may not pull from there. */
  checkPull(name: string, caller: Caller): void {
    const { allowed, reason } = this.#judge(fullName(name), "pull", caller);
    if (!allowed) throw forbidden(`pull of ${fullName(name)} by ${caller.id} (${reason})`);
  }

  /** The signatures of what is about to be pulled; throws where one is asked for and none is right. `digests` are those
   * of the manifest, and of the index that named it. */
  async signatures(
    name: string,
    digests: readonly string[],
    sources: readonly Repository[],
    caller: Caller,
    signal: AbortSignal,
  ): Promise<ImageSignature[]> {
    const { signers, reason } = this.#judge(fullName(name), "pull", caller);
    if (!signers) return [];
    const found: ImageSignature[] = [];
    // The registry itself is asked, not a mirror that may not keep them.
    const repository = sources.at(-1);
    for (const digest of new Set(digests))
      if (repository) found.push(...(await fetchSignatures(repository, digest, signal)));
    const right = found.filter((signature) => signers.some(({ key }) => isSignedBy(signature, key)));
    if (right.length > 0) return right;
    throw forbidden(
      `${fullName(name)}@${digests[0]} ${describeLack(found.length, signers.length)} (${reason})`,
    );
  }

  /** Throws where containers may not be made of an image. Without a caller, as at a restart, only signatures count, and
   * whether anybody may run it. */
  checkRun(image: ImageRecord, caller?: Caller): void {
    if (!this.#policy) return;
    const known = this.#catalog.find(image.id, everything);
    const origins = [...new Set((known?.repoDigests ?? []).map((name) => name.replace(/@.*$/, "")))];
    const refusals: string[] = [];
    for (const repository of origins.length > 0 ? origins.map(fullName) : [LOCAL]) {
      const { allowed, reason, signers } = this.#judge(repository, "run", caller);
      const named = allowed || caller !== undefined;
      if (!allowed && named) refusals.push(`run of ${repository} by ${caller?.id} (${reason})`);
      else if (!signers || this.#isSigned(image, signers)) return;
      else {
        const count = this.#catalog.signatures(image).length;
        refusals.push(`${repository} (${image.id}) ${describeLack(count, signers.length)} (${reason})`);
      }
    }
    throw forbidden(refusals.join("; "));
  }

  #isSigned(image: ImageRecord, signers: NonNullable<Verdict["signers"]>): boolean {
    const digests = new Set(this.#catalog.manifests(image).map(({ digest }) => digest));
    return this.#catalog
      .signatures(image)
      .some(
        (signature) => digests.has(signature.digest) && signers.some(({ key }) => isSignedBy(signature, key)),
      );
  }
}

const describeLack = (signatures: number, signers: number): string =>
  signers === 0
    ? "must be signed by keys that are all revoked"
    : signatures === 0
      ? "is not signed"
      : "is signed by none of the keys that it must be signed by";
