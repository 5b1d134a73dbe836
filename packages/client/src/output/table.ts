// Tables with columns as wide as their widest cell, three spaces apart, and no column under ten (as docker's).

export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === row.length - 1 ? cell : cell.padEnd(Math.max(10, (widths[column] ?? 0) + 3)),
        )
        .join(""),
    )
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}
