// Asks an engine on another machine who we are there, over mutual TLS, and tells what goes wrong.
import { ApiError, ConnectionError, TsdClient } from "@tsd/client";

const { ENGINE = "tcp://localhost:2376", CERTIFICATES = "." } = process.env;

const client = new TsdClient({
  host: ENGINE,
  // Paths of PEM files, or their text.
  tls: {
    ca: `${CERTIFICATES}/ca.pem`,
    cert: `${CERTIFICATES}/cert.pem`,
    key: `${CERTIFICATES}/key.pem`,
  },
  timeout: 10_000,
  // One handshake for all of the requests.
  keepAlive: true,
});

try {
  const { Version } = await client.version();
  const { Caller, Role } = await client.roles.whoami();
  console.log(`tsd ${Version} takes us for ${Caller}, with the role ${Role}`);
} catch (error) {
  if (error instanceof ApiError) console.error(`refused (${error.status}): ${error.message}`);
  else if (error instanceof ConnectionError)
    console.error(`not reached (${error.code}, certificate: ${error.certificate}): ${error.message}`);
  else throw error;
  process.exitCode = 1;
} finally {
  client.close();
}
