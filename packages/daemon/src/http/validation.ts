// Checks requests with zod, and says what is wrong naming the field.
import type { z } from "zod";
import { invalid } from "../engine/errors.ts";
import { spellAs } from "./json.ts";

/** The value, checked and completed; throws an error that names the first wrong field. */
export function check<T>(schema: z.ZodType<T>, value: unknown, where: "body" | "query"): T {
  const parsed = schema.safeParse(where === "body" ? spellAs(schema, value) : value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const field = issue?.path.join(".") || where;
  throw invalid(
    where === "body"
      ? `invalid JSON: field ${field}: ${issue?.message}`
      : `invalid parameter ${field}: ${issue?.message}`,
  );
}

/** Readers of a request's query and body, for routes to declare. */
export const query =
  <T>(schema: z.ZodType<T>) =>
  (value: unknown): T =>
    check(schema, value, "query");
export const body =
  <T>(schema: z.ZodType<T>) =>
  (value: unknown): T =>
    check(schema, value ?? {}, "body");

/** Docker's booleans in query strings: anything but these is true. */
export const truthy = (text: string | undefined): boolean =>
  !["", "0", "no", "false", "none", undefined].includes(text?.trim().toLowerCase());
