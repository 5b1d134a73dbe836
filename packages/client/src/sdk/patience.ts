// Sockets that go on reading when they cannot write any more: an engine that refuses a caller answers and closes without
// reading the request, and its answer must not be lost to our own broken pipe.
import type { Duplex } from "node:stream";

const GONE: ReadonlySet<string | undefined> = new Set(["EPIPE", "ECONNRESET"]);

/** A stream's way out; `error` is why it is closed. */
export interface Outbound {
  error: NodeJS.ErrnoException | undefined;
}

type Written = (error?: Error | null) => void;

/** From now on a peer that does not take our bytes is no error of the stream: they are dropped, and the end of what the
 * peer sends tells what happened. Node would destroy the stream, with everything in it that nobody has read. */
export function keepReading(stream: Duplex): Outbound {
  const outbound: Outbound = { error: undefined };
  const forgiving =
    (done: Written): Written =>
    (error) => {
      const failure = error as NodeJS.ErrnoException | null | undefined;
      if (!failure || !GONE.has(failure.code)) return done(error);
      outbound.error ??= failure;
      done();
    };
  const write = stream._write.bind(stream);
  const writev = stream._writev?.bind(stream);
  const final = stream._final.bind(stream);
  stream._write = (chunk, encoding, done) => {
    if (outbound.error) done();
    else write(chunk, encoding, forgiving(done));
  };
  if (writev)
    stream._writev = (chunks, done) => {
      if (outbound.error) done();
      else writev(chunks, forgiving(done));
    };
  stream._final = (done) => {
    if (outbound.error) done();
    else final(forgiving(done));
  };
  return outbound;
}
