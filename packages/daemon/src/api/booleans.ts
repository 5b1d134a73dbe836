// Booleans as texts, in all the ways that Go's strconv.ParseBool takes, which clients' values are made for.

/** Undefined for what is none. */
export function parseBoolean(text: string): boolean | undefined {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  return undefined;
}
