// --gpus as docker reads it: all, a number, or fields such as device=0,driver=nvidia,capabilities=utility.
import { UsageError } from "../flags.ts";

interface DeviceRequest {
  Driver: string;
  Count: number;
  DeviceIDs: string[] | null;
  Capabilities: string[][];
  Options: Record<string, string>;
}

/** Fields of a line of comma-separated values, quoted where they hold commas themselves. */
const fields = (text: string): string[] =>
  [...text.matchAll(/"((?:[^"]|"")*)"|([^,]+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? "") : quoted.replaceAll('""', '"'),
  );

const count = (text: string): number => {
  if (text === "all") return -1;
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`invalid argument "${text}" for "--gpus" flag: count must be an integer`);
};

/** The device request for a --gpus. Throws for a field that there is none of. */
export function gpuRequest(text: string): DeviceRequest {
  const request: DeviceRequest = {
    Driver: "",
    Count: 0,
    DeviceIDs: null,
    Capabilities: [["gpu"]],
    Options: {},
  };
  let counted = false;
  for (const field of fields(text)) {
    const at = field.indexOf("=");
    const key = at < 0 ? "count" : field.slice(0, at);
    const value = field.slice(at + 1);
    if (key === "count") {
      request.Count = count(value);
      counted = true;
    } else if (key === "driver") request.Driver = value;
    else if (key === "device") request.DeviceIDs = value.split(",");
    else if (key === "capabilities") request.Capabilities = [[...value.split(","), "gpu"]];
    else if (key === "options")
      for (const option of value.split(",")) {
        const [name = "", ...rest] = option.split("=");
        request.Options[name] = rest.join("=");
      }
    else
      throw new UsageError(
        `invalid argument "${text}" for "--gpus" flag: unexpected key '${key}' in '${field}'`,
      );
  }
  if (counted && request.DeviceIDs)
    throw new UsageError(`invalid argument "${text}" for "--gpus" flag: cannot set both count and device`);
  if (!counted && !request.DeviceIDs) request.Count = 1;
  return request;
}
