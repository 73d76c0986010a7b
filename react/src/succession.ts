import type { RelayClient } from "./client.js";
import type { Observable } from "./observable.js";
import { type LiveRows, type QuerySpec, queryKey, select } from "./query.js";
import type { Row } from "./wire.js";

/** A query at which the component looks, or did. */
interface Look<R extends object> {
  readonly key: string;
  readonly rows: Observable<LiveRows<R>>;
}

/**
 * What one component looks at, from one query to the next. Until a query has an answer, the rows of the last one that
 * had some are shown, as `stale`:
 *
 *     query    A ───────── B ──── C ───────────────────────────────
 *     shown    A's, live   A's, stale        C's, live (or its error)
 *     open     A           A, B   A, C       C
 *
 * What is on screen stays subscribed, so that what the server withdraws leaves the screen here too.
 * `rows` may be called by a render that comes to nothing: only `subscribe` changes anything.
 */
export class Succession<R extends object = Row> {
  readonly #client: RelayClient;
  #now: Look<R> | undefined;
  #before: Look<R> | undefined;

  constructor(client: RelayClient) {
    this.#client = client;
  }

  /** The query's rows, or those of before it. */
  rows(spec: QuerySpec): Observable<LiveRows<R>> {
    const look = { key: queryKey(select(spec), true), rows: this.#client.liveRows<R>(spec) };
    let seen: [own: LiveRows<R>, earlier: LiveRows<R> | undefined, both: LiveRows<R>] | undefined;
    return {
      subscribe: (listener) => this.#subscribe(look, listener),
      getSnapshot: () => {
        const own = look.rows.getSnapshot();
        const earlier = this.#earlier(look)?.rows.getSnapshot();
        if (seen?.[0] !== own || seen[1] !== earlier) seen = [own, earlier, compose(own, earlier)];
        return seen[2];
      },
    };
  }

  #subscribe(look: Look<R>, listener: () => void): () => void {
    const earlier = this.#earlier(look);
    const leave = look.rows.subscribe(() => {
      settle();
      listener();
    });
    let release = earlier?.rows.subscribe(listener);
    this.#now = look;
    this.#before = earlier;
    const settle = () => {
      if (unanswered(look.rows.getSnapshot())) return;
      this.#before = undefined;
      release?.();
      release = undefined;
    };
    settle();
    return () => {
      leave();
      release?.();
    };
  }

  /** Whose rows stand in for this query's. */
  #earlier({ key }: Look<R>): Look<R> | undefined {
    const looks = this.#now?.key === key ? [this.#before] : [this.#now, this.#before];
    return looks.find((look) => look !== undefined && look.key !== key && shows(look.rows.getSnapshot()));
  }
}

function compose<R extends object>(own: LiveRows<R>, earlier: LiveRows<R> | undefined): LiveRows<R> {
  if (earlier === undefined || !unanswered(own)) return own;
  const { rows, columns, key } = earlier;
  const shown = { rows, columns, key, status: "stale" } as const;
  return own.problem === undefined ? shown : { ...shown, problem: own.problem };
}

function unanswered({ status }: LiveRows<object>): boolean {
  return status === "loading";
}

function shows({ status }: LiveRows<object>): boolean {
  return status === "live" || status === "stale";
}
