// A configuration that no plan can be made from; the engine tells the client which field and why.

/** Whose fault it is: the request's, the host's for lacking something, or ours. */
export type SpecificationErrorKind = "invalid" | "system" | "not-implemented";

export class SpecificationError extends Error {
  readonly kind: SpecificationErrorKind;
  constructor(kind: SpecificationErrorKind, message: string) {
    super(message);
    this.name = "SpecificationError";
    this.kind = kind;
  }
}
