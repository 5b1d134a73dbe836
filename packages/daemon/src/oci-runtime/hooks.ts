// Hooks of a bundle: programs of the host's that are told of a container's life on their stdin.
import { spawnSync } from "node:child_process";
import type { HookKind, OciConfig } from "../api/oci-config.ts";
import { BundleError } from "./specify.ts";

/** Those that run in the container's namespaces would have to run in the middle of our plan. */
const notBuilt = ["createContainer", "startContainer"] as const;

export function checkHooks(config: OciConfig): void {
  const found = notBuilt.find((kind) => config.hooks?.[kind]?.length);
  if (found) throw new BundleError(`hooks.${found}: not built; createRuntime, poststart and poststop are`);
}

/** Throws for the first that fails. */
export function runHooks(config: OciConfig, kind: HookKind, state: object): void {
  for (const { path, args = [path], env = [], timeout } of config.hooks?.[kind] ?? []) {
    const variables = env.map((entry) => [entry.split("=")[0], entry.slice(entry.indexOf("=") + 1)]);
    const { status, error, stderr } = spawnSync(path, args.slice(1), {
      argv0: args[0],
      input: JSON.stringify(state),
      env: Object.fromEntries(variables) as NodeJS.ProcessEnv,
      stdio: ["pipe", "ignore", "pipe"],
      ...(timeout ? { timeout: timeout * 1000 } : {}),
    });
    if (error || status !== 0)
      throw new BundleError(
        `hook ${kind} ${path}: ${error?.message ?? `status ${status}: ${stderr.toString().trim()}`}`,
      );
  }
}
