// TLS connections to an engine. Loaded only when a host asks for TLS.
import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity, connect, type TLSSocket } from "node:tls";
import { loadCredentials } from "./credentials.ts";
import type { ConnectionError } from "./errors.ts";
import type { TlsOptions } from "./options.ts";
import { explainTls, type TlsFacts } from "./tls-errors.ts";

export interface TlsConnection {
  socket: TLSSocket;
  /** Why it failed later on, in words. */
  explain(error: NodeJS.ErrnoException | undefined): ConnectionError;
}

/** Connects and shakes hands; nothing has been sent when this fails. Rejects with ConnectionError. */
export function connectTls(
  target: { host: string; port: number },
  tls: TlsOptions,
  where: string,
  timeout: number,
): Promise<TlsConnection> {
  return new Promise((resolve, reject) => {
    const { context, certificate } = loadCredentials(tls);
    const name = tls.servername ?? target.host.replace(/%.*$/, "");
    const facts: TlsFacts = { where, name, tls, own: certificate, server: undefined, established: false };
    const options: ConnectionOptions & { allowHalfOpen: true } = {
      host: target.host,
      port: target.port,
      secureContext: context,
      rejectUnauthorized: tls.verify !== false,
      // Addresses are no server names (RFC 6066); what the certificate must say is checked all the same.
      servername: isIP(name) ? "" : name,
      checkServerIdentity: (_, peer) => checkServerIdentity(name, peer),
      // Half-close: close_notify from one side leaves the other one open.
      allowHalfOpen: true,
    };
    const socket = connect(options);
    const fail = (error: NodeJS.ErrnoException | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(explainTls(error, facts));
    };
    const timer = setTimeout(() => fail(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })), timeout);
    // Node's own check destroys the socket, and the certificate that the message is to tell of with it.
    socket.prependOnceListener("secure", () => {
      // Not getPeerX509Certificate: in Node 20 it takes the certificate away from that check.
      facts.server = socket.getPeerCertificate().raw;
    });
    socket.once("error", fail);
    socket.once("secureConnect", () => {
      clearTimeout(timer);
      facts.established = true;
      socket.off("error", fail);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, 15_000);
      resolve({ socket, explain: (error) => explainTls(error, facts) });
    });
  });
}
