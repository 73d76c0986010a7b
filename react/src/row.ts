import type { Observable } from "./observable.js";
import type { LiveRows, Problem, RowsStatus } from "./query.js";
import type { Row } from "./wire.js";

export interface LiveRow<R extends object = Row> {
  /** Undefined where there is no such row, and until it is known. */
  readonly row: R | undefined;
  readonly status: RowsStatus;
  readonly problem?: Problem;
}

/** One row of a query; who looks at it hears nothing of the others. */
export class RowView<R extends object> implements Observable<LiveRow<R>> {
  readonly #rows: Observable<LiveRows<R>>;
  readonly #find: () => R | undefined;
  #seen: LiveRows<R> | undefined;
  #value: LiveRow<R> = { row: undefined, status: "loading" };

  constructor(rows: Observable<LiveRows<R>>, find: () => R | undefined) {
    this.#rows = rows;
    this.#find = find;
  }

  subscribe(listener: () => void): () => void {
    let before = this.getSnapshot();
    return this.#rows.subscribe(() => {
      const now = this.getSnapshot();
      if (now === before) return;
      before = now;
      listener();
    });
  }

  getSnapshot(): LiveRow<R> {
    const seen = this.#rows.getSnapshot();
    if (seen === this.#seen) return this.#value;
    const row = this.#seen?.rows === seen.rows ? this.#value.row : this.#find();
    this.#seen = seen;
    const { status, problem } = seen;
    if (row !== this.#value.row || status !== this.#value.status || problem !== this.#value.problem) {
      this.#value = problem === undefined ? { row, status } : { row, status, problem };
    }
    return this.#value;
  }
}
