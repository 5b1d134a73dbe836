// tsctl certs …: the certificate authority's commands, from a bundle of their own that no other command pays for.
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Certificates from "@tsd/certs";
import type { Command } from "../context.ts";

/** The bundle lies beside tsctl itself, whatever link it was reached through. */
export function loadBundle(): typeof Certificates {
  const executable = realpathSync(process.argv[1] ?? "");
  return createRequire(executable)("./certs.cjs");
}

export const certs: Command = async (words) => {
  const { processIo, run } = loadBundle();
  return run(words, processIo());
};
