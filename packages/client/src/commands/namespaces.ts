// tsctl ns: which container and process is in which namespace, and who shares it.
import type { ContainerNamespaces, NamespaceKind, NamespaceReport } from "@tsd/daemon/api";
import { type Command, print } from "../context.ts";
import { expectArguments, parseFlags, UsageError } from "../flags.ts";
import { renderTable } from "../output/table.ts";

const kinds: readonly NamespaceKind[] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

const shared = ({ SharedWith }: ContainerNamespaces, kind: NamespaceKind): string =>
  SharedWith[kind].join(", ");

/** A line for each container: inodes, and "host" where it has the host's. */
function overview({ Host, Containers }: NamespaceReport): string {
  const rows = Containers.map((one) => [
    one.Name,
    String(one.Pid),
    ...kinds.map((kind) => (one.SharedWith[kind].includes("host") ? "host" : String(one.Namespaces[kind]))),
  ]);
  const host = ["(the host)", "", ...kinds.map((kind) => String(Host[kind]))];
  const lines = Containers.flatMap((one) =>
    kinds.flatMap((kind) => {
      const others = one.SharedWith[kind].filter((name) => name !== "host");
      return others.length > 0 && !one.SharedWith[kind].includes("host")
        ? [`${one.Name} shares ${kind} with ${others.join(", ")}`]
        : [];
    }),
  );
  const table = renderTable([
    ["CONTAINER", "PID", ...kinds.map((kind) => kind.toUpperCase())],
    host,
    ...rows,
  ]);
  return lines.length > 0 ? `${table}\n${lines.join("\n")}\n` : table;
}

/** Each kind, and each process where it is not where process 1 is. */
function details(one: ContainerNamespaces): string {
  const namespaces = renderTable([
    ["NAMESPACE", "INODE", "SHARED WITH"],
    ...kinds.map((kind) => [kind, String(one.Namespaces[kind]), shared(one, kind) || "-"]),
  ]);
  const processes = renderTable([
    ["PID", "INSIDE", "COMMAND", "ELSEWHERE"],
    ...one.Processes.map(({ Pid, InnerPid, Command: command, Differs, Namespaces }) => [
      String(Pid),
      String(InnerPid),
      command,
      Differs.map((kind) => `${kind}:${Namespaces[kind]}`).join(" ") || "-",
    ]),
  ]);
  return `${namespaces}\n${processes}`;
}

export const ns: Command = async (words, context) => {
  const flags = parseFlags(words, { format: ["text", "f"] });
  expectArguments(flags, "ns", 0, 1);
  const format = flags.text("format") ?? "text";
  if (!["text", "json"].includes(format))
    throw new UsageError(`invalid argument "${format}" for "--format" flag: text or json`);
  const [id] = flags.args;
  const report = await context.client.isolation.namespaces(id);
  if (format === "json") await print(JSON.stringify(report, null, 2));
  else if (id === undefined) await print(overview(report));
  else {
    const [one] = report.Containers;
    if (!one) throw new Error(`container ${id} is not running`);
    await print(details(one));
  }
  return 0;
};
