// --format for lists: a table (the default), "table TEMPLATE", a template, or json.
import { print } from "../context.ts";
import { renderTable } from "./table.ts";
import { compileTemplate, strictRow } from "./template.ts";

/** A list's columns in order: what --format calls them, and their headings. */
export type Columns = readonly (readonly [field: string, heading: string])[];
export type Row = Readonly<Record<string, unknown>>;

/** Headings of fields that only templates use. */
const spaced = (field: string): string => field.replace(/([a-z])([A-Z])/g, "$1 $2").toUpperCase();

/** Prints rows; `columns` are the default table's. */
export async function printRows(
  rows: readonly Row[],
  columns: Columns,
  format: string | undefined,
): Promise<void> {
  if (format === "json") {
    for (const row of rows) await print(JSON.stringify(row));
    return;
  }
  if (format !== undefined && format !== "table" && !format.startsWith("table ")) {
    const template = compileTemplate(format);
    for (const row of rows) await print(template(strictRow(row)));
    return;
  }
  if (format?.startsWith("table ")) {
    const source = format.slice("table ".length);
    const headings = Object.fromEntries(
      [...source.matchAll(/\.(\w+)/g)].map(([, field = ""]) => [
        field,
        columns.find(([name]) => name === field)?.[1] ?? spaced(field),
      ]),
    );
    const template = compileTemplate(source);
    const heading = compileTemplate(source.replace(/\{\{[^{}]*?\.(\w+)[^{}]*\}\}/g, "{{.$1}}"));
    await print(
      renderTable(
        [heading(headings), ...rows.map((row) => template(strictRow(row)))].map((line) => line.split("\t")),
      ),
    );
    return;
  }
  const cells = rows.map((row) => columns.map(([field]) => String(row[field] ?? "")));
  await print(renderTable([columns.map(([, heading]) => heading), ...cells]));
}
