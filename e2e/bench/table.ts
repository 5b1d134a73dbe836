// The benchmark's figures: collected as they come, printed as a table in the end.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

interface Row {
  what: string;
  unit: string;
  tsd: number;
  peer?: number | undefined;
  /** How many times better tsd is, and what was aimed at. */
  ratio?: number | undefined;
  aim: string;
}

const rows: Row[] = [];

export function add(
  what: string,
  unit: string,
  tsd: number,
  peer: number | undefined,
  aim: string,
  higherIsBetter = false,
): void {
  const ratio = peer === undefined ? undefined : higherIsBetter ? tsd / peer : peer / tsd;
  rows.push({ what, unit, tsd, peer, ratio, aim });
  console.error(
    `${what}: ${tsd.toFixed(2)} ${unit}${peer === undefined ? "" : `, peer ${peer.toFixed(2)} ${unit}, ${ratio?.toFixed(1)} times`}`,
  );
}

const cell = (value: number | undefined): string =>
  value === undefined ? "" : value.toFixed(value < 100 ? 1 : 0);

/** Prints everything, and writes it to a file as JSON where one is given. */
export function print(file: string | undefined): void {
  console.log(`\n${execFileSync("uname", ["-srm"], { encoding: "utf8" }).trim()}, node ${process.version}\n`);
  console.log("| what | unit | tsd | peer | times better | aim |\n| --- | --- | --- | --- | --- | --- |");
  for (const row of rows)
    console.log(
      `| ${row.what} | ${row.unit} | ${cell(row.tsd)} | ${cell(row.peer)} | ${cell(row.ratio)} | ${row.aim} |`,
    );
  if (file) writeFileSync(file, `${JSON.stringify({ node: process.version, rows }, null, 2)}\n`);
}
