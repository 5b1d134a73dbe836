// Issues certificates to servers and clients, and renews them and the authority's own.
import { createPublicKey } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import forge from "node-forge";
import { type Access, type Authority, applyChange, withAuthority } from "./authority.ts";
import { type IssuedCertificate, isLive } from "./certificate-index.ts";
import { CertificatesError } from "./errors.ts";
import {
  CERTIFICATE_MODE,
  DIRECTORY_MODE,
  KEY_MODE,
  type Staged,
  stageDirectory,
  stageFile,
} from "./files.ts";
import { makeEntry } from "./init.ts";
import { type KeyPair, makeKeyPair, privateKeyPem } from "./keys.ts";
import {
  type AlternativeName,
  checkDays,
  checkFileName,
  checkRole,
  checkText,
  checkUnit,
  clientName,
  serverName,
} from "./names.ts";
import { DAY_MS, makeSubject, newSerial, roleUnit, signAuthority, signLeaf, validityFrom } from "./x509.ts";

export const DEFAULT_DAYS = 397;
export const DEFAULT_BITS = 2048;

interface LeafOptions extends Access {
  days?: number | undefined;
  bits?: number | undefined;
  /** Replaces the files that are there; the certificate they hold stays good until it is revoked. */
  force?: boolean | undefined;
}

export interface ServerOptions extends LeafOptions {
  /** DNS names and IP addresses; the first is the common name too. */
  names: readonly string[];
  /** Another server's than the one in "server": its files go to "server-NAME". */
  name?: string | undefined;
}

export interface ClientOptions extends LeafOptions {
  name: string;
  role?: string | undefined;
  units?: readonly string[] | undefined;
  /** With their kinds: "DNS:host", "IP:::1", "email:a@b", "URI:scheme:rest". */
  names?: readonly string[] | undefined;
}

export interface IssueResult {
  entry: IssuedCertificate;
  /** Where ca.pem, cert.pem and key.pem are. */
  path: string;
  /** Whether it ends sooner than asked for, because the authority does. */
  shortened: boolean;
}

/** What a certificate says of its holder; renewing keeps all of it. */
type Identity = Pick<IssuedCertificate, "kind" | "name" | "directory" | "units" | "names"> & {
  kind: "server" | "client";
  role?: string | undefined;
};

export const serverDirectory = (name?: string): string =>
  name === undefined ? "server" : `server-${checkFileName("server directory", name)}`;

/** Signs a certificate, and says how its files are staged. */
function makeLeaf(authority: Authority, identity: Identity, pair: KeyPair, days: number) {
  const end = authority.certificate.validity.notAfter;
  if (end <= authority.now)
    throw new CertificatesError(`${authority.paths.certificate}: the authority ended ${end.toISOString()}`);
  const wanted = validityFrom(authority.now, days);
  const shortened = end < wanted.notAfter;
  const serial = newSerial();
  const pem = signLeaf(
    {
      kind: identity.kind,
      subject: makeSubject(identity.name, [
        ...(identity.role === undefined ? [] : [roleUnit(identity.role)]),
        ...identity.units,
      ]),
      names: identity.names,
      publicKey: pair.publicKey,
      validity: { ...wanted, notAfter: shortened ? end : wanted.notAfter },
    },
    serial,
    authority.issuer,
  );
  const entry = makeEntry(pem, { ...identity, serial });
  const path = join(authority.directory, identity.directory);
  const stage = (): Staged =>
    stageDirectory(path, [
      { name: "ca.pem", text: authority.certificatePem, mode: CERTIFICATE_MODE },
      { name: "cert.pem", text: pem, mode: CERTIFICATE_MODE },
      { name: "key.pem", text: privateKeyPem(pair.privateKey), mode: KEY_MODE },
    ]);
  return { result: { entry, path, shortened }, stage };
}

/** Makes the directory of all clients; its result undoes that. */
function prepareClients(path: string): () => void {
  if (existsSync(path)) return () => undefined;
  mkdirSync(path, { mode: DIRECTORY_MODE });
  return () => rmdirSync(path);
}

async function issue(options: LeafOptions, identity: Identity): Promise<IssueResult> {
  const days = checkDays(options.days ?? DEFAULT_DAYS);
  const pair = await makeKeyPair(options.bits ?? DEFAULT_BITS);
  return withAuthority(options, (authority) => {
    const path = join(authority.directory, identity.directory);
    if (existsSync(path) && !options.force)
      throw new CertificatesError(
        `${path} exists already: renew it, or --force replaces it (the old certificate stays good until it is revoked)`,
      );
    const { result, stage } = makeLeaf(authority, identity, pair, days);
    const removeClients = identity.kind === "client" ? prepareClients(authority.paths.clients) : undefined;
    try {
      applyChange(authority, {
        certificates: [...authority.index.certificates, result.entry],
        stage: [stage],
      });
    } catch (error) {
      removeClients?.();
      throw error;
    }
    return result;
  });
}

