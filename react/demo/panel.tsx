import { memo, type ReactNode, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Column, JsonValue, LiveRows, Row, Sql } from "../src/index.js";
import { same } from "../src/json.js";
import { useLiveRows } from "../src/react/index.js";
import { type Look, look, right, show } from "./cells.js";
import { number } from "./story.js";

/** Rows of a table that are on the page; the others are held and counted. */
const SHOWN = 40;
/** What a narrow table does without. */
const QUIET = new Set([
  "created_at",
  "currency",
  "note",
  "sku",
  "active",
  "placed_at",
  "customer_id",
  "category",
]);

type Order = "steady" | "latest";

interface PanelProps {
  table: string;
  title: string;
  order: Order;
  where?: Sql | undefined;
  /** What sets `where`. */
  bar?: ReactNode;
}

export function Panel({ table, title, order: first, where, bar }: PanelProps): ReactNode {
  const live = useLiveRows(table, { where });
  const [order, setOrder] = useState(first);
  const rows = useMemo(() => top(live, order), [live, order]);
  const columns = useMemo(() => live.columns.filter(({ name }) => !QUIET.has(name)), [live.columns]);
  const other = order === "steady" ? "latest" : "steady";
  return (
    <section className={`panel ${live.status}`} data-testid={`table-${table}`} data-status={live.status}>
      <header>
        <h2>{title}</h2>
        <code>{table}</code>
        <span className="state">
          <i />
          {live.status}
        </span>
        <button type="button" onClick={() => setOrder(other)} title={`Show ${other} order`}>
          {order === "latest" ? "latest first" : "in order"}
        </button>
        <span className="size" data-testid={`size-${table}`}>
          {number(live.rows.length)}
        </span>
      </header>
      {bar}
      <div className="scroll">
        {live.problem === undefined || live.rows.length > 0 ? (
          <Table columns={columns} rows={rows} live={live} />
        ) : (
          <p className="problem" data-testid={`problem-${table}`}>
            <code>{live.problem.code}</code> {live.problem.message}
            {live.problem.hint !== undefined && <small>{live.problem.hint}</small>}
          </p>
        )}
      </div>
    </section>
  );
}

function Table({
  columns,
  rows,
  live,
}: {
  columns: readonly Column[];
  rows: readonly Row[];
  live: LiveRows;
}): ReactNode {
  const looks = useMemo(() => columns.map(look), [columns]);
  // Rows that were there when the table appeared don't flash as new ones.
  const born = useRef(false);
  useLayoutEffect(() => {
    born.current = live.status === "live" && rows.length > 0;
  }, [live.status, rows]);
  return (
    <table>
      <thead>
        <tr>
          {columns.map(({ name, type }, i) => (
            <th key={name} title={type} className={className(looks[i], name, live.key)}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, i) => (
          <Line key={keyOf(live.key, row, i)} row={row} columns={columns} looks={looks} born={born} />
        ))}
      </tbody>
    </table>
  );
}

interface LineProps {
  row: Row;
  columns: readonly Column[];
  looks: readonly Look[];
  /** Whether a row that appears is a new one. */
  born: { readonly current: boolean };
}

const calm = typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
const FLASH: Keyframe[] = [{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }];
/** A cell is painted anew with each step: twelve a second look smooth enough and leave the machine its time. */
const FADE = "steps(12)";
const BIRTH: Keyframe[] = [{ backgroundColor: "var(--birth)" }, { backgroundColor: "transparent" }];

const Line = memo(function Line({ row, columns, looks, born }: LineProps): ReactNode {
  const line = useRef<HTMLTableRowElement>(null);
  const before = useRef<Row>(undefined);
  useLayoutEffect(() => {
    const old = before.current;
    before.current = row;
    if (calm || line.current === null || old === row) return;
    if (old === undefined) {
      if (born.current) line.current.animate(BIRTH, { duration: 1_200, easing: FADE });
      return;
    }
    columns.forEach(({ name }, i) => {
      if (!same(old[name], row[name]))
        line.current?.cells[i]?.animate(FLASH, { duration: 1_000, easing: FADE });
    });
  }, [row, columns, born]);
  return (
    <tr ref={line}>
      {columns.map(({ name }, i) => (
        <Cell key={name} value={row[name]} kind={looks[i] ?? "text"} />
      ))}
    </tr>
  );
});

const Cell = memo(function Cell({ value, kind }: { value: JsonValue | undefined; kind: Look }): ReactNode {
  return <td className={right(kind) ? "right" : kind}>{show(value, kind)}</td>;
});

function className(kind: Look | undefined, name: string, key: readonly string[]): string {
  return `${kind !== undefined && right(kind) ? "right" : ""} ${key.includes(name) ? "key" : ""}`.trim();
}

function keyOf(key: readonly string[], row: Row, place: number): string {
  return key.length === 0 ? String(place) : key.map((name) => String(row[name])).join(" ");
}

/** The rows to show: the first by name or key, or those with the highest keys or latest times. One pass, whatever the size. */
function top({ rows, columns, key }: LiveRows, order: Order): readonly Row[] {
  const compare = order === "latest" ? latest(columns, key) : steady(columns, key);
  const found: Row[] = [];
  for (const row of rows) {
    const last = found[SHOWN - 1];
    if (last !== undefined && compare(row, last) >= 0) continue;
    let at = found.length;
    while (at > 0 && compare(row, found[at - 1] ?? row) < 0) at -= 1;
    found.splice(at, 0, row);
    if (found.length > SHOWN) found.pop();
  }
  return found;
}

type Compare = (a: Row, b: Row) => number;

function steady(columns: readonly Column[], key: readonly string[]): Compare {
  const names = columns.some(({ name }) => name === "name") ? ["name", ...key] : key;
  return chain(names.map((name) => by(columns, name)));
}

function latest(columns: readonly Column[], key: readonly string[]): Compare {
  const counted = key.filter((name) => isNumber(columns, name));
  const times = columns.filter(({ name }) => name === "updated_at").map(({ name }) => name);
  const order = chain((counted.length > 0 ? counted : [...times, ...key]).map((name) => by(columns, name)));
  return (a, b) => order(b, a);
}

function isNumber(columns: readonly Column[], name: string): boolean {
  return columns.some((column) => column.name === name && look(column) === "number");
}

function by(columns: readonly Column[], name: string): Compare {
  if (isNumber(columns, name)) return (a, b) => Number(a[name]) - Number(b[name]);
  return (a, b) => {
    const [left, right] = [String(a[name]), String(b[name])];
    return left < right ? -1 : left > right ? 1 : 0;
  };
}

function chain(compares: readonly Compare[]): Compare {
  return (a, b) => {
    for (const compare of compares) {
      const order = compare(a, b);
      if (order !== 0) return order;
    }
    return 0;
  };
}
