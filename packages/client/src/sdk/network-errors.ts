// Why a host cannot be reached, in docker's words where it has them.
import { ConnectionError } from "./errors.ts";

const running = "Is the tsd daemon running?";

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: `connection refused. ${running}`,
  ENOTFOUND: "no such host name",
  EAI_AGAIN: "the host name cannot be resolved now (no answer from the name server)",
  ETIMEDOUT: "no answer in time. Is the address right, and does a firewall let it through?",
  EHOSTUNREACH: "no way to this host",
  ENETUNREACH: "no way to this network",
  ECONNRESET: "it closed the connection without an answer",
  EPIPE: "it closed the connection without an answer",
};

/** An error of connecting, as a sentence that names the host. */
export function networkError(where: string, error: NodeJS.ErrnoException): ConnectionError {
  const { code } = error;
  if (code === "EACCES" && where.startsWith("unix:"))
    return new ConnectionError(
      `permission denied while trying to connect to the tsd daemon socket at ${where}`,
      { code },
    );
  const reason = reasons[code ?? ""];
  if (where.startsWith("unix:") && (code === "ENOENT" || code === "ECONNREFUSED" || !reason))
    return new ConnectionError(`Cannot connect to the tsd daemon at ${where}. ${running}`, { code });
  return new ConnectionError(
    `Cannot connect to the tsd daemon at ${where}: ${reason ?? (error.message || code)}`,
    { code },
  );
}

/** A server at a plain port that closed without an answer, or answered with what is no HTTP: it may want TLS. */
export function plainHint(where: string, first: Buffer): ConnectionError {
  const isAlert = first[0] === 0x15 && first[1] === 0x03;
  return new ConnectionError(
    isAlert
      ? `${where} speaks TLS, and this connection is without: use --tlsverify (or --tls)`
      : `${where} closed the connection without an answer. Is it a TLS port? Then use --tlsverify (or --tls)`,
    { code: "ECONNRESET" },
  );
}
