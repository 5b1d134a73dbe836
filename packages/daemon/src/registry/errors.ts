// What registries answer when they refuse, in the words that Docker's clients know.

/** A registry refused, or could not be reached. */
export class RegistryError extends Error {
  /** The HTTP status; undefined where there was no answer. */
  readonly status: number | undefined;
  /** The specification's code, such as MANIFEST_UNKNOWN; "" for none. */
  readonly code: string;
  constructor(message: string, status?: number, code = "", options?: ErrorOptions) {
    super(message, options);
    this.name = "RegistryError";
    this.status = status;
    this.code = code;
  }

  /** Whether asking again may help. */
  get transient(): boolean {
    return this.status === undefined || this.status === 429 || this.status >= 500;
  }
}

const MAXIMUM_WORDS = 500;

/** The error of an answer (OCI distribution specification, "Error Codes"). */
export function refusal(status: number, body: string, fallback: string): RegistryError {
  try {
    const parsed: unknown = JSON.parse(body);
    const { errors } = parsed as { errors?: { code?: unknown; message?: unknown }[] };
    const first = Array.isArray(errors) ? errors[0] : undefined;
    if (first) {
      const code = String(first.code ?? "UNKNOWN");
      const words = code.toLowerCase().replaceAll("_", " ");
      return new RegistryError(
        `${words}: ${String(first.message ?? words)}`.slice(0, MAXIMUM_WORDS),
        status,
        code,
      );
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return new RegistryError(fallback, status);
}

/** The error of a request that got no answer, with what it was for. */
export function unreachable(method: string, url: string, error: unknown): RegistryError {
  const { message, code, errors } = error as Error & { code?: string; errors?: Error[] };
  // An attempt at several addresses fails with all their errors and no message of its own.
  const words = message || errors?.[0]?.message || code || String(error);
  const verb = `${method[0]}${method.slice(1).toLowerCase()}`;
  return new RegistryError(`${verb} "${url}": ${words}`, undefined, code ?? "", { cause: error });
}
