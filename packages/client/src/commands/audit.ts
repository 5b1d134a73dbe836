// tsctl audit, audit query, audit export: who did what.
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { type Command, type Context, print } from "../context.ts";
import { expectArguments, type FlagTable, type ParsedFlags, parseFlags, UsageError } from "../flags.ts";
import { compileTemplate } from "../output/template.ts";
import { ellipsis } from "../output/units.ts";
import type { AuditQuery, AuditRecord } from "../sdk/audit.ts";
import { copy } from "../sdk/multiplex.ts";

const filterFlags: FlagTable = {
  since: ["text"],
  until: ["text"],
  caller: ["text"],
  action: ["text"],
  object: ["text"],
  result: ["text"],
  format: ["text"],
  "no-trunc": ["bool"],
};

const results: ReadonlySet<string> = new Set(["ok", "refused", "failed"]);

/** Headings, and how wide the columns are: lines come one by one, so that none can be measured first. */
const columns = [
  ["TIME", 26],
  ["CALLER", 20],
  ["ROLE", 12],
  ["FROM", 22],
  ["ACTION", 22],
  ["OBJECT", 30],
  ["RESULT", 9],
  ["MS", 0],
] as const;

const line = (cells: readonly string[], whole: boolean): string =>
  cells
    .map((cell, index) => {
      const width = columns[index]?.[1] ?? 0;
      if (width === 0) return cell;
      return `${whole ? cell : ellipsis(cell, width)}`.padEnd(width + 2);
    })
    .join("")
    .trimEnd();

/** An object's id is as long as ps shows it. */
const shortObject = (object: string): string => object.replace(/\b([0-9a-f]{12})[0-9a-f]{52}\b/g, "$1");

function row(record: AuditRecord, whole: boolean): string {
  const { time, caller, role, from, action, object, result, duration, message } = record;
  // To the microsecond: beyond that nobody reads.
  const shortTime = time.replace(/(\.\d{3})\d*Z$/, "$1Z");
  const cells = [
    whole ? time : shortTime,
    caller,
    role,
    from,
    action,
    whole ? object : shortObject(object),
    result,
    String(Math.round(duration * 10) / 10),
  ];
  const why = result === "ok" || !message ? "" : `  ${message}`;
  return `${line(cells, whole)}${why}`;
}

function queryOf(flags: ParsedFlags): AuditQuery {
  const result = flags.text("result");
  if (result !== undefined && !results.has(result))
    throw new UsageError(`invalid argument "${result}" for "--result" flag: ok, refused or failed`);
  return {
    since: flags.text("since"),
    until: flags.text("until"),
    caller: flags.text("caller"),
    action: flags.text("action"),
    object: flags.text("object"),
    result,
  };
}

async function printRecords(query: AuditQuery, flags: ParsedFlags, context: Context): Promise<number> {
  const format = flags.text("format");
  const whole = flags.bool("no-trunc");
  const template =
    format === undefined || format === "json" || format === "table" ? undefined : compileTemplate(format);
  const isTable = format === undefined || format === "table";
  const show = (record: AuditRecord): string =>
    template ? template(record) : isTable ? row(record, whole) : JSON.stringify(record);
  const records = context.client.audit.records(query);
  // The heading comes once it is clear that there is an answer.
  const first = await records.next();
  if (isTable)
    await print(
      line(
        columns.map(([heading]) => heading),
        false,
      ),
    );
  if (first.done) return 0;
  await print(show(first.value));
  for await (const record of records) await print(show(record));
  return 0;
}

export const tail: Command = async (words, context) => {
  const flags = parseFlags(words, { ...filterFlags, tail: ["text", "n"], follow: ["bool", "f"] });
  expectArguments(flags, "audit", 0, 0);
  const count = flags.text("tail") ?? "20";
  if (!/^(?:all|\d+)$/.test(count))
    throw new UsageError(`invalid argument "${count}" for "-n, --tail" flag: a number, or all`);
  const query = { ...queryOf(flags), follow: flags.bool("follow") };
  return printRecords(count === "all" ? query : { ...query, tail: Number(count) }, flags, context);
};

export const query: Command = async (words, context) => {
  const flags = parseFlags(words, filterFlags);
  expectArguments(flags, "audit query", 0, 0);
  return printRecords(queryOf(flags), flags, context);
};

export const exportAudit: Command = async (words, context) => {
  const flags = parseFlags(words, { output: ["text", "o"] });
  expectArguments(flags, "audit export", 0, 0);
  const file = flags.text("output");
  const stream = await context.client.audit.export();
  if (file && file !== "-") await pipeline(stream, createWriteStream(file, { mode: 0o600 }));
  else await copy(stream, process.stdout);
  return 0;
};
