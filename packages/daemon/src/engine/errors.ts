// The engine's errors: what went wrong by kind; http/errors.ts alone knows which status each kind becomes.

/** The kinds of failure a use case can end in. */
export type ErrorKind =
  | "invalid" // the request is wrong in itself
  | "not-found"
  | "conflict" // right in itself, wrong for the present state
  | "not-modified" // already in the wanted state
  | "unauthorized" // a registry did not take the credentials
  | "forbidden"
  | "not-implemented" // a documented feature that is not built yet: names the field
  | "unavailable"
  | "system"; // the host or the engine failed

/** A failure that a client is told about: `message` is the text of Docker's `{"message": …}` body. */
export class EngineError extends Error {
  readonly kind: ErrorKind;
  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "EngineError";
    this.kind = kind;
  }
}

export const invalid = (message: string): EngineError => new EngineError("invalid", message);
export const notFound = (message: string): EngineError => new EngineError("not-found", message);
export const conflict = (message: string): EngineError => new EngineError("conflict", message);
export const notModified = (message: string): EngineError => new EngineError("not-modified", message);
export const notImplemented = (message: string): EngineError => new EngineError("not-implemented", message);
