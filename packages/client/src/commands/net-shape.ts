// tsctl net shape: how a container's traffic is shaped, with the kernel's own figures.
import { setTimeout as delay } from "node:timers/promises";
import type { InterfaceShape, ShapedDirection } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { renderTable } from "../output/table.ts";
import { humanSize } from "../output/units.ts";

const bits = (rate: number): string => {
  for (const [unit, size] of [
    ["Gbit", 1e9],
    ["Mbit", 1e6],
    ["kbit", 1e3],
  ] as const)
    if (rate >= size) return `${Number((rate / size).toFixed(2))} ${unit}`;
  return rate > 0 ? `${rate} bit` : "-";
};

function rows(
  interfaceName: string,
  direction: string,
  { Asked, Kernel, Classes, Dropped }: ShapedDirection,
): string[][] {
  const row = (name: string, asked: number, state: ShapedDirection["Kernel"]): string[] => [
    interfaceName,
    direction,
    name,
    bits(asked),
    state ? `${state.kind} ${state.handle}` : "-",
    bits(state?.rate ?? 0),
    state && state.ceiling > state.rate ? bits(state.ceiling) : "-",
    humanSize(state?.bytes ?? 0),
    String(state?.packets ?? 0),
    String(state?.dropped ?? 0),
  ];
  const own = new Map(Asked.classes.map(({ name, rate }) => [name, rate]));
  const floods = (["packets", "connections"] as const)
    .filter((what) => Asked[what])
    .map((what) => [
      interfaceName,
      direction,
      `(${what})`,
      `${Asked[what]}/s`,
      "nft limit",
      `${Asked[what]}/s`,
      ...["-", "-", "-"],
      String(Dropped[what] ?? 0),
    ]);
  return [
    row("(all)", Asked.rate, Kernel),
    ...Classes.map((one) => row(one.name, own.get(one.name) ?? 0, one)),
    ...floods,
  ];
}

const table = (shapes: readonly InterfaceShape[]): string =>
  renderTable([
    ["INTERFACE", "WAY", "CLASS", "ASKED", "QDISC", "RATE", "CEILING", "BYTES", "PACKETS", "DROPPED"],
    ...shapes.flatMap(({ Interface, Network, In, Out }) => [
      ...rows(`${Interface} (${Network})`, "out", Out),
      ...rows(`${Interface} (${Network})`, "in", In),
    ]),
  ]);

export const netShape: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"], watch: ["bool", "w"] });
  expectArguments(flags, "net shape", 1, 1);
  const [id = ""] = flags.args;
  const show = async (): Promise<void> => {
    const shapes = await context.client.containers.shape(id);
    await print(flags.text("format") === "json" ? JSON.stringify(shapes, null, 2) : table(shapes));
  };
  await show();
  while (flags.bool("watch")) {
    await delay(1000);
    await print("\u001b[H\u001b[2J");
    await show();
  }
  return 0;
};
