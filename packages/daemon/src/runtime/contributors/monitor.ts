// Monitor: where it listens, the streams it holds, the log it writes.
import type { Step } from "@tsd/kernel-bindings";
import type { ContainerSpec, StreamsSpec } from "../spec.ts";

export const serveSteps = (spec: { socket: string; exitRecord: string; streams: StreamsSpec }): Step[] => [
  { op: "serve", socket: spec.socket, exit: spec.exitRecord },
  { op: "stdio", ...spec.streams },
];

export const logSteps = (spec: ContainerSpec): Step[] => (spec.log ? [{ op: "log", ...spec.log }] : []);
