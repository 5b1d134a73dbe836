// Routes: what is ours of images: their examination, and their signatures.
import type { FastifyPluginAsync } from "fastify";
import { z } from "zod";
import type { Caller } from "../../engine/access/caller.ts";
import type { ImageRecord } from "../../engine/images/image.ts";
import type { Engine } from "../engine.ts";
import { registryAuth } from "../registry-auth.ts";
import { route } from "../route.ts";
import { clientGone } from "../stream.ts";
import { body } from "../validation.ts";

const signatureBody = body(
  z.object({
    /** Of the manifest that was signed. */
    Digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, "not a sha256 digest"),
    Payload: z.base64(),
    Signature: z.base64(),
  }),
);

export const tsdImageRoutes: FastifyPluginAsync<{ engine: Engine }> = async (app, { engine }) => {
  const { images } = engine;
  const target = ({ reference, caller }: { reference: string; caller: Caller }): ImageRecord =>
    images.get(reference, caller);

  route(app, "POST", "/tsd/images/:name/verify", { permission: "image:verify", target }, (call) =>
    images.integrity.examine(call.target),
  );

  route(
    app,
    "POST",
    "/tsd/images/:name/signature",
    {
      permission: "image:sign",
      body: signatureBody,
      target,
      asked: ({ body: { Digest } }) => ({ Digest }),
    },
    async ({ target: image, body: { Digest, Payload, Signature }, request, reply }) => {
      await engine.sign(
        image,
        { digest: Digest, payload: Buffer.from(Payload, "base64"), signature: Signature },
        registryAuth(request),
        clientGone(reply),
      );
      return reply.code(204).send();
    },
  );
};
