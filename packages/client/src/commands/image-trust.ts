// tsctl image verify, image sign, trust keygen, trust sign: what shows that images and policies are whose they say they are.
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign as signBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { type Command, type Context, forEachArgument, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { authHeader, CredentialStore } from "../registry/credentials.ts";
import { registryOf } from "../registry/names.ts";

function readKey(path: string | undefined): KeyObject {
  if (!path) throw new UsageError("--key: the private key's file is needed", 1);
  const text = readFileSync(path, "utf8");
  const passphrase = process.env.TSD_KEY_PASSPHRASE;
  try {
    return createPrivateKey(passphrase ? { key: text, passphrase } : text);
  } catch (error) {
    throw new Error(
      text.includes("ENCRYPTED")
        ? `${path}: needs its passphrase in TSD_KEY_PASSPHRASE`
        : `${path}: not a private key in PEM: ${(error as Error).message}`,
    );
  }
}

const signature = (bytes: Buffer, key: KeyObject): string =>
  signBytes(key.asymmetricKeyType === "ed25519" ? null : "sha256", bytes, key).toString("base64");

export const verify: Command = (words, context) => {
  const flags = parseFlags(words, { quiet: ["bool", "q"], format: ["text"] });
  expectArguments(flags, "image verify", 1);
  return forEachArgument(flags.args, context, async (name) => {
    const examination = await context.client.images.verify(name);
    if (flags.text("format") === "json") await print(JSON.stringify(examination));
    else if (!flags.bool("quiet"))
      for (const { Kind, Digest, Problem } of examination.Findings)
        await print(`${Problem ? "BAD" : "ok "} ${Kind.padEnd(8)} ${Digest}${Problem ? `  ${Problem}` : ""}`);
    if (!examination.Intact) throw new Error(`${name}: not intact`);
    return flags.text("format") === "json" ? undefined : `${name}: intact`;
  });
};

/** What cosign signs (its signature specification): which image is meant, by its manifest's digest. */
const payloadFor = (repository: string, digest: string): Buffer =>
  Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": repository },
        image: { "docker-manifest-digest": digest },
        type: "cosign container image signature",
      },
      optional: null,
    }),
  );

async function signImage(name: string, key: KeyObject, context: Context): Promise<string> {
  const RepoDigests = (await context.client.images.inspect(name)).RepoDigests as string[] | null;
  const bare = name.replace(/@.*$/, "").replace(/:[^/:]*$/, "");
  const known = RepoDigests?.find((one) => one.replace(/@.*$/, "") === bare) ?? RepoDigests?.[0];
  const [repository = "", digest = ""] = known?.split("@") ?? [];
  if (!digest) throw new Error(`${name}: is in no registry yet: push it first`);
  const payload = payloadFor(repository, digest);
  const registry = registryOf(repository);
  await context.client.images.sign(
    name,
    { Digest: digest, Payload: payload.toString("base64"), Signature: signature(payload, key) },
    authHeader(registry, await new CredentialStore(context.settings).get(registry)),
  );
  return `${repository}@${digest}`;
}

export const sign: Command = (words, context) => {
  const flags = parseFlags(words, { key: ["text"] });
  expectArguments(flags, "image sign", 1);
  const key = readKey(flags.text("key"));
  return forEachArgument(flags.args, context, (name) => signImage(name, key, context));
};

export const keygen: Command = async (words) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "trust keygen", 1, 1);
  const [name = ""] = flags.args;
  const passphrase = process.env.TSD_KEY_PASSPHRASE;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({
    type: "pkcs8",
    format: "pem",
    ...(passphrase ? { cipher: "aes-256-cbc", passphrase } : {}),
  });
  writeFileSync(`${name}.key`, pem, { mode: 0o600, flag: "wx" });
  writeFileSync(`${name}.pub`, publicKey.export({ type: "spki", format: "pem" }), { flag: "wx" });
  await print(`${name}.key\n${name}.pub`);
  return 0;
};

export const signFile: Command = (words, context) => {
  const flags = parseFlags(words, { key: ["text"] });
  expectArguments(flags, "trust sign", 1);
  const key = readKey(flags.text("key"));
  return forEachArgument(flags.args, context, async (path) => {
    writeFileSync(`${path}.sig`, `${signature(readFileSync(path), key)}\n`);
    return `${path}.sig`;
  });
};
