// The log drivers syslog and journald: where a container's lines go besides its own log, and what goes with them.
import { isIP } from "node:net";
import type { LogForwardSpec } from "../../runtime/spec.ts";
import { invalid } from "../errors.ts";

/** What a driver may know of a container. */
export interface LoggedContainer {
  id: string;
  name: string;
  image: string;
  imageId: string;
  labels: Readonly<Record<string, string>>;
  environment: readonly string[];
}

type Options = Readonly<Record<string, string>>;

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

/** The tag's template, with what Docker's templates are mostly asked for. */
function tagOf(template: string, container: LoggedContainer): string {
  const values: Readonly<Record<string, string>> = {
    ID: container.id.slice(0, 12),
    FullID: container.id,
    Name: container.name,
    ImageName: container.image,
    ImageID: container.imageId.replace("sha256:", "").slice(0, 12),
    ImageFullID: container.imageId,
    DaemonName: "docker",
  };
  return (template || "{{.ID}}").replace(/\{\{\s*\.(\w+)\s*\}\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) throw invalid(`invalid log opt tag: no field ${name} in ${whole}`);
    return value;
  });
}

/** Labels and variables that were asked for, by name or by pattern. */
function extras(options: Options, container: LoggedContainer): [name: string, value: string][] {
  const chosen = (names: string | undefined, pattern: string | undefined) => (name: string) =>
    (names ?? "").split(",").includes(name) || (pattern !== undefined && new RegExp(pattern).test(name));
  const variables = container.environment.map((entry): [string, string] => {
    const at = entry.indexOf("=");
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  const label = chosen(options.labels, options["labels-regex"]);
  const variable = chosen(options.env, options["env-regex"]);
  return [
    ...Object.entries(container.labels).filter(([name]) => label(name)),
    ...variables.filter(([name]) => variable(name)),
  ];
}

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
  options: Options,
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
