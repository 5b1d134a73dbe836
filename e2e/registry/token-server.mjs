// Hands out tokens for a registry, as big ones have it (Docker's token specification): to bob with his password what he asks
// for, to nobody in particular what is to be read in "public/". Says a line when it listens, and one for each token.
import { createSign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const [port, key, certificate] = process.argv.slice(2);
const x5c = [new X509Certificate(readFileSync(certificate)).raw.toString("base64")];
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function token(subject, service, access) {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: "test",
    sub: subject,
    aud: service,
    exp: now + 60,
    nbf: now - 5,
    iat: now,
    jti: String(now),
    access,
  };
  const text = `${part({ typ: "JWT", alg: "RS256", x5c })}.${part(claims)}`;
  return `${text}.${createSign("sha256").update(text).sign(readFileSync(key)).toString("base64url")}`;
}

createServer((request, response) => {
  const url = new URL(request.url, "http://token");
  const { authorization = "" } = request.headers;
  const [user, password] = Buffer.from(authorization.replace("Basic ", ""), "base64").toString().split(":");
  if (authorization && (user !== "bob" || password !== "secret")) {
    response.writeHead(401, { "content-type": "application/json" });
    response.end('{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}');
    return;
  }
  const access = url.searchParams.getAll("scope").flatMap((scope) => {
    const [type, name, actions] = scope.split(":");
    const granted = actions
      .split(",")
      .filter((action) => user || (action === "pull" && name.startsWith("public/")));
    return granted.length > 0 ? [{ type, name, actions: granted }] : [];
  });
  console.log(JSON.stringify(access));
  response.writeHead(200, { "content-type": "application/json" });
  response.end(
    JSON.stringify({ token: token(user ?? "", url.searchParams.get("service"), access), expires_in: 60 }),
  );
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));
