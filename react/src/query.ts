import { identical } from "./json.js";
import type { RowSet } from "./rows.js";
import { parameter, Sql, type SqlValue } from "./sql.js";
import type { Stream, Transaction } from "./stream.js";
import type { Column, JsonValue, Row } from "./wire.js";

/** What is subscribed to. */
export interface QuerySpec {
  /** `schema.name`, as the warehouse names it. */
  readonly table: string;
  /** All that the rules show, when absent; the key's columns come anyway. */
  readonly columns?: readonly string[] | undefined;
  /** Boolean expression in the language of the rules: sql`…` with its values, or a string with `params`. */
  readonly where?: Sql | string | undefined;
  /** For `$1`… in a `where` that is a string. */
  readonly params?: readonly SqlValue[] | undefined;
}

/** What is subscribed to, as `subscribe` says it. */
export interface Selection {
  readonly table: string;
  readonly columns?: readonly string[];
  readonly where?: string;
  readonly params?: readonly JsonValue[];
}

export type RowsStatus =
  /** No rows yet. */
  | "loading"
  /** The rows are the table's. */
  | "live"
  /**
   * The rows are those of an earlier moment, because the connection is away or newer ones are on their way; or, in
   * `useLiveRows`, those of the inputs before, until the rows of the present ones are live.
   */
  | "stale"
  /** The table isn't there for this role; its rows come by themselves when it is. No rows. */
  | "missing"
  /** Refused, as a `where` that the server can't take; `problem` says why. No rows. Asked again with the next connection. */
  | "error";

/** Why rows aren't live. */
export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

export interface LiveRows<R extends object = Row> {
  /** The same array as long as no row changes; a row that doesn't change stays the same object. */
  readonly rows: readonly R[];
  readonly status: RowsStatus;
  readonly columns: readonly Column[];
  /** The key's column names; empty in a table without a key. */
  readonly key: readonly string[];
  readonly problem?: Problem;
}

/** Takes the changes of a subscription without rows. */
export interface ChangesHandler {
  /** A whole transaction. */
  transaction(transaction: Transaction): void;
  /** From here on nothing is missed. */
  live?(): void;
  /** Changes were missed before this. */
  missed?(): void;
}

/** What is shown before anything is known. */
export const NOTHING: LiveRows<never> = Object.freeze({ rows: [], status: "loading", columns: [], key: [] });

/**
 * The query in its one form, in which equal ones are equal texts. The order of the columns means nothing.
 *
 * @throws TypeError for a parameter that is no value.
 */
export function select({ table, columns, where, params }: QuerySpec): Selection {
  if (where instanceof Sql && params !== undefined) {
    throw new TypeError(
      "pgrelay: sql`…` has its parameters already; params belong to a where that is a string",
    );
  }
  const values =
    where instanceof Sql ? where.params : params?.map((value, i) => parameter(value, `$${i + 1}`));
  return {
    table,
    ...(columns === undefined ? {} : { columns: [...new Set(columns)].sort() }),
    ...(where === undefined ? {} : { where: where instanceof Sql ? where.text : where }),
    ...(values === undefined || (where instanceof Sql && values.length === 0) ? {} : { params: values }),
  };
}

/** Equal queries have equal keys. */
export function queryKey({ table, columns, where, params }: Selection, keep: boolean): string {
  return JSON.stringify([keep, table, columns ?? null, where ?? null, params ?? null]);
}

/**
 * One query of the page and the one subscription that serves it: what is shown, from where it can be resumed,
 * and how it stands on the present connection. The session changes it, the client publishes it.
 */
export class Query {
  /** Components that look at it. */
  holders = 0;
  readonly listeners = new Set<() => void>();
  readonly handlers = new Set<ChangesHandler>();
  /** Lets go of the connection that this query holds. */
  release: (() => void) | undefined;

  /** The subscription that is open on the present connection. */
  id: number | undefined;
  /** `unsubscribe` is sent and not yet answered. */
  closing = false;
  /** Ended for good on this connection. */
  ended = false;
  stream: Stream | undefined;
  /** The open subscription sent a `since`, or has been live. */
  continued = false;

  /** The rows on screen. */
  shown: RowSet | undefined;
  /** The rows after which the server would continue this subscription on this connection. */
  base: RowSet | undefined;
  problem: (Problem & { readonly status?: "missing" | "error" }) | undefined;
  #withdrawal: ReturnType<typeof setTimeout> | undefined;
  #published: LiveRows = NOTHING;

  constructor(
    readonly key: string,
    readonly spec: Selection,
    readonly keep: boolean,
  ) {}

  get published(): LiveRows {
    return this.#published;
  }

  get status(): RowsStatus {
    if (this.problem?.status !== undefined) return this.problem.status;
    if (this.stream?.live) return "live";
    return this.shown === undefined ? "loading" : "stale";
  }

  /** Whether this query shows these rows, could go on with them, or has a stream that writes to them. */
  uses(rows: RowSet): boolean {
    return this.shown === rows || this.base === rows || this.stream?.rows === rows;
  }

  show(rows: RowSet): void {
    this.shown = rows;
    this.#keepRows();
  }

  /** Rows and cursor are dropped. */
  drop(): void {
    this.shown = undefined;
    this.base = undefined;
    this.#keepRows();
  }

  /** Takes the rows off the screen after `ms`, unless others are shown before that; they stay a place to resume from. */
  withdraw(ms: number, done: () => void): void {
    this.#withdrawal ??= setTimeout(() => {
      this.#withdrawal = undefined;
      this.shown = undefined;
      done();
    }, ms);
  }

  /** The subscription is no longer open on the connection. */
  detach(): void {
    this.stream?.queries.delete(this);
    this.stream = undefined;
    this.id = undefined;
    this.closing = false;
    this.continued = false;
  }

  /** Makes what is shown visible to components; they are told when it differs. */
  publish(): void {
    const before = this.#published;
    const now = this.#compose(before);
    if (equal(before, now)) return;
    this.#published = now;
    for (const listener of [...this.listeners]) listener();
  }

  #compose(before: LiveRows): LiveRows {
    const { shown, status } = this;
    if (shown?.broken) return { ...before, status: "stale" };
    const rows = shown?.list() ?? NOTHING.rows;
    const columns = shown?.columns ?? NOTHING.columns;
    const key = shown?.key ?? NOTHING.key;
    if (this.problem === undefined) return { rows, status, columns, key };
    const { code, message, hint } = this.problem;
    return {
      rows,
      status,
      columns,
      key,
      problem: hint === undefined ? { code, message } : { code, message, hint },
    };
  }

  #keepRows(): void {
    clearTimeout(this.#withdrawal);
    this.#withdrawal = undefined;
  }
}

function equal(a: LiveRows, b: LiveRows): boolean {
  return (
    a.rows === b.rows &&
    a.status === b.status &&
    (a.columns === b.columns || JSON.stringify(a.columns) === JSON.stringify(b.columns)) &&
    identical(a.key, b.key) &&
    a.problem?.code === b.problem?.code &&
    a.problem?.message === b.problem?.message &&
    a.problem?.hint === b.problem?.hint
  );
}
