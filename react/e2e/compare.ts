type Row = Readonly<Record<string, unknown>>;

/**
 * How two sets of rows differ, as lines; none if they don't. `page` has the columns that its rules show, and
 * int8 and numeric as strings, where to_json has numbers.
 */
export function differences(key: readonly string[], page: readonly Row[], table: readonly Row[]): string[] {
  const name = (row: Row) => key.map((column) => String(row[column])).join("/");
  const held = new Map(page.map((row) => [name(row), row]));
  const found: string[] = [];
  if (held.size !== page.length) found.push(`${page.length - held.size} keys are there twice`);
  for (const row of table) {
    const other = held.get(name(row));
    held.delete(name(row));
    if (other === undefined) {
      found.push(`${name(row)} is missing`);
      continue;
    }
    for (const [column, value] of Object.entries(other)) {
      if (!equal(value, row[column])) {
        found.push(`${name(row)} ${column}: ${JSON.stringify(value)}, not ${JSON.stringify(row[column])}`);
      }
    }
  }
  for (const left of held.keys()) found.push(`${left} is too many`);
  return found;
}

function equal(page: unknown, table: unknown): boolean {
  if (typeof table === "number" && typeof page === "string") return Number(page) === table;
  if (typeof table === "string" && typeof page === "string") return page === table || sameTime(page, table);
  return canonical(page) === canonical(table);
}

/** The same moment, written in two time zones. */
function sameTime(a: string, b: string): boolean {
  const zoned = /^\d{4}-\d\d-\d\dT[\d:]+(\.\d+)?[+-]\d\d:\d\d$/;
  const [left, right] = [zoned.exec(a), zoned.exec(b)];
  return left !== null && right !== null && left[1] === right[1] && Date.parse(a) === Date.parse(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort())
      : inner,
  );
}
