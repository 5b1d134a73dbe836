// Stands between an engine and a registry, in their network namespace: counts, cuts, delays, refuses and falsifies what
// passes. Takes a line of JSON and answers with one; the first line it says is that it listens.
import { createServer, request } from "node:http";
import { createInterface } from "node:readline";

const [port, upstream] = process.argv.slice(2);
/** cutAfter: bytes of one blob; flip: byte of it that is falsified; refuse: requests answered with 429; slow: ms a chunk. */
let rules = { cutAfter: 0, flip: -1, refuse: 0, slow: 0 };
let counts = { blobBytes: 0, blobs: 0, refused: 0, ranges: [], authorized: 0 };

const server = createServer((incoming, outgoing) => {
  if (incoming.headers.authorization) counts.authorized++;
  if (rules.refuse > 0 && incoming.url !== "/v2/") {
    rules.refuse--;
    counts.refused++;
    outgoing.writeHead(429, { "retry-after": "1", "content-type": "application/json" });
    outgoing.end('{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}');
    return;
  }
  const blob = incoming.method === "GET" && /\/blobs\/sha256:/.test(incoming.url);
  const onward = request(
    `http://${upstream}${incoming.url}`,
    { method: incoming.method, headers: incoming.headers },
    async (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      if (!blob) return answer.pipe(outgoing);
      counts.blobs++;
      if (incoming.headers.range) counts.ranges.push(incoming.headers.range);
      let sent = 0;
      try {
        for await (const chunk of answer) {
          if (rules.flip >= sent && rules.flip < sent + chunk.length) chunk[rules.flip - sent] ^= 1;
          counts.blobBytes += chunk.length;
          sent += chunk.length;
          if (!outgoing.write(chunk))
            await new Promise((resolve) => outgoing.once("drain", resolve).once("close", resolve));
          if (outgoing.destroyed) return answer.destroy();
          if (rules.slow) await new Promise((resolve) => setTimeout(resolve, rules.slow));
          if (rules.cutAfter && sent >= rules.cutAfter) {
            rules.cutAfter = 0;
            return outgoing.destroy();
          }
        }
      } catch {
        return outgoing.destroy(); // the registry has gone
      }
      outgoing.end();
    },
  );
  onward.on("error", () => outgoing.destroy());
  incoming.pipe(onward);
});
server.listen(Number(port), "127.0.0.1", () => console.log("listening"));

for await (const line of createInterface({ input: process.stdin })) {
  const { set, reset } = JSON.parse(line);
  if (set) rules = { ...rules, ...set };
  console.log(JSON.stringify(counts));
  if (reset) counts = { blobBytes: 0, blobs: 0, refused: 0, ranges: [], authorized: 0 };
}
process.exit(0);
