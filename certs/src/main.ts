// certs/bin/certs: the certificate commands without tsctl.
import { run } from "./command.ts";
import { processIo } from "./terminal.ts";

// A reader that went away (certs list | head) is no error.
process.stdout.on("error", () => process.exit(0));

run(process.argv.slice(2), processIo()).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
