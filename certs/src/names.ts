// What may stand in a certificate: names, roles, units, alternative names, numbers of days and bits; each refused by name.
import { isIP } from "node:net";
import { CertificatesError } from "./errors.ts";

/** The daemon reads a client's role from the organizational unit that starts with this. */
export const ROLE_PREFIX = "tsd:";

/** X.520's upper bound for common names and organizational units, in characters. */
const NAME_LIMIT = 64;

/** A subject alternative name in OpenSSL's words: "DNS:host", "IP:::1", "email:a@b", "URI:scheme:rest". */
export type AlternativeName = `${"DNS" | "IP" | "email" | "URI"}:${string}`;

const refuse = (what: string, value: string, why: string): never => {
  throw new CertificatesError(`${what} "${value}": ${why}`);
};

const hasControlCharacter = (text: string): boolean => /\p{C}/u.test(text);

/** A common name or unit. Control characters would forge lines where subjects are printed one attribute a line. */
export function checkText(what: string, value: string): string {
  if (value.trim() !== value || value === "") refuse(what, value, "is empty or has spaces around it");
  if (hasControlCharacter(value)) refuse(what, value, "has control characters in it");
  if (value.length > NAME_LIMIT) refuse(what, value, `is longer than ${NAME_LIMIT} characters`);
  return value;
}

/** A name that becomes a directory's name too. */
export function checkFileName(what: string, value: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(value))
    refuse(
      what,
      value,
      "must be 1 to 64 letters, digits, '.', '_', '@' or '-', and start with a letter or digit",
    );
  return value;
}

export function checkRole(value: string): string {
  if (!/^[a-z][a-z0-9_-]{0,62}$/.test(value))
    refuse(
      "role",
      value,
      "must be 1 to 63 lower-case letters, digits, '_' or '-', and start with a letter (admin, operator, viewer, …)",
    );
  return value;
}

/** An extra organizational unit; one that would pass for a role is refused, so that --role is the only way to give one. */
export function checkUnit(value: string): string {
  if (value.trimStart().toLowerCase().startsWith(ROLE_PREFIX))
    refuse("unit", value, `starts with "${ROLE_PREFIX}", which is for roles: use --role`);
  return checkText("unit", value);
}

const isLabel = (text: string): boolean => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(text);

function checkHostName(what: string, value: string): string {
  const labels = value.split(".");
  if (!/^[ -~]*$/.test(value)) refuse(what, value, "is not ASCII: write it in its xn-- form");
  if (value.length > 253) refuse(what, value, "is longer than 253 characters");
  const rest = labels[0] === "*" ? labels.slice(1) : labels;
  if (rest.some((label) => label.includes("*")))
    refuse(what, value, "has a wildcard that is not the whole left-most label");
  if (labels[0] === "*" && rest.length < 2)
    refuse(what, value, "is a wildcard without at least two labels after it; clients refuse such");
  const bad = rest.find((label) => !isLabel(label));
  if (bad !== undefined)
    refuse(what, value, `"${bad}" is no label of a DNS name (letters, digits, inner hyphens; at most 63)`);
  if (/^\d+$/.test(rest.at(-1) ?? "")) refuse(what, value, "is neither an IP address nor a DNS name");
  return value.toLowerCase();
}

/** An address in its shortest form, which is what clients compare and what the encoder understands. */
function checkAddress(what: string, value: string): string {
  const family = value.includes("%") ? 0 : isIP(value);
  if (family === 0) refuse(what, value, "is no IP address (zones do not go into certificates)");
  return family === 6 ? new URL(`http://[${value}]/`).hostname.slice(1, -1) : value;
}

/** A server's DNS name or IP address. */
export const serverName = (value: string): AlternativeName =>
  value.includes(":") || isIP(value) !== 0
    ? `IP:${checkAddress("name", value)}`
    : `DNS:${checkHostName("name", value)}`;

/** A client's alternative name with its kind in front. */
export function clientName(value: string): AlternativeName {
  const what = "alternative name";
  const [, kind, rest = ""] = /^(DNS|IP|email|URI):(.*)$/s.exec(value) ?? [];
  switch (kind) {
    case "DNS":
      return `DNS:${checkHostName(what, rest)}`;
    case "IP":
      return `IP:${checkAddress(what, rest)}`;
    case "email":
      if (!/^[!-?A-~]+@[A-Za-z0-9.-]+$/.test(rest)) refuse(what, value, "is no e-mail address in ASCII");
      return `email:${rest}`;
    case "URI":
      if (!/^[!-~]+$/.test(rest) || !URL.canParse(rest)) refuse(what, value, "is no absolute URI in ASCII");
      return `URI:${rest}`;
    default:
      return refuse(what, value, "must be DNS:name, IP:address, email:address or URI:uri");
  }
}

/** A whole number in a range. */
export function checkNumber(what: string, value: number, minimum: number, maximum: number): number {
  if (!Number.isInteger(value) || value < minimum || value > maximum)
    refuse(what, String(value), `must be a whole number from ${minimum} to ${maximum}`);
  return value;
}

export const checkDays = (value: number): number => checkNumber("days", value, 1, 36_500);
export const checkBits = (value: number): number => checkNumber("bits", value, 2048, 8192);
