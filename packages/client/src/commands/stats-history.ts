// tsctl stats --history: what containers used in the last minutes, plotted.
import type { UsageHistory } from "@tsd/daemon/api";
import { print } from "../context.ts";
import { plotLine, rates } from "../output/plot.ts";
import { humanSize } from "../output/units.ts";
import type { TsdClient } from "../sdk/client.ts";

/** A line for each figure: its name, the plot, the last value and the largest. */
export function historyText(name: string, { Interval, Samples }: UsageHistory, width: number): string {
  const totals = (field: "Cpu" | "Read" | "Written" | "Received" | "Sent"): number[] =>
    rates(
      Samples.map((sample) => sample[field]),
      Interval,
    );
  const bytes = (value: number): string => humanSize(value);
  const rate = (value: number): string => `${humanSize(value)}/s`;
  const figures: [string, number[], (value: number) => string][] = [
    ["cpu", totals("Cpu").map((value) => value / 1e7), (value) => `${value.toFixed(1)}%`],
    ["memory", Samples.map(({ Memory }) => Memory), bytes],
    ["processes", Samples.map(({ Processes }) => Processes), String],
    ["read", totals("Read"), rate],
    ["written", totals("Written"), rate],
    ["received", totals("Received"), rate],
    ["sent", totals("Sent"), rate],
  ];
  const span = Math.round(((Samples.length - 1) * Interval) / 6) / 10;
  const head = `${name}: the last ${Math.max(0, span)} minutes, every ${Interval} seconds\n`;
  const lines = figures.map(([figure, values, show]) => {
    const [last = 0, most] = [values.at(-1), Math.max(...values, 0)];
    return `  ${figure.padEnd(10)}${plotLine(values, width)}  ${show(last)} (most ${show(most)})\n`;
  });
  return head + lines.join("");
}

const SIDES = 36;

/** Prints the plots of every container named, of all that run where none is. */
export async function printHistory(client: TsdClient, names: readonly string[]): Promise<void> {
  const width = Math.max(20, Math.min(120, (process.stdout.columns ?? 100) - SIDES));
  const wanted =
    names.length > 0 ? names : (await client.containers.list({})).map(({ Names }) => Names[0] ?? "");
  for (const name of wanted) {
    const bare = name.replace(/^\//, "");
    await print(historyText(bare, await client.containers.statsHistory(bare), width));
  }
}
