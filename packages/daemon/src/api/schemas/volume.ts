// The bodies of the volumes' endpoints: every field of API v1.51, with its default.
import { z } from "zod";
import { optionalTexts, text } from "./container-create.ts";

export const volumeCreateSchema = z.object({
  Name: text,
  Driver: text,
  DriverOpts: optionalTexts,
  Labels: optionalTexts,
  ClusterVolumeSpec: z.looseObject({}).nullish(),
});
export type VolumeCreate = z.output<typeof volumeCreateSchema>;

/** The body of POST /tsd/volumes/{name}/snapshot. Labels that are not given are the volume's. */
export const volumeSnapshotSchema = z.object({ Name: text, Labels: optionalTexts });
