import type { Query } from "./query.js";
import { Anomaly, type RowSet } from "./rows.js";
import type { Change, Changes, Column, Schema, Subscribed } from "./wire.js";

/** A source transaction's changes to one shape, as they are handed to a subscription without rows. */
export interface Transaction {
  readonly table: string;
  readonly server: string;
  /** Commit time, RFC 3339 in UTC with microseconds. */
  readonly at: string;
  readonly tx: string;
  readonly columns: readonly Column[];
  readonly changes: readonly Change[];
  /** False while the client catches up. */
  readonly live: boolean;
}

interface Unfinished {
  readonly ops: (Change | Schema)[];
  parts: number;
}

/**
 * A shape's stream on one connection: the set of rows that its frames go to, the subscriptions that hold it,
 * and the transaction that isn't complete yet. An unfinished transaction is held in memory whole.
 */
export class Stream {
  readonly queries = new Set<Query>();
  live = false;
  #unfinished: Unfinished | undefined;

  constructor(
    readonly info: Subscribed,
    readonly rows: RowSet,
  ) {}

  /** Whether a cursor is a place to resume from: with `resumed` from the start, else from `live` on. */
  get counts(): boolean {
    return this.live || this.info.resumed;
  }

  /** Takes a frame of changes; applies the transaction and returns it when the frame is its last one. */
  take(frame: Changes): Transaction | undefined {
    const part = frame.part ?? 0;
    if (part === 0) this.#unfinished = { ops: [], parts: 0 };
    const unfinished = this.#unfinished;
    if (unfinished === undefined || unfinished.parts !== part) throw new Anomaly(`part ${part} out of turn`);
    for (const change of frame.changes) unfinished.ops.push(change);
    unfinished.parts += 1;
    if (frame.more) return undefined;
    this.#unfinished = undefined;
    const changes = this.#apply(unfinished.ops);
    if (this.counts) this.rows.cursor = frame.cursor;
    const { table, server } = this.info;
    return {
      table,
      server,
      at: frame.at,
      tx: frame.tx,
      columns: this.rows.columns,
      changes,
      live: this.live,
    };
  }

  /** Columns were added: at once, or where the unfinished transaction has them. */
  extend(frame: Schema): void {
    if (this.#unfinished === undefined) this.rows.extend(frame.columns, frame.fill);
    else this.#unfinished.ops.push(frame);
  }

  #apply(ops: readonly (Change | Schema)[]): readonly Change[] {
    const lenient = this.info.capture === "warehouse" && !this.live;
    const changes: Change[] = [];
    for (const op of ops) {
      if ("op" in op) {
        this.rows.apply(op, lenient);
        changes.push(op);
      } else {
        this.rows.extend(op.columns, op.fill);
      }
    }
    return changes;
  }
}
