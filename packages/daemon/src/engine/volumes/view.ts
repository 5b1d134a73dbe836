// A volume as the API shows it.
import type { Volume } from "./volume.ts";

export interface VolumeView {
  CreatedAt: string;
  Driver: "local";
  Labels: Record<string, string> | null;
  Mountpoint: string;
  Name: string;
  Options: Record<string, string> | null;
  Scope: "local";
  Owner: string;
}

export const volumeView = ({ record }: Volume, mountPoint: string): VolumeView => ({
  CreatedAt: record.created,
  Driver: "local",
  Labels: record.labels,
  Mountpoint: mountPoint,
  Name: record.name,
  Options: record.options,
  Scope: "local",
  Owner: record.owner,
});
