import { identical, same } from "./json.js";
import type { Change, Column, Cursor, JsonValue, Row, Subscribed } from "./wire.js";

/** A change that doesn't fit the rows it is meant for: what the client has can't be trusted any more. */
export class Anomaly extends Error {
  override name = "Anomaly";
}

/** What of `subscribed` decides how rows are kept. */
export type ShapeKind = Pick<Subscribed, "key" | "bag" | "columns">;

/**
 * One set of rows and the cursor up to which it is complete. It is changed in place, and only by whole transactions;
 * `list` gives an array that stays as it is. A row that doesn't change keeps its identity.
 */
export abstract class RowSet {
  /** Undefined while the set is being built, and after an anomaly. */
  cursor: Cursor | undefined;
  columns: readonly Column[];
  readonly key: readonly string[];
  /** A transaction failed half way: the set must not be shown. */
  broken = false;
  #list: readonly Row[] | undefined;

  constructor(kind: ShapeKind) {
    this.columns = kind.columns;
    this.key = kind.key;
  }

  abstract readonly size: number;
  /** The row with this key; undefined in a set without keys. */
  abstract find(key: Row | JsonValue): Row | undefined;
  abstract clone(): RowSet;
  protected abstract insert(row: Row, lenient: boolean): void;
  protected abstract update(row: Row, key: Row | undefined, lenient: boolean): void;
  protected abstract remove(key: Row, lenient: boolean): void;
  protected abstract clear(): void;
  protected abstract map(change: (row: Row) => Row): void;
  protected abstract build(): Row[];
  protected abstract adoptRows(old: RowSet): void;

  /** The rows, in the order in which they came. The same array as long as nothing changes. */
  list(): readonly Row[] {
    this.#list ??= this.build();
    return this.#list;
  }

  /**
   * Applies one change. `lenient` is for sets whose snapshot isn't joined exactly to the stream:
   * an insert replaces, an update or delete of what isn't there is ignored.
   */
  apply(change: Change, lenient = false): void {
    this.#list = undefined;
    switch (change.op) {
      case "insert":
        return this.insert(change.row, lenient);
      case "update":
        return this.update(change.row, change.key, lenient);
      case "delete":
        return this.remove(change.key, lenient);
      case "truncate":
        return this.clear();
    }
  }

  /** Adds rows of a snapshot. */
  load(rows: readonly Row[]): void {
    this.#list = undefined;
    for (const row of rows) this.insert(row, false);
  }

  /** Columns were added: every row takes these values. */
  extend(columns: readonly Column[], fill: Row): void {
    this.columns = columns;
    this.#list = undefined;
    this.map((row) => ({ ...row, ...fill }));
  }

  /** Takes over the identities of equal rows from the set that this one replaces. */
  adopt(old: RowSet): void {
    if (old === this) return;
    this.adoptRows(old);
    this.#list = undefined;
    if (identical(this.list(), old.list())) this.#list = old.list();
  }

  protected copyTo<T extends RowSet>(copy: T): T {
    copy.cursor = this.cursor;
    return copy;
  }
}

/** How rows of such a shape are kept; `keep` is false for a subscription without rows. */
export function rowSet(kind: ShapeKind, keep: boolean): RowSet {
  if (!keep) return new NoRows(kind);
  if (kind.bag) return new BagRows(kind);
  return kind.key.length === 0 ? new ArrivingRows(kind) : new KeyedRows(kind);
}

type MapKey = string | number | boolean | null | undefined;

/** Rows by key. */
class KeyedRows extends RowSet {
  #rows = new Map<MapKey, Row>();

  get size(): number {
    return this.#rows.size;
  }

  find(key: Row | JsonValue): Row | undefined {
    return this.#rows.get(isRow(key) ? this.#keyOf(key) : mapKey(key));
  }

  clone(): RowSet {
    const copy = new KeyedRows(this);
    copy.#rows = new Map(this.#rows);
    return this.copyTo(copy);
  }

