// Where an authority's passphrase comes from: a file, the environment, or whoever sits at the terminal.
import { readFileSync } from "node:fs";
import { CertificatesError, errorText } from "./errors.ts";

export interface PassphraseSource {
  env: Readonly<Record<string, string | undefined>>;
  /** Asks without showing what is typed; undefined where there is no terminal. */
  prompt?: ((question: string) => Promise<string>) | undefined;
}

function fromFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CertificatesError(`cannot read the passphrase file ${path}: ${errorText(error)}`, {
      cause: error,
    });
  }
  const [line = ""] = text.split(/\r?\n/, 1);
  if (line === "") throw new CertificatesError(`the passphrase file ${path}: its first line is empty`);
  return line;
}

/** A passphrase that was given in advance. */
const given = (source: PassphraseSource, file: string | undefined): string | undefined =>
  file === undefined ? source.env.TSD_CA_PASSPHRASE || undefined : fromFile(file);

/** The passphrase of a key that is there; undefined when nobody knows it. */
export async function knownPassphrase(
  source: PassphraseSource,
  file: string | undefined,
): Promise<string | undefined> {
  return given(source, file) ?? source.prompt?.("Passphrase of the authority's key: ");
}

/** The passphrase for a new key: with `ask`, typed twice unless it was given. Throws when the two differ. */
export async function newPassphrase(
  source: PassphraseSource,
  file: string | undefined,
  ask: boolean,
): Promise<string | undefined> {
  const known = given(source, file);
  if (known !== undefined || !ask) return known;
  if (!source.prompt) throw new CertificatesError("--passphrase asks on a terminal, and there is none");
  const first = await source.prompt("New passphrase for the authority's key: ");
  if (first === "") throw new CertificatesError("the passphrase is empty");
  if (first !== (await source.prompt("Again: "))) throw new CertificatesError("the two passphrases differ");
  return first;
}
