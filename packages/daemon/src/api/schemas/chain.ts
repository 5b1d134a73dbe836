// The body of POST /tsd/chains.
import { z } from "zod";
import { text } from "./container-create.ts";

export const chainSchema = z.object({
  Name: text,
  Network: z.string(),
  /** Selectors, as in policies. */
  From: z.string(),
  To: z.string(),
  /** Containers, in the order in which traffic goes through them. */
  Via: z.array(z.string()),
  Mode: text,
  OnFailure: text,
});
export type ChainRequest = z.output<typeof chainSchema>;
