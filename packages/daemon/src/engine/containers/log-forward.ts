// The log drivers syslog and journald: where a container's lines go besides its own log, and what goes with them.
import { isIP } from "node:net";
import type { LogForwardSpec } from "../../runtime/spec.ts";
import { invalid } from "../errors.ts";
import { extras, type LoggedContainer, type LogOptionValues, tagOf } from "./log-attributes.ts";

const JOURNAL_SOCKET = "/run/systemd/journal/socket";
const SYSLOG_SOCKET = "/dev/log";
const SYSLOG_PORT = 514;

/** syslog(3)'s facilities by their names. */
const facilities: readonly string[] = [
  ..."kern user mail daemon auth syslog lpr news uucp cron authpriv ftp".split(" "),
  ...["", "", "", ""],
  ..."local0 local1 local2 local3 local4 local5 local6 local7".split(" "),
];
const formats = { "": "syslog", rfc3164: "rfc3164", rfc5424: "rfc5424", rfc5424micro: "rfc5424" } as const;

export const forwardOptions: Readonly<Record<string, readonly string[]>> = {
  syslog: [
    ..."syslog-address syslog-facility syslog-format tag labels labels-regex env env-regex".split(" "),
  ],
  journald: [..."tag labels labels-regex env env-regex".split(" ")],
};

function syslogAddress(text: string | undefined): Pick<LogForwardSpec, "protocol" | "address"> {
  if (!text) return { protocol: "unix-datagram", address: SYSLOG_SOCKET };
  const url = /^(unixgram|unix|udp|tcp):\/\/(.+)$/.exec(text);
  const [, scheme, rest = ""] = url ?? [];
  if (!scheme) throw invalid(`invalid syslog-address: ${text}: neither unixgram, unix, udp nor tcp`);
  if (scheme === "unix" || scheme === "unixgram")
    return { protocol: scheme === "unix" ? "unix-stream" : "unix-datagram", address: rest };
  const host = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(rest);
  const address = host?.[1] ?? host?.[2] ?? "";
  if (isIP(address) === 0) throw invalid(`invalid syslog-address: ${text}: the host must be an IP address`);
  return { protocol: scheme === "udp" ? "udp" : "tcp", address: `${address} ${host?.[3] ?? SYSLOG_PORT}` };
}

function facilityNumber(text: string | undefined): number {
  if (!text) return facilities.indexOf("daemon");
  const number = /^\d+$/.test(text) ? Number(text) : facilities.indexOf(text);
  if (number < 0 || number > 23 || text === "") throw invalid(`invalid syslog facility: ${text}`);
  return number;
}

/** Where a container's lines go; undefined for drivers that only keep files. Throws for what can't be. */
export function logForward(
  driver: string,
  options: LogOptionValues,
  container: LoggedContainer,
): LogForwardSpec | undefined {
  if (driver === "syslog") {
    const format = formats[(options["syslog-format"] ?? "") as keyof typeof formats];
    if (!format) throw invalid(`Invalid syslog format: ${options["syslog-format"]}`);
    return {
      ...syslogAddress(options["syslog-address"]),
      format,
      tag: tagOf(options.tag ?? "", container),
      facility: facilityNumber(options["syslog-facility"]),
      fields: [],
    };
  }
  if (driver !== "journald") return undefined;
  const tag = tagOf(options.tag ?? "", container);
  // journald's field names are upper case letters, digits and underscores.
  const field = (name: string): string =>
    name
      .toUpperCase()
      .replace(/[^A-Z0-9]/g, "_")
      .replace(/^_+/, "");
  return {
    protocol: "unix-datagram",
    address: JOURNAL_SOCKET,
    format: "journal",
    tag,
    facility: 0,
    fields: [
      `CONTAINER_ID=${container.id.slice(0, 12)}`,
      `CONTAINER_ID_FULL=${container.id}`,
      `CONTAINER_NAME=${container.name}`,
      `CONTAINER_TAG=${tag}`,
      `IMAGE_NAME=${container.image}`,
      `SYSLOG_IDENTIFIER=${tag}`,
      ...extras(options, container).map(([name, value]) => `${field(name)}=${value.replaceAll("\n", " ")}`),
    ],
  };
}
