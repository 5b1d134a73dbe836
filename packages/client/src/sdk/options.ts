// What a client is made of: the options of the SDK's constructor.

/** TLS of one client. Each of ca, cert and key is PEM text, or the path of a file that holds it. */
export interface TlsOptions {
  /** Authorities that the server's certificate must be of; without it those that Node knows. */
  ca?: string | undefined;
  /** The caller's own certificate. */
  cert?: string | undefined;
  /** The key that belongs to `cert`. */
  key?: string | undefined;
  /** Whether the server's certificate and name are verified (default true). False only encrypts: whoever sits between
   * reads along and answers in the server's name. */
  verify?: boolean | undefined;
  /** The name that the server's certificate must have, where it is not the host's. */
  servername?: string | undefined;
}

/** Where the engine is, and how it is reached. */
export interface ClientOptions {
  /** unix://PATH, tcp://HOST:PORT, http(s)://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH]. */
  host: string;
  /** TLS at a tcp:// or https:// host; tcp:// is plain without it. */
  tls?: TlsOptions | undefined;
  /** Milliseconds that making a connection may take, TLS included (default 30000). */
  timeout?: number | undefined;
  /** Keeps connections open for the next request (default false: each request has its own). */
  keepAlive?: boolean | undefined;
}
