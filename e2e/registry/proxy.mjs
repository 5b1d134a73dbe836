// An HTTP proxy, in its engine's network namespace: says that it listens, and then each request it is asked to pass on.
import { createServer, request } from "node:http";
import { connect } from "node:net";

const server = createServer((incoming, outgoing) => {
  console.log(`${incoming.method} ${new URL(incoming.url).host}`);
  const onward = request(incoming.url, { method: incoming.method, headers: incoming.headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on("error", () => outgoing.destroy());
  incoming.pipe(onward);
});
server.on("connect", ({ url }, client, head) => {
  console.log(`CONNECT ${url}`);
  const [host, port] = url.split(":");
  const onward = connect(Number(port), host, () => {
    client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    onward.write(head);
    client.pipe(onward).pipe(client);
  });
  onward.on("error", () => client.destroy());
  client.on("error", () => onward.destroy());
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
