// The bodies of the policies' endpoints.
import { z } from "zod";

const list = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);

export const policySchema = z.object({
  Default: z
    .string()
    .nullish()
    .transform((value) => value ?? "deny"),
  Rules: z
    .array(z.object({ From: z.string(), To: z.string(), Allow: list, Deny: list }))
    .nullish()
    .transform((value) => value ?? []),
});
export type PolicyRequest = z.output<typeof policySchema>;

export const policyTestSchema = z.object({ From: z.string(), To: z.string(), Traffic: z.string() });
export type PolicyTest = z.output<typeof policyTestSchema>;
