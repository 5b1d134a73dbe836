// Runs a container, gives it input, reads its output, and tells how it ended.
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { demultiplex, TsdClient } from "@tsd/client";

const { containers } = TsdClient.fromEnvironment();

const { Id } = await containers.create({
  Image: "busybox",
  Cmd: ["sh", "-c", "tr a-z A-Z; echo done >&2; exit 3"],
  OpenStdin: true,
  StdinOnce: true,
});
try {
  // Both stand before the start, so that nothing is missed.
  const stream = await containers.attach(Id, { stdin: true, stdout: true, stderr: true });
  const { exit } = await containers.wait(Id, "next-exit");
  await containers.start(Id);

  // The end of the input is the end of the process's stdin, and of nothing else.
  stream.input.end("hello\n");
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const read = Promise.all([text(stdout), text(stderr)]);
  await demultiplex(stream.output, stdout, stderr);
  stdout.end();
  stderr.end();

  const [output, errors] = await read;
  console.log({ output, errors, exit: await exit });
  stream.input.destroy();
} finally {
  await containers.remove(Id, { force: true, v: true });
}
