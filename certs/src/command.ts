// The command line: tsctl certs …, and certs/bin/certs.
import { hostname } from "node:os";
import { resolve } from "node:path";
import { type Access, authorityPaths, defaultDirectory } from "./authority.ts";
import { describe } from "./certificate-index.ts";
import { CertificatesError, errorText, UsageError } from "./errors.ts";
import { expectArguments, type FlagTable, type ParsedFlags, parseFlags } from "./flags.ts";
import { commandHelp, usage } from "./help.ts";
import { DEFAULT_AUTHORITY_DAYS, initAuthority } from "./init.ts";
import { listCertificates, verifyCertificates } from "./inspect.ts";
import { issueClient, issueServer, renew, renewAuthority } from "./issue.ts";
import { knownPassphrase, newPassphrase, type PassphraseSource } from "./passphrase.ts";
import { day, issueText, listJson, listTable, verifyText } from "./report.ts";
import { checkReason, refreshCrl, revoke } from "./revoke.ts";

export interface CommandIo extends PassphraseSource {
  stdout(text: string): void;
  stderr(text: string): void;
}

interface Invocation {
  flags: ParsedFlags;
  io: CommandIo;
  directory: string;
  access: Access;
}

interface Subcommand {
  table: FlagTable;
  run(invocation: Invocation): Promise<number>;
}

const text = { type: "string" } as const;
const list = { type: "string", multiple: true } as const;
const bool = { type: "boolean" } as const;
const withDirectory = { dir: text, help: { type: "boolean", short: "h" } } as const;
const withKey = { ...withDirectory, "passphrase-file": text } as const;
const withLeaf = { ...withKey, days: text, bits: text, force: bool } as const;

const init: Subcommand = {
  table: { ...withLeaf, name: text, passphrase: bool },
  async run({ flags, io, directory }) {
    expectArguments(flags, "init", 0);
    const passphrase = await newPassphrase(io, flags.text("passphrase-file"), flags.bool("passphrase"));
    const { entry, crlEnd, movedTo } = await initAuthority({
      directory,
      name: flags.text("name") ?? `tsd authority ${hostname()}`.slice(0, 64),
      days: flags.integer("days"),
      bits: flags.integer("bits"),
      passphrase,
      force: flags.bool("force"),
    });
    const paths = authorityPaths(directory);
    if (movedTo) io.stdout(`the former authority is in ${movedTo}\n`);
    io.stdout(`authority ${entry.name}: ends ${day(entry.notAfter)}
  certificate: ${paths.certificate}
  key: ${paths.key}${passphrase === undefined ? " (not encrypted)" : " (encrypted)"}
  revocation list: ${paths.crl} (ends ${day(crlEnd)})
`);
    return 0;
  },
};

const leafOptions = ({ flags, access }: Invocation) => ({
  ...access,
  days: flags.integer("days"),
  bits: flags.integer("bits"),
  force: flags.bool("force"),
});

const server: Subcommand = {
  table: { ...withLeaf, name: text },
  async run(invocation) {
    const { flags, io } = invocation;
    expectArguments(flags, "server", 1, Number.POSITIVE_INFINITY);
    const options = { ...leafOptions(invocation), names: flags.args, name: flags.text("name") };
    io.stdout(issueText(await issueServer(options)));
    return 0;
  },
};

const client: Subcommand = {
  table: { ...withLeaf, role: text, ou: list, san: list },
  async run(invocation) {
    const { flags, io } = invocation;
    expectArguments(flags, "client", 1);
    const [name = ""] = flags.args;
    const options = {
      ...leafOptions(invocation),
      name,
      role: flags.text("role"),
      units: flags.list("ou"),
      names: flags.list("san"),
    };
    io.stdout(issueText(await issueClient(options)));
    return 0;
  },
};

const revokeCommand: Subcommand = {
  table: { ...withKey, reason: text },
  async run({ flags, io, access }) {
    expectArguments(flags, "revoke", 1);
    const [target = ""] = flags.args;
    const reason = flags.text("reason");
    const result = await revoke({
      ...access,
      target,
      reason: reason === undefined ? undefined : checkReason(reason),
    });
    for (const entry of result.revoked) io.stdout(`revoked ${describe(entry)}\n`);
    for (const { revoked, ...entry } of result.already)
      io.stdout(`${describe(entry)} was revoked already, ${revoked?.at} (${revoked?.reason})\n`);
    if (result.crl) io.stdout(`revocation list ${result.crl.number}: ${result.crl.path}\n`);
    return 0;
  },
};