  protected insert(row: Row, lenient: boolean): void {
    const key = this.#keyOf(row);
    if (!lenient && this.#rows.has(key)) throw new Anomaly(`insert of a key that is there: ${String(key)}`);
    this.#rows.set(key, row);
  }

  protected update(row: Row, oldKey: Row | undefined, lenient: boolean): void {
    const key = this.#keyOf(row);
    const from = oldKey === undefined ? key : this.#keyOf(oldKey);
    const old = this.#rows.get(from);
    if (old === undefined) {
      if (lenient) return;
      throw new Anomaly(`update of a key that is not there: ${String(from)}`);
    }
    const next = { ...old, ...row };
    if (from !== key) {
      if (!lenient && this.#rows.has(key)) throw new Anomaly(`change to a key that is there: ${String(key)}`);
      this.#rows.delete(from);
      this.#rows.set(key, next);
    } else if (!same(old, next)) {
      this.#rows.set(key, next);
    }
  }

  protected remove(key: Row, lenient: boolean): void {
    const gone = this.#rows.delete(this.#keyOf(key));
    if (!gone && !lenient)
      throw new Anomaly(`delete of a key that is not there: ${String(this.#keyOf(key))}`);
  }

  protected clear(): void {
    this.#rows.clear();
  }

  protected map(change: (row: Row) => Row): void {
    for (const [key, row] of this.#rows) this.#rows.set(key, change(row));
  }

  protected build(): Row[] {
    return [...this.#rows.values()];
  }

  protected adoptRows(old: RowSet): void {
    if (!(old instanceof KeyedRows)) return;
    for (const [key, row] of this.#rows) {
      const before = old.#rows.get(key);
      if (before !== undefined && same(before, row)) this.#rows.set(key, before);
    }
  }

  #keyOf(row: Row): MapKey {
    const [only] = this.key;
    if (this.key.length === 1 && only !== undefined) return mapKey(row[only]);
    return JSON.stringify(this.key.map((name) => row[name]));
  }
}

/** Rows without a key, of which equal ones may occur: a multiset. */
class BagRows extends RowSet {
  #rows = new Map<string, { row: Row; count: number }>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(): undefined {
    return undefined;
  }

  clone(): RowSet {
    const copy = new BagRows(this.#kind());
    for (const [text, entry] of this.#rows) copy.#rows.set(text, { ...entry });
    copy.#size = this.#size;
    return this.copyTo(copy);
  }

  protected insert(row: Row): void {
    this.#add(row, 1);
  }

  protected update(row: Row, key: Row | undefined, lenient: boolean): void {
    if (key === undefined) throw new Anomaly("update of a bag without the old row");
    if (this.#take(key, lenient)) this.#add(row, 1);
  }

  protected remove(key: Row, lenient: boolean): void {
    this.#take(key, lenient);
  }

  protected clear(): void {
    this.#rows.clear();
    this.#size = 0;
  }

  protected map(change: (row: Row) => Row): void {
    const entries = [...this.#rows.values()];
    this.clear();
    for (const { row, count } of entries) this.#add(change(row), count);
  }

  protected build(): Row[] {
    return [...this.#rows.values()].flatMap(({ row, count }) => Array<Row>(count).fill(row));
  }

  protected adoptRows(old: RowSet): void {
    if (!(old instanceof BagRows)) return;
    for (const [text, entry] of this.#rows) {
      const before = old.#rows.get(text);
      if (before !== undefined && same(before.row, entry.row)) entry.row = before.row;
    }
  }

  #kind(): ShapeKind {
    return { key: this.key, bag: true, columns: this.columns };
  }

  #text(row: Row): string {
    return JSON.stringify(this.columns.map(({ name }) => row[name]));
  }

  #add(row: Row, count: number): void {
    const text = this.#text(row);
    const entry = this.#rows.get(text);
    if (entry === undefined) this.#rows.set(text, { row, count });
    else entry.count += count;
    this.#size += count;
  }

  #take(row: Row, lenient: boolean): boolean {
    const text = this.#text(row);
    const entry = this.#rows.get(text);
    if (entry === undefined) {
      if (lenient) return false;
      throw new Anomaly("change of a row that is not in the bag");
    }
    entry.count -= 1;
    this.#size -= 1;
    if (entry.count === 0) this.#rows.delete(text);
    return true;
  }
}

/** An insert-only table's rows: they only arrive. */
class ArrivingRows extends RowSet {
  #rows: Row[] = [];

  get size(): number {
    return this.#rows.length;
  }

  find(): undefined {
    return undefined;
  }

  clone(): RowSet {
    const copy = new ArrivingRows(this);
    copy.#rows = [...this.#rows];
    return this.copyTo(copy);
  }

  protected insert(row: Row): void {
    this.#rows.push(row);
  }

  protected update(): void {
    throw new Anomaly("update in an insert-only table");
  }

  protected remove(): void {
    throw new Anomaly("delete in an insert-only table");
  }

  protected clear(): void {
    this.#rows = [];
  }

  protected map(change: (row: Row) => Row): void {
    this.#rows = this.#rows.map(change);
  }

  protected build(): Row[] {
    return [...this.#rows];
  }

  protected adoptRows(old: RowSet): void {
    if (!(old instanceof ArrivingRows)) return;
    this.#rows = this.#rows.map((row, i) => {
      const before = old.#rows[i];
      return before !== undefined && same(before, row) ? before : row;
    });
  }
}

/** Of a subscription without a snapshot only the cursor is kept. */
class NoRows extends RowSet {
  readonly size = 0;

  find(): undefined {
    return undefined;
  }

  clone(): RowSet {
    return this.copyTo(new NoRows(this));
  }

  protected insert(): void {}
  protected update(): void {}
  protected remove(): void {}
  protected clear(): void {}
  protected map(): void {}
  protected adoptRows(): void {}

  protected build(): Row[] {
    return [];
  }
}

function isRow(key: Row | JsonValue): key is Row {
  return typeof key === "object" && key !== null && !Array.isArray(key);
}

function mapKey(value: JsonValue | undefined): MapKey {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}
