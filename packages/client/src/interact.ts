// Connects an attached stream with this process's own stdin, stdout and stderr.
import type { AttachedStream } from "./sdk/channel.ts";
import { copy, demultiplex } from "./sdk/multiplex.ts";

export interface InteractOptions {
  terminal: boolean;
  stdin: boolean;
}

/** Passes bytes both ways until the process's output ends. The end of our stdin goes through as a half-close. */
export async function interact(stream: AttachedStream, options: InteractOptions): Promise<void> {
  if (options.stdin) {
    process.stdin.pipe(stream.input);
    process.stdin.on("error", () => stream.input.end());
  }
  stream.input.on("error", () => undefined); // the output's end tells
  try {
    if (options.terminal) await copy(stream.output, process.stdout);
    else await demultiplex(stream.output, process.stdout, process.stderr);
  } finally {
    if (options.stdin) {
      process.stdin.unpipe(stream.input);
      process.stdin.pause();
    }
    stream.input.end();
  }
}
