// Sockets that systemd opened for us (sd_listen_fds(3)).
import { closeOnExec } from "@tsd/kernel-bindings";

const FIRST = 3;

/** The descriptors that were handed over; nothing where there are none, or they are another process's. */
export function passedDescriptors(environment: NodeJS.ProcessEnv, pid: number): number[] {
  const { LISTEN_PID, LISTEN_FDS } = environment;
  // Whom we start is not to take them for its own.
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  if (Number(LISTEN_PID) !== pid) return [];
  const descriptors = Array.from({ length: Number(LISTEN_FDS) || 0 }, (_, index) => FIRST + index);
  for (const descriptor of descriptors) closeOnExec(descriptor);
  return descriptors;
}