const renewCommand: Subcommand = {
  table: { ...withKey, days: text, bits: text, server: bool, name: text, ca: bool, "revoke-old": bool },
  async run({ flags, io, access, directory }) {
    const [isServer, isAuthority] = [flags.bool("server"), flags.bool("ca")];
    if (isServer && isAuthority) throw new UsageError("--server and --ca are two renewals");
    if (flags.text("name") !== undefined && !isServer)
      throw new UsageError("--name says which --server: a client's name is an argument");
    expectArguments(flags, "renew", isServer || isAuthority ? 0 : 1);
    const [name = ""] = flags.args;
    if (isAuthority) {
      if (flags.bool("revoke-old") || flags.text("bits") !== undefined)
        throw new UsageError("--ca keeps its key, and no authority revokes itself");
      const entry = await renewAuthority({
        ...access,
        days: flags.integer("days") ?? DEFAULT_AUTHORITY_DAYS,
      });
      io.stdout(
        `authority ${entry.name}: ends ${day(entry.notAfter)}\n  certificate: ${authorityPaths(directory).certificate}\n`,
      );
      return 0;
    }
    const result = await renew({
      ...access,
      target: isServer ? { server: flags.text("name") } : { client: name },
      days: flags.integer("days"),
      bits: flags.integer("bits"),
      revokeOld: flags.bool("revoke-old"),
    });
    io.stdout(issueText(result));
    for (const entry of result.old)
      io.stdout(
        flags.bool("revoke-old")
          ? `revoked ${describe(entry)}\n`
          : `${describe(entry)} stays good until ${day(entry.notAfter)}\n`,
      );
    return 0;
  },
};

const crl: Subcommand = {
  table: withKey,
  async run({ flags, io, access }) {
    expectArguments(flags, "crl", 0);
    const { path, number, nextUpdate, revoked } = await refreshCrl(access);
    io.stdout(`revocation list ${number}: ${path}, ${revoked} revoked, ends ${day(nextUpdate)}\n`);
    return 0;
  },
};

const listCommand: Subcommand = {
  table: { ...withDirectory, format: text, expiring: text },
  async run({ flags, io, directory }) {
    expectArguments(flags, "list", 0);
    const format = flags.text("format") ?? "table";
    if (format !== "table" && format !== "json")
      throw new UsageError(`--format "${format}": must be table or json`);
    const result = listCertificates({ directory, expiring: flags.integer("expiring") });
    io.stdout(format === "json" ? listJson(result.certificates) : listTable(result.certificates));
    if (result.crlProblem)
      io.stderr(`${authorityPaths(directory).crl} ${result.crlProblem}: "certs crl" makes a new one\n`);
    return 0;
  },
};

const verify: Subcommand = {
  table: withDirectory,
  async run({ flags, io, directory }) {
    expectArguments(flags, "verify", 1, Number.POSITIVE_INFINITY);
    const results = verifyCertificates({ directory, files: flags.args });
    for (const result of results) io.stdout(verifyText(result));
    return results.some((result) => result.problems.length > 0) ? 1 : 0;
  },
};

const subcommands: Readonly<Record<string, Subcommand>> = {
  init,
  server,
  client,
  revoke: revokeCommand,
  renew: renewCommand,
  crl,
  list: listCommand,
  ls: listCommand,
  verify,
};

async function dispatch(words: readonly string[], io: CommandIo): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.stdout(usage);
    return 0;
  }
  const subcommand = Object.hasOwn(subcommands, name) ? subcommands[name] : undefined;
  if (!subcommand)
    throw new UsageError(name.startsWith("-") ? `unknown flag: ${name}` : `unknown command: certs ${name}`);
  const flags = parseFlags(rest, subcommand.table);
  if (flags.bool("help")) {
    io.stdout(commandHelp[name === "ls" ? "list" : name] ?? usage);
    return 0;
  }
  const directory = resolve(flags.text("dir") ?? defaultDirectory(io.env.HOME));
  const passphrase = (): Promise<string | undefined> => knownPassphrase(io, flags.text("passphrase-file"));
  return subcommand.run({ flags, io, directory, access: { directory, passphrase } });
}

/** Runs a command. Its exit status: 0, 1 for a failure, 125 for words that are wrong. */
export async function run(words: readonly string[], io: CommandIo): Promise<number> {
  try {
    return await dispatch(words, io);
  } catch (error) {
    const isUsage = error instanceof UsageError;
    io.stderr(
      `certs: ${errorText(error)}\n${isUsage ? `\nRun 'tsctl certs --help' for more information\n` : ""}`,
    );
    // What nobody foresaw is told with its place.
    if (!(error instanceof CertificatesError) && io.env.TSD_DEBUG && error instanceof Error)
      io.stderr(`${error.stack}\n`);
    return isUsage ? 125 : 1;
  }
}
