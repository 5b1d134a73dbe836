// Listens at every host, finds out who calls, and hands those who are welcome to the HTTP server. Nothing that an
// unwelcome caller says is ever parsed.

import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, fstatSync, rmSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { peerCredentials } from "@tsd/kernel-bindings";
import type { Logger } from "pino";
import { describeEndpoint, type Endpoint } from "../configuration/endpoints.ts";
import type { Settings } from "../configuration/settings.ts";
import { checkTrust } from "../configuration/trust.ts";
import { clientCertificate, expiryWarnings, type Material, readMaterial, watchFile } from "./certificates.ts";
import type { Connections } from "./connections.ts";
import { releaseAfterCrowds } from "./crowds.ts";

const HANDSHAKE_MILLISECONDS = 10_000;
/** How long a refused client may take to read why. */
const REFUSAL_MILLISECONDS = 2000;
const EXPIRY_CHECK_MILLISECONDS = 60_000;
const WARN_AGAIN_MILLISECONDS = 24 * 3600_000;
const BACKLOG = 4096;

export interface ListenerParts {
  http: HttpServer;
  connections: Connections;
  logger: Logger;
  /** The descriptors systemd passed. */
  passed: readonly number[];
  groupId: (name: string) => number | undefined;
  /** Counts a refusal, by its kind. */
  refused: (reason: string) => void;
}

type SocketWithHandle = Socket & { _handle?: { fd?: number } };

export class Listeners {
  readonly #parts: ListenerParts;
  #settings: Settings;
  #material: Material | undefined;
  readonly #servers: { server: Server; tls: boolean }[] = [];
  readonly #paths: string[] = [];
  #watcher: ReturnType<typeof watchFile> | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;
  #stopWatchingCrowds: (() => void) | undefined;
  #warned = 0;

  constructor(parts: ListenerParts, settings: Settings) {
    this.#parts = parts;
    this.#settings = settings;
    if (settings.tls.mode !== "none" && settings.hosts.some(({ kind }) => kind !== "unix"))
      this.#material = readMaterial(settings.tls);
  }

  /** Listens everywhere. Throws for a host that can't be listened at; the others are closed then. */
  async open(): Promise<void> {
    // The HTTP server never listens itself; this starts its watch over slow and idle connections.
    this.#parts.http.emit("listening");
    try {
      for (const endpoint of this.#settings.hosts) await this.#open(endpoint);
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#watchRevocations();
    this.#checkExpiries();
    this.#expiryTimer = setInterval(() => this.#checkExpiries(), EXPIRY_CHECK_MILLISECONDS).unref();
    this.#stopWatchingCrowds = releaseAfterCrowds(this.#servers.map(({ server }) => server));
  }

  async #open(endpoint: Endpoint): Promise<void> {
    if (endpoint.kind === "fd") {
      const { passed } = this.#parts;
      const wanted =
        endpoint.descriptor === undefined ? passed : passed.filter((fd) => fd === endpoint.descriptor);
      if (wanted.length === 0)
        throw new Error(`-H ${describeEndpoint(endpoint)}: no such socket was passed by systemd`);
      for (const fd of wanted) await this.#openDescriptor(fd);
      return;
    }
    if (endpoint.kind === "unix") {
      await clearSocket(endpoint.path);
      const server = this.#plain("unix", describeEndpoint(endpoint));
      await listening(server, { path: endpoint.path });
      this.#paths.push(endpoint.path);
      this.#protect(endpoint.path);
      return;
    }
    const { host, port } = endpoint;
    const server = this.#tcp(describeEndpoint(endpoint));
    await listening(server, { host, port });
    const address = server.address();
    // Port 0 is any: whoever asked for it reads here which.
    if (port === 0 && address && typeof address === "object")
      this.#parts.logger.info({ host: `tcp://${host}:${address.port}` }, "listening");
  }

  #tcp(name: string): Server {
    return this.#material ? this.#encrypted(name) : this.#plain("tcp", name);
  }

