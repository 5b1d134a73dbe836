// The end of a container that does not end by itself.

import type { ContainerLifecycle } from "./lifecycle.ts";
import type { Container } from "./registry.ts";

const SIGKILL = 9;
const LOOK_AGAIN_MILLISECONDS = 100;

/** Kills a running container and waits for its end. A pause that was on its way freezes it with the signal pending: then it
 * is thawed, and killed again. */
export async function killAndWait(lifecycle: ContainerLifecycle, container: Container): Promise<void> {
  const exited = container.nextExit();
  lifecycle.signal(container, SIGKILL, true);
  const timer = setInterval(() => {
    if (container.alive && container.paused) lifecycle.signal(container, SIGKILL, true);
  }, LOOK_AGAIN_MILLISECONDS);
  await exited.finally(() => clearInterval(timer));
}
