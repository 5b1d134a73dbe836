// System containers: a whole small system with an init of its own. What such a container is given that was not asked for.
import { closeSync } from "node:fs";
import { posix } from "node:path";
import type { ContainerConfig } from "../../api/schemas/container-create.ts";
import { followLinks } from "../../runtime/path.ts";
import { openLayers } from "../../runtime/rootview.ts";

const INIT = "/sbin/init";

/** How known inits are told to bring their systems down, by the program that /sbin/init leads to. */
const stopSignals: Readonly<Record<string, string>> = {
  systemd: "SIGRTMIN+3", // systemd(1): starts halt.target
  busybox: "SIGUSR2", // busybox init: poweroff
  "openrc-init": "SIGTERM",
  "runit-init": "SIGCONT",
};
const OTHER_STOP_SIGNAL = "SIGPWR"; // sysvinit, and what LXC takes

/** The configuration with an init for its command, the init's own signal for a clean shutdown, and a console. What the
 * request says stays. */
export function systemDefaults(
  config: ContainerConfig,
  asked: { command: boolean; stopSignal: boolean },
  layers: readonly string[],
): ContainerConfig {
  const command = asked.command ? [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])] : [INIT];
  return {
    ...config,
    Entrypoint: asked.command ? config.Entrypoint : null,
    Cmd: asked.command ? config.Cmd : command,
    StopSignal: asked.stopSignal ? config.StopSignal : initStopSignal(layers, command[0] ?? INIT),
    Tty: true,
    OpenStdin: true,
    // systemd and others learn from it that they are in a container.
    Env: [...(config.Env ?? []).filter((entry) => !entry.startsWith("container=")), "container=tsd"],
  };
}

function initStopSignal(layers: readonly string[], init: string): string {
  const root = openLayers(layers);
  try {
    const program = posix.basename(followLinks(root, init));
    return stopSignals[program] ?? OTHER_STOP_SIGNAL;
  } finally {
    closeSync(root);
  }
}
