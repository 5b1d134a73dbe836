// The system calls of a container that was created with SeccompTrace, as the API shows them.
import { readFile } from "node:fs/promises";
import type { SeccompTrace } from "../../api/types.ts";
import { parseTrace, tightestProfile } from "../../runtime/seccomp/trace.ts";
import { conflict } from "../errors.ts";
import type { Container } from "./registry.ts";

/** The calls of its last life, and the profile that lets just them through. Throws while there is no whole trace. */
export async function readTrace(container: Container, path: string): Promise<SeccompTrace> {
  if (!container.record.definition.hostConfig.SeccompTrace)
    throw conflict(`container ${container.id} was not created with SeccompTrace`);
  if (container.running)
    throw conflict(`container ${container.id} still runs: its trace is written at its end`);
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw conflict(`container ${container.id} has not run`);
  });
  const calls = parseTrace(text);
  return {
    Calls: calls.map(({ name, number, architecture, count }) => ({
      Name: name,
      Number: number,
      Architecture: architecture,
      Count: count,
    })),
    Profile: tightestProfile(calls),
  };
}
