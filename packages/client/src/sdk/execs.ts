// The SDK's execs: further processes in a running container.
import type { ExecCreateRequest, ExecInspect } from "@tsd/daemon/api";
import type { AttachedStream, Channel } from "./channel.ts";

/** Execs, by the id that `create` gave. */
export class Execs {
  readonly #channel: Channel;
  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Prepares a process in a container. */
  create(container: string, body: ExecCreateRequest): Promise<{ Id: string }> {
    return this.#channel.json({
      method: "POST",
      path: `/containers/${encodeURIComponent(container)}/exec`,
      body,
    });
  }

  /** Starts it, and connects to its streams. */
  start(id: string, body: { Tty: boolean; ConsoleSize?: [number, number] }): Promise<AttachedStream> {
    return this.#channel.attach({ path: `/exec/${id}/start`, body: { Detach: false, ...body } });
  }

  /** Starts it in the background. */
  startDetached(id: string): Promise<void> {
    return this.#channel.done({
      method: "POST",
      path: `/exec/${id}/start`,
      body: { Detach: true, Tty: false },
    });
  }

  /** Tells its terminal its size. */
  resize(id: string, rows: number, columns: number): Promise<void> {
    return this.#channel.done({ method: "POST", path: `/exec/${id}/resize?h=${rows}&w=${columns}` });
  }

  /** What is known of it, its exit code among that. */
  inspect(id: string): Promise<ExecInspect> {
    return this.#channel.json({ path: `/exec/${id}/json` });
  }
}
