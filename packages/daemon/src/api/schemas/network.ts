// The bodies of the networks' endpoints: every field of API v1.51, with its default. Go's clients send null for what they
// leave out.
import { z } from "zod";
import { endpointSchema, flag, portBindingsSchema, text, texts } from "./container-create.ts";

const ipamConfig = z.object({
  Subnet: text,
  IPRange: text,
  Gateway: text,
  AuxiliaryAddresses: texts,
  // What version 1.21 called it.
  AuxAddress: texts,
});

export const networkCreateSchema = z.object({
  Name: text,
  CheckDuplicate: flag,
  Driver: text,
  Scope: text,
  Internal: flag,
  Attachable: flag,
  Ingress: flag,
  ConfigOnly: flag,
  ConfigFrom: z.object({ Network: text }).nullish(),
  EnableIPv4: z
    .boolean()
    .nullish()
    .transform((value) => value ?? true),
  EnableIPv6: flag,
  IPAM: z
    .object({
      Driver: text,
      Options: z
        .record(z.string(), z.string())
        .nullish()
        .transform((value) => value ?? null),
      Config: z
        .array(ipamConfig)
        .nullish()
        .transform((value) => value ?? []),
    })
    .nullish()
    .transform((value) => value ?? { Driver: "", Options: null, Config: [] }),
  Options: texts,
  Labels: texts,
});
export type NetworkCreate = z.output<typeof networkCreateSchema>;

export const networkConnectSchema = z.object({
  Container: text,
  EndpointConfig: endpointSchema.nullish().transform((value) => value ?? endpointSchema.parse({})),
});
/** The body of POST /tsd/containers/{id}/ports. */
export const portChangeSchema = z.object({ Add: portBindingsSchema, Remove: portBindingsSchema });
export const networkDisconnectSchema = z.object({ Container: text, Force: flag });