/** Issues a server's certificate. Throws for a bad name, files that are there already, or a wrong passphrase. */
export async function issueServer(options: ServerOptions): Promise<IssueResult> {
  const names: AlternativeName[] = [...new Set(options.names.map(serverName))];
  const [first] = names;
  if (first === undefined) throw new CertificatesError("a server needs a DNS name or an IP address");
  return issue(options, {
    kind: "server",
    name: checkText("first name", first.slice(first.indexOf(":") + 1)),
    directory: serverDirectory(options.name),
    units: [],
    names,
  });
}

/** Issues a client's certificate. Throws likewise. */
export async function issueClient(options: ClientOptions): Promise<IssueResult> {
  const name = checkFileName("client name", options.name);
  return issue(options, {
    kind: "client",
    name,
    directory: `clients/${name}`,
    units: (options.units ?? []).map(checkUnit),
    names: [...new Set((options.names ?? []).map(clientName))],
    role: options.role === undefined ? undefined : checkRole(options.role),
  });
}

export interface RenewOptions extends Access {
  /** A client's name, or which server's directory. */
  target: { client: string } | { server: string | undefined };
  /** The old certificate's lifetime if not given. */
  days?: number | undefined;
  bits?: number | undefined;
  /** Revokes the certificates before, as superseded; else they live to their end. */
  revokeOld?: boolean | undefined;
}

export interface RenewResult extends IssueResult {
  /** The certificates before that have not ended. */
  old: IssuedCertificate[];
}

function findIdentity(authority: Authority, directory: string): IssuedCertificate {
  const issued = authority.index.certificates.filter((entry) => entry.directory === directory);
  const last = issued.findLast((entry) => !entry.revoked);
  if (last) return last;
  throw new CertificatesError(
    issued.length > 0
      ? `${directory}: all its certificates are revoked; issue a new one with --force instead`
      : `${directory}: the authority issued no such certificate`,
  );
}

/** A new key and certificate with the same subject, names and role. Throws when there is nothing to renew. */
export async function renew(options: RenewOptions): Promise<RenewResult> {
  const { target } = options;
  const directory =
    "client" in target
      ? `clients/${checkFileName("client name", target.client)}`
      : serverDirectory(target.server);
  if (options.days !== undefined) checkDays(options.days);
  const pair = await makeKeyPair(options.bits ?? DEFAULT_BITS);
  return withAuthority(options, (authority) => {
    const last = findIdentity(authority, directory);
    const lifetime = Math.round((Date.parse(last.notAfter) - Date.parse(last.notBefore)) / DAY_MS);
    const identity: Identity = {
      kind: last.kind === "server" ? "server" : "client",
      name: last.name,
      directory,
      units: last.units,
      names: last.names,
      role: last.role,
    };
    const { result, stage } = makeLeaf(authority, identity, pair, options.days ?? Math.max(1, lifetime));
    const old = authority.index.certificates.filter(
      (entry) => entry.directory === directory && isLive(entry, authority.now),
    );
    const revoked = { at: authority.now.toISOString(), reason: "superseded" };
    const before = authority.index.certificates.map((entry) =>
      options.revokeOld && old.includes(entry) ? { ...entry, revoked } : entry,
    );
    const removeClients = identity.kind === "client" ? prepareClients(authority.paths.clients) : undefined;
    try {
      applyChange(authority, { certificates: [...before, result.entry], stage: [stage] });
    } catch (error) {
      removeClients?.();
      throw error;
    }
    return { ...result, old };
  });
}

/** Directories that hold a copy of the authority's certificate. */
function copies(authority: Authority): string[] {
  const { directory, paths } = authority;
  const servers = readdirSync(directory).filter((name) => name === "server" || name.startsWith("server-"));
  const clients = existsSync(paths.clients) ? readdirSync(paths.clients) : [];
  return [
    ...servers.map((name) => join(directory, name)),
    ...clients.map((name) => join(paths.clients, name)),
  ].filter((path) => existsSync(join(path, "ca.pem")));
}

/**
 * A new certificate for the authority, with its same key: what it issued stays good. The copies in its directory are
 * replaced; those elsewhere have to be by hand.
 */
export async function renewAuthority(options: Access & { days: number }): Promise<IssuedCertificate> {
  const days = checkDays(options.days);
  return withAuthority(options, (authority) => {
    const serial = newSerial();
    const { subject, key } = authority.issuer;
    const publicKey = forge.pki.publicKeyFromPem(
      createPublicKey(authority.key).export({ type: "spki", format: "pem" }).toString(),
    );
    const pem = signAuthority(subject, publicKey, validityFrom(authority.now, days), key, serial);
    const name = authority.index.certificates.find((entry) => entry.kind === "ca")?.name ?? "";
    const entry = makeEntry(pem, { serial, kind: "ca", name, directory: "", units: [], names: [] });
    const renewed: Authority = { ...authority, certificate: forge.pki.certificateFromPem(pem) };
    applyChange(renewed, {
      certificates: [...authority.index.certificates, entry],
      newCrl: true,
      stage: [authority.paths.certificate, ...copies(authority).map((path) => join(path, "ca.pem"))].map(
        (path) => () => stageFile(path, pem, CERTIFICATE_MODE),
      ),
    });
    return entry;
  });
}
