// Options of macvlan and ipvlan networks: what they hang on, and how their members see each other.
import { ipvlanModes, macvlanModes } from "@tsd/kernel-bindings";
import { invalid } from "../errors.ts";
import type { NetworkRecord } from "./record.ts";

export interface SublinkOptions {
  parent: { name: string; dummy: boolean; vlan?: { of: string; id: number } };
  kind:
    | { kind: "macvlan"; mode: keyof typeof macvlanModes }
    | { kind: "ipvlan"; mode: keyof typeof ipvlanModes };
}

/** Reads the options `parent`, `macvlan_mode` and `ipvlan_mode`. Without a parent, a link that leads nowhere is made. */
export function sublinkOptions(
  record: Pick<NetworkRecord, "id" | "driver" | "options" | "internal">,
): SublinkOptions {
  const { driver, options, id } = record;
  const asked = options.parent ?? "";
  if (asked === "lo") throw invalid(`loopback interface is not a valid ${driver} parent link`);
  if (asked && !/^[^/\s]{1,15}$/.test(asked))
    throw invalid(`invalid parent: ${asked}: not an interface name`);
  const vlan = /^(.+)\.(\d{1,4})$/.exec(asked);
  const number = Number(vlan?.[2]);
  const parent =
    asked === ""
      ? { name: `dm-${id.slice(0, 12)}`, dummy: true }
      : vlan?.[1] && number > 0 && number < 4095
        ? { name: asked, dummy: false, vlan: { of: vlan[1], id: number } }
        : { name: asked, dummy: false };
  if (driver === "ipvlan") {
    const mode = options.ipvlan_mode || "l2";
    if (!(mode in ipvlanModes))
      throw invalid(`requested ipvlan mode '${mode}' is not valid, 'l2' mode is the ipvlan driver default`);
    return { parent, kind: { kind: "ipvlan", mode: mode as keyof typeof ipvlanModes } };
  }
  const mode = options.macvlan_mode || "bridge";
  if (!(mode in macvlanModes))
    throw invalid(
      `requested macvlan mode '${mode}' is not valid, 'bridge' mode is the macvlan driver default`,
    );
  return { parent, kind: { kind: "macvlan", mode: mode as keyof typeof macvlanModes } };
}
