// The disk that a path is on, as block I/O limits name it.
import { readFileSync, statSync } from "node:fs";
import { output } from "./command.ts";

/** The whole disk, or undefined where there is none that could be throttled. */
export async function diskOf(path: string): Promise<string | undefined> {
  const device = statSync(path).dev;
  const link = await output("readlink", [
    "-f",
    `/sys/dev/block/${(device >>> 8) & 0xfff}:${device & 0xff}`,
  ]).catch(() => "");
  const name = /\/block\/([^/]+)/.exec(link)?.[1];
  return name && readFileSync(`/sys/block/${name}/size`, "utf8").trim() !== "0" ? `/dev/${name}` : undefined;
}