  /** A passed socket is a unix or a TCP one: Node tells once it listens. */
  async #openDescriptor(fd: number): Promise<void> {
    if (!fstatSync(fd).isSocket()) throw new Error(`-H fd://${fd}: not a socket`);
    const probe = this.#plain("unix", `fd://${fd}`);
    await listening(probe, { fd });
    const address = probe.address();
    if (address === null || typeof address === "string") return;
    const { logger } = this.#parts;
    const { tls, allowUnauthenticatedTcp } = this.#settings;
    for (const warning of checkTrust(
      { host: address.address, port: address.port },
      tls.mode,
      allowUnauthenticatedTcp,
    ))
      logger.warn(warning);
    probe.removeAllListeners("connection");
    const server = this.#tcp(`fd://${fd}`);
    probe.on("connection", (socket) => server.emit("connection", socket));
  }

  /** 0660 from the first moment would need a umask around bind; the directory is root's, so this is soon enough. */
  #protect(path: string): void {
    const { group, mode } = this.#settings.socket;
    chmodSync(path, mode);
    const gid = this.#parts.groupId(group);
    if (gid !== undefined) chownSync(path, 0, gid);
  }

  #keep(server: Server, tls: boolean): Server {
    server.maxConnections = this.#settings.maximumConnections;
    server.on("error", (error) => this.#parts.logger.error({ err: error }, "listening"));
    this.#servers.push({ server, tls });
    return server;
  }

  #plain(kind: "unix" | "tcp", name: string): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: kind === "tcp" }, (socket) => {
      socket.on("error", () => socket.destroy());
      try {
        if (kind === "tcp") this.#admit(socket, { kind: "anonymous" }, remote(socket));
        else {
          const fd = (socket as SocketWithHandle)._handle?.fd;
          if (fd === undefined || fd < 0) throw new Error("the socket has no descriptor");
          const credentials = peerCredentials(fd);
          this.#admit(socket, { kind: "unix", ...credentials }, `pid ${credentials.pid}`);
        }
      } catch (error) {
        // Whoever is not known is not let in; mostly it has gone already.
        this.#parts.logger.debug({ err: error, host: name }, "finding out who calls");
        socket.destroy();
      }
    });
    return this.#keep(server, false);
  }

  #encrypted(name: string): Server {
    const { tls, anonymousPing } = this.#settings;
    const server: TlsServer = createTlsServer(
      {
        ...this.#material?.context,
        requestCert: tls.mode === "mutual",
        // What is wrong with a certificate is told to its holder in words, which a broken-off handshake has none for.
        rejectUnauthorized: false,
        handshakeTimeout: HANDSHAKE_MILLISECONDS,
        allowHalfOpen: true,
        noDelay: true,
        ALPNProtocols: ["http/1.1"],
      },
      (socket) => {
        socket.on("error", () => socket.destroy());
        const from = remote(socket);
        if (tls.mode !== "mutual") return this.#admit(socket, { kind: "anonymous" }, from);
        const found = clientCertificate(socket, this.#material?.revoked ?? new Set());
        if (found && "peer" in found) return this.#admit(socket, found.peer, from);
        if (!found && anonymousPing) return this.#admit(socket, { kind: "stranger" }, from);
        const reason = found
          ? `client certificate refused: ${found.refusal}`
          : // Some clients keep a certificate to themselves that is of another authority than they were asked for.
            `a client certificate is required, of an authority that this server knows (${this.#material?.authorities.join("; ")}): none was given`;
        this.#refuse(socket, found ? "certificate" : "no certificate", reason, from);
      },
    );
    server.on("tlsClientError", (error: Error & { code?: string }, socket: TLSSocket) => {
      // Mostly clients that don't trust us, or that speak no TLS: what they said is in the error.
      this.#parts.refused("handshake");
      this.#parts.logger.info(
        { from: remote(socket), host: name, reason: error.message },
        "TLS handshake failed",
      );
      // A handshake that was not finished in time ends here and nowhere else.
      socket.destroy();
    });
    return this.#keep(server, true);
  }

  #admit(socket: Socket, peer: Parameters<Connections["add"]>[1], from: string): void {
    const { connections, http } = this.#parts;
    if (connections.add(socket, peer, from)) http.emit("connection", socket);
    else this.#refuse(socket, "too many connections", "too many connections of this caller", from, 503);
  }

  /** Says why in words, to whatever the client may have asked, and reads none of it. */
  #refuse(socket: Socket, kind: string, reason: string, from: string, status = 403): void {
    this.#parts.refused(kind);
    this.#parts.logger.warn({ from, reason }, "connection refused");
    const body = JSON.stringify({ message: reason });
    const head = `HTTP/1.1 ${status} ${status === 403 ? "Forbidden" : "Service Unavailable"}`;
    socket.end(
      `${head}\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    socket.resume();
    setTimeout(() => socket.destroy(), REFUSAL_MILLISECONDS).unref();
  }

  #watchRevocations(): void {
    this.#watcher?.close();
    const { revocationList } = this.#settings.tls;
    if (!this.#material || !revocationList) return;
    this.#watcher = watchFile(revocationList, () => this.#reloadMaterial("the revocation list changed"));
  }

  /** Takes up new files; what can't be read leaves everything as it was. */
  #reloadMaterial(why: string): void {
    const { logger, connections } = this.#parts;
    let material: Material;
    try {
      material = readMaterial(this.#settings.tls);
    } catch (error) {
      logger.error({ err: error }, `${why}: not taken up`);
      return;
    }
    this.#material = material;
    for (const { server, tls } of this.#servers) {
      if (!tls) continue;
      (server as TlsServer).setSecureContext(material.context);
      // Sessions of before are not taken up again: they were verified by what held then.
      (server as TlsServer).setTicketKeys(randomBytes(48));
    }
    const closed = connections.closeWhere(
      ({ peer }) => peer.kind === "certificate" && material.revoked.has(peer.serial),
    );
    logger.info({ revoked: material.revoked.size, closed }, why);
    this.#warned = 0;
    this.#checkExpiries();
  }

  /** Settings that may change while it runs: files of certificates, limits. */
  reload(settings: Settings): void {
    this.#settings = { ...settings, hosts: this.#settings.hosts };
    if (this.#material) this.#reloadMaterial("certificates read again");
    this.#watchRevocations();
  }

  #checkExpiries(): void {
    const { logger, connections } = this.#parts;
    const now = Date.now();
    const closed = connections.closeWhere(({ peer }) => peer.kind === "certificate" && peer.expires <= now);
    if (closed > 0) logger.info({ closed }, "connections of expired certificates closed");
    if (!this.#material || now - this.#warned < WARN_AGAIN_MILLISECONDS) return;
    this.#warned = now;
    const { mode, revocationList, authorities } = this.#settings.tls;
    if (mode === "mutual" && !revocationList)
      logger.warn(
        `no certificate can be revoked: there is no --tlscrl, and no crl.pem beside ${authorities}`,
      );
    for (const warning of expiryWarnings(this.#material)) logger.warn(warning);
  }

  /** Stops listening, and takes the sockets away. Connections are the HTTP server's to end. */
  async close(): Promise<void> {
    this.#watcher?.close();
    clearInterval(this.#expiryTimer);
    this.#stopWatchingCrowds?.();
    this.#parts.connections.closeWhere(() => true);
    await Promise.all(
      this.#servers.map(({ server }) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
    for (const path of this.#paths) rmSync(path, { force: true });
  }
}

const remote = (socket: Socket): string => `${socket.remoteAddress ?? "gone"}:${socket.remotePort ?? 0}`;

function listening(
  server: Server,
  where: { path: string } | { host: string; port: number } | { fd: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Removes a socket that nobody listens at any more. Throws where somebody does. */
async function clearSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (answered) throw new Error(`${path} is in use by another daemon`);
  rmSync(path, { force: true });
}
