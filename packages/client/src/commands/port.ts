// tsctl port: where a container's ports are published; port add and port rm change that while it runs.
import type { PortMap } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { ports } from "../create/networks.ts";
import { expectArguments, parseFlags } from "../flags.ts";

const address = (text: string): string => (text.includes(":") ? `[${text}]` : text);

function lines(published: PortMap, wanted?: string): string[] {
  return Object.entries(published).flatMap(([port, bindings]) =>
    wanted !== undefined && port !== wanted
      ? []
      : (bindings ?? []).map(({ HostIp, HostPort }) =>
          wanted === undefined
            ? `${port} -> ${address(HostIp)}:${HostPort}`
            : `${address(HostIp)}:${HostPort}`,
        ),
  );
}

export const port: Command = async (words, context) => {
  const flags = parseFlags(words, {});
  expectArguments(flags, "port", 1, 2);
  const [id = "", asked] = flags.args;
  const { NetworkSettings } = (await context.client.containers.inspect(id)) as unknown as {
    NetworkSettings: { Ports: PortMap };
  };
  const wanted = asked && (asked.includes("/") ? asked : `${asked}/tcp`);
  const found = lines(NetworkSettings.Ports, wanted);
  if (wanted && found.length === 0) throw new Error(`no public port '${wanted}' published for ${id}`);
  if (found.length > 0) await print(found.join("\n"));
  return 0;
};

const change =
  (field: "Add" | "Remove"): Command =>
  async (words, context) => {
    const flags = parseFlags(words, {});
    expectArguments(flags, `port ${field === "Add" ? "add" : "rm"}`, 2);
    const [id = "", ...specs] = flags.args;
    const now = await context.client.containers.changePorts(id, { [field]: ports(specs).bindings });
    await print(lines(now).join("\n"));
    return 0;
  };

export const add = change("Add");
export const rm = change("Remove");
