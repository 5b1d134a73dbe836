// tsctl cgroup: a container's place in the host's control groups, every file, its value and what it means.
import type { CgroupPlace } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags } from "../flags.ts";
import { renderTable } from "../output/table.ts";

const LONGEST_VALUE = 40;

/** The first line of a value, and how many more there are. */
function shown(value: string): string {
  const [first = "", ...rest] = value.split("\n");
  const cut = first.length > LONGEST_VALUE ? `${first.slice(0, LONGEST_VALUE)}…` : first;
  return rest.length > 0 ? `${cut} (+${rest.length} lines)` : cut;
}

function text({ Version, Group, Hierarchies }: CgroupPlace, wanted: readonly string[]): string {
  const parts = [`control groups of version ${Version}, group ${Group}\n`];
  for (const { Controllers, Path, Files } of Hierarchies) {
    const rows = Files.filter(
      ({ Name }) => wanted.length === 0 || wanted.some((part) => Name.includes(part)),
    );
    if (rows.length === 0) continue;
    parts.push(
      `\n${Controllers.join(",") || "(no controller)"}: ${Path}\n`,
      renderTable([
        ["FILE", "VALUE", "MEANING"],
        ...rows.map(({ Name, Value, Meaning }) => [Name, shown(Value), Meaning]),
      ]),
    );
  }
  return parts.join("");
}

export const cgroup: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  expectArguments(flags, "cgroup", 1);
  const [id = "", ...wanted] = flags.args;
  const place = await context.client.containers.cgroup(id);
  await print(flags.text("format") === "json" ? JSON.stringify(place) : text(place, wanted));
  return 0;
};
