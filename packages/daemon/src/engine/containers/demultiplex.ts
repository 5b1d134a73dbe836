// Docker's multiplexed format, taken apart (what is left are the bytes of all streams, as they came), and put around a
// terminal's bytes.
import { Transform, type TransformCallback } from "node:stream";

const HEADER = 8;

export class Demultiplexer extends Transform {
  #header: Buffer = Buffer.alloc(0);
  #left = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const payload = rest.subarray(0, this.#left);
        this.#left -= payload.length;
        rest = rest.subarray(payload.length);
        this.push(payload);
        continue;
      }
      const missing = HEADER - this.#header.length;
      this.#header = Buffer.concat([this.#header, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#header.length < HEADER) break;
      this.#left = this.#header.readUInt32BE(4);
      this.#header = Buffer.alloc(0);
    }
    done();
  }
}

/** Sends bytes as those of stdout. */
export class Framer extends Transform {
  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const header = Buffer.alloc(HEADER);
    header.writeUInt8(1, 0);
    header.writeUInt32BE(chunk.length, 4);
    this.push(header);
    done(null, chunk);
  }
}
