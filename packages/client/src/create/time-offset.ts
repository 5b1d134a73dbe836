// --time-offset: how far ahead a container's clocks are.
import { UsageError } from "../flags.ts";

const clocks: Readonly<Record<string, "Monotonic" | "Boottime">> = {
  monotonic: "Monotonic",
  boottime: "Boottime",
};

/** SECONDS for both clocks, or monotonic=SECONDS,boottime=SECONDS. Throws UsageError for what is neither. */
export function timeOffset(text: string): { Monotonic: number; Boottime: number } {
  if (/^-?\d+$/.test(text)) return { Monotonic: Number(text), Boottime: Number(text) };
  const offset = { Monotonic: 0, Boottime: 0 };
  for (const part of text.split(",")) {
    const [, name = "", seconds] = /^([a-z]+)=(-?\d+)$/.exec(part) ?? [];
    const clock = clocks[name];
    if (!clock)
      throw new UsageError(`--time-offset ${text}: not SECONDS or monotonic=SECONDS,boottime=SECONDS`);
    offset[clock] = Number(seconds);
  }
  return offset;
}
