// Monitor: where it listens, the streams it holds, the log it writes.
import type { Step } from "@tsd/kernel-bindings";
import type { ContainerSpec, NamespaceChoices, ProcessSpec, StreamsSpec } from "../spec.ts";
import { hostUser } from "../user-namespace.ts";

interface Served {
  socket: string;
  exitRecord: string;
  streams: StreamsSpec;
  namespaces: Pick<NamespaceChoices, "user">;
  process: Pick<ProcessSpec, "user">;
}

/** The streams are the user's, who may open /dev/stdout again. */
export const serveSteps = (spec: Served): Step[] => [
  { op: "serve", socket: spec.socket, exit: spec.exitRecord },
  { op: "stdio", ...spec.streams, owner: hostUser(spec.namespaces.user, spec.process.user.uid) },
];

/** The numbers of launcher/forward.h. */
const protocols = ["unix-datagram", "unix-stream", "udp", "tcp"];
const formats = ["syslog", "rfc3164", "rfc5424", "journal"];

export const logSteps = (spec: ContainerSpec): Step[] => [
  ...(spec.log ? [{ op: "log", ...spec.log } as const] : []),
  ...(spec.forward
    ? [
        {
          op: "log.forward",
          ...spec.forward,
          protocol: protocols.indexOf(spec.forward.protocol),
          format: formats.indexOf(spec.forward.format),
        } as const,
      ]
    : []),
];
