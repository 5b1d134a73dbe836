// What goes wrong with an authority, and what was typed wrong.

/** Something about the authority, a name or a file; the message says which and why. */
export class CertificatesError extends Error {
  override readonly name: string = "CertificatesError";
}

/** What the user typed is wrong; ends with status 125, as tsctl's flags do. */
export class UsageError extends CertificatesError {
  override readonly name: string = "UsageError";
}

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The system's code of an error ("ENOENT"), if it has one. */
export const errorCode = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
