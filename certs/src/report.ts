// What the commands print: tables as docker's, and sentences.
import { join } from "node:path";
import { shortSerial } from "./certificate-index.ts";
import type { ListedCertificate, VerifiedCertificate } from "./inspect.ts";
import type { IssueResult } from "./issue.ts";

export const day = (date: Date | string): string => new Date(date).toISOString().slice(0, 10);

/** Columns as wide as their widest cell, three spaces apart. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) => row.map((cell, column) => cell.padEnd((widths[column] ?? 0) + 3)).join(""))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

function statusText({ status, daysLeft, revoked }: ListedCertificate): string {
  if (status === "expiring") return `expires in ${plural(daysLeft, "day")}`;
  return revoked ? `revoked (${revoked.reason})` : status;
}

export const listTable = (certificates: readonly ListedCertificate[]): string =>
  table([
    ["KIND", "NAME", "ROLE", "SERIAL", "EXPIRES", "STATUS"],
    ...certificates.map((entry) => [
      entry.kind,
      entry.name,
      entry.role ?? "",
      shortSerial(entry.serial),
      day(entry.notAfter),
      statusText(entry),
    ]),
  ]);

/** One object a line, as docker's --format json. */
export const listJson = (certificates: readonly ListedCertificate[]): string =>
  certificates.map((entry) => `${JSON.stringify(entry)}\n`).join("");

export function verifyText(certificate: VerifiedCertificate): string {
  const { file, subject, usage, serial, notAfter, problems } = certificate;
  const verdict = problems.length > 0 ? problems.join(", ") : "good";
  return `${file}: ${verdict}\n  ${subject}; for ${usage.join(" and ") || "neither server nor client"}; serial ${shortSerial(serial)}; ends ${day(notAfter)}\n`;
}

export function issueText({ entry, path, shortened }: IssueResult): string {
  const role = entry.role === undefined ? "" : `, role ${entry.role}`;
  const end = `ends ${day(entry.notAfter)}${shortened ? " as the authority does" : ""}`;
  const use =
    entry.kind === "server"
      ? `  daemon: --tlscacert ${join(path, "../ca.pem")} --tlscert ${path}/cert.pem --tlskey ${path}/key.pem\n`
      : `  client: DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=${path}\n`;
  const names = entry.names.length > 0 ? `  names: ${entry.names.join(", ")}\n` : "";
  return `${entry.kind} ${entry.name}${role}: serial ${shortSerial(entry.serial)}, ${end}\n${names}${use}`;
}
