// A configuration that no plan can be made from; the engine tells the client which field and why.

/** `kind` says whose fault it is: the request's, or the host's for lacking something. */
export class SpecificationError extends Error {
  readonly kind: "invalid" | "system";
  constructor(kind: "invalid" | "system", message: string) {
    super(message);
    this.name = "SpecificationError";
    this.kind = kind;
  }
}
