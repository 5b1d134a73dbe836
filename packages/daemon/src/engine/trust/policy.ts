// The image policy: which repositories may be pulled, pushed and run, by whom, and by which keys they must be signed. The
// file is signed itself, so that nobody changes it unnoticed.
import { createPublicKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { verifyBytes } from "./keys.ts";

/** Everybody, nobody, or callers ("cert:alice", "unix:0") and roles ("role:operator"). */
const who = z.union([z.boolean(), z.array(z.string().min(1))]);
const rule = z.strictObject({
  /** A repository with its registry, as in docker.io/library/debian; * for a part, ** for any rest; "local" for images
   * that came from no registry. */
  repository: z.string().min(1),
  pull: who.default(true),
  push: who.default(true),
  run: who.default(true),
  /** Names of keys: a signature of one of them must be there for a pull and for a run. */
  signedBy: z.array(z.string()).min(1).optional(),
});
const key = z.strictObject({ publicKey: z.string(), revoked: z.boolean().default(false) });
const schema = z.strictObject({
  version: z.literal(1),
  keys: z.record(z.string(), key).default({}),
  /** The first that fits counts. */
  rules: z.array(rule),
  /** Where none fits. */
  otherwise: z.enum(["allow", "deny"]),
});

export type Act = "pull" | "push" | "run";
type Rule = z.output<typeof rule>;

export interface Verdict {
  allowed: boolean;
  /** What decided. */
  reason: string;
  /** Names and keys of those of whom one must have signed; undefined where no signature is asked for. */
  signers: { name: string; key: KeyObject }[] | undefined;
}

/** Who acts, as far as rules ask. */
export interface Actor {
  id: string;
  role: string | undefined;
}

function expression(pattern: string): RegExp {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map((part) =>
      part === "**" ? ".*" : part === "*" ? "[^/]*" : part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"),
    )
    .join("");
  return new RegExp(`^${source}$`);
}

export class ImagePolicy {
  readonly #rules: readonly { rule: Rule; fits: RegExp }[];
  readonly #keys: ReadonlyMap<string, { key: KeyObject; revoked: boolean }>;
  readonly #otherwise: boolean;

  private constructor(parsed: z.output<typeof schema>) {
    this.#rules = parsed.rules.map((one) => ({ rule: one, fits: expression(one.repository) }));
    this.#keys = new Map(
      Object.entries(parsed.keys).map(([name, { publicKey, revoked }]) => {
        try {
          return [name, { key: createPublicKey(publicKey), revoked }] as const;
        } catch (error) {
          throw new Error(`keys.${name}.publicKey: ${(error as Error).message}`);
        }
      }),
    );
    for (const [index, { signedBy }] of parsed.rules.entries())
      for (const name of signedBy ?? [])
        if (!this.#keys.has(name)) throw new Error(`rules.${index}.signedBy: there is no key "${name}"`);
    this.#otherwise = parsed.otherwise === "allow";
  }

  /** Reads a policy. Throws with the field that is wrong, or when the signature is not of these bytes by this key. */
  static read(bytes: Buffer, signature: string, signer: string): ImagePolicy {
    if (!verifyBytes(bytes, signature, createPublicKey(signer)))
      throw new Error(
        "its signature is not of this file by this key: it was changed since it was signed, or signed by another",
      );
    const parsed = schema.safeParse(JSON.parse(bytes.toString("utf8")));
    if (parsed.success) return new ImagePolicy(parsed.data);
    const issue = parsed.error.issues[0];
    throw new Error(`${issue?.path.join(".") || "policy"}: ${issue?.message}`);
  }

  judge(repository: string, act: Act, actor: Actor): Verdict {
    const found = this.#rules.find(({ fits }) => fits.test(repository));
    if (!found)
      return {
        allowed: this.#otherwise,
        reason: `no rule is for ${repository}`,
        signers: undefined,
      };
    const { rule: one } = found;
    const list = one[act];
    const allowed =
      typeof list === "boolean" ? list : list.includes(actor.id) || list.includes(`role:${actor.role ?? ""}`);
    const signers = one.signedBy?.flatMap((name) => {
      const known = this.#keys.get(name);
      return known && !known.revoked ? [{ name, key: known.key }] : [];
    });
    return { allowed, reason: `rule for ${one.repository}`, signers: act === "push" ? undefined : signers };
  }
}
