// Sends the requests that it reads from stdin, a list of them a line, each with the certificate it names; prints the answers,
// a line for each list.
// Runs on the other host (a network namespace), which the test's own process is not in.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { createInterface } from "node:readline";

const [host, port] = process.argv.slice(2);
const agents = new Map();

function agentOf(certificates) {
  let agent = agents.get(certificates);
  if (!agent) {
    const file = (name) => readFileSync(`${certificates}/${name}.pem`);
    agent = new Agent({
      keepAlive: true,
      maxSockets: 4,
      ca: file("ca"),
      cert: file("cert"),
      key: file("key"),
    });
    agents.set(certificates, agent);
  }
  return agent;
}

/** Unless it says something else, a body is JSON. */
const typed = (headers, body) =>
  body === undefined ? headers : { "content-type": "application/json", ...headers };

function send({ certificates, method, path, headers = {}, body }) {
  return new Promise((resolve) => {
    const sending = request(
      { host, port, method, path, headers: typed(headers, body), agent: agentOf(certificates) },
      (response) => {
        let text = "";
        const done = () => resolve({ status: response.statusCode, text });
        // A stream has no end: its head is all that is asked for.
        const timer = setTimeout(() => {
          done();
          response.destroy();
        }, 300);
        response.on("data", (chunk) => {
          if (text.length < 65_536) text += chunk.toString();
        });
        response.on("end", () => {
          clearTimeout(timer);
          done();
        });
        response.on("error", done);
      },
    );
    sending.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode, text: "" });
    });
    sending.on("error", (error) => resolve({ status: 0, text: error.message }));
    sending.end(body === undefined || typeof body === "string" ? body : JSON.stringify(body));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const answers = [];
  for (const item of JSON.parse(line)) answers.push(await send(item));
  process.stdout.write(`${JSON.stringify(answers)}\n`);
}
process.exit(0);
