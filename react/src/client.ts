import { Connection, type ConnectionOptions, type ConnectionState } from "./connection.js";
import type { Observable } from "./observable.js";
import { beforePaint, watchPage } from "./page.js";
import {
  type ChangesHandler,
  type LiveRows,
  NOTHING,
  Query,
  type QuerySpec,
  queryKey,
  type Selection,
  select,
} from "./query.js";
import { type LiveRow, RowView } from "./row.js";
import type { RowSet } from "./rows.js";
import { type Counters, Session } from "./session.js";
import type { Transaction } from "./stream.js";
import type { TokenSource } from "./token.js";
import { type JsonValue, PATH, type Row, type ServerMessage } from "./wire.js";

export interface RelayOptions extends Omit<ConnectionOptions, "url"> {
  /** Where the relay's WebSocket is, absolute or relative to the page. Default `/v1/ws`. */
  readonly url?: string | undefined;
  /** Milliseconds for which a subscription that has shown rows stays open after the last look at it. Default 1,000. */
  readonly linger?: number | undefined;
  /** Milliseconds for which its rows are kept after that, to be shown and continued at once. Default 60,000. */
  readonly keep?: number | undefined;
  /** Runs a function before the next paint; all changes until then are one render. */
  readonly schedule?: ((flush: () => void) => void) | undefined;
  /** Sees each transaction as it is applied. */
  readonly onTransaction?: ((transaction: Transaction) => void) | undefined;
}

const LINGER = 1_000;
const KEEP = 60_000;

/**
 * The page's one connection to a relay and the live rows that come over it.
 * It connects while something is looked at or held, and nothing outlives it.
 */
export class RelayClient {
  readonly counters: Counters = {
    connections: 0,
    subscribes: 0,
    resumes: 0,
    snapshots: 0,
    resyncs: 0,
    transactions: 0,
    changes: 0,
    caughtUp: 0,
    anomalies: 0,
  };
  /** How the connection stands. */
  readonly connection: Observable<ConnectionState>;

  readonly #options: RelayOptions;
  readonly #connection: Connection;
  readonly #queries = new Map<string, Query>();
  readonly #timers = new Map<Query | RelayClient, ReturnType<typeof setTimeout>>();
  readonly #watchers = new Set<() => void>();
  readonly #dirtyRows = new Set<RowSet>();
  readonly #dirtyQueries = new Set<Query>();
  #flushing = false;
  #holders = 0;
  #lastID = 0;
  #session: Session | undefined;
  #unwatch: (() => void) | undefined;

  constructor(options: RelayOptions = {}) {
    this.#options = options;
    this.#connection = new Connection(
      { ...options, url: options.url ?? PATH },
      {
        welcomed: () => this.#welcomed(),
        received: (message) => this.#received(message),
        lost: () => this.#lost(),
        another: () => this.#drop(),
        changed: () => {
          for (const watcher of [...this.#watchers]) watcher();
        },
      },
    );
    this.connection = {
      subscribe: (listener) => {
        this.#watchers.add(listener);
        return () => this.#watchers.delete(listener);
      },
      getSnapshot: () => this.#connection.state,
    };
  }

  /** Holds the connection until the function that it returns is called. */
  retain(): () => void {
    this.#holders += 1;
    this.#cancel(this);
    this.#unwatch ??= watchPage({
      wake: () => this.#connection.wake(),
      doubt: () => this.#connection.probe(),
    });
    this.#connection.start();
    return once(() => {
      this.#holders -= 1;
      if (this.#holders === 0) this.#after(this, this.#options.linger ?? LINGER, () => this.#rest());
    });
  }

  /** The rows of a query, while somebody subscribes to them. Equal queries are one subscription. */
  liveRows<R extends object = Row>(spec: QuerySpec): Observable<LiveRows<R>> {
    const selection = select(spec);
    const key = queryKey(selection, true);
    return {
      subscribe: (listener) => {
        const query = this.#hold(key, selection, true);
        query.listeners.add(listener);
        return once(() => {
          query.listeners.delete(listener);
          this.#letGo(query);
        });
      },
      getSnapshot: () => (this.#queries.get(key)?.published ?? NOTHING) as LiveRows<R>,
    };
  }

  /** The one row of a query that has this key: a value where the key is one column, else an object. */
  liveRow<R extends object = Row>(spec: QuerySpec, key: JsonValue): Observable<LiveRow<R>> {
    const rows = this.liveRows<R>(spec);
    const name = queryKey(select(spec), true);
    return new RowView<R>(rows, () => this.#queries.get(name)?.shown?.find(key) as R | undefined);
  }

  /** Hands a table's transactions over as they come, without its rows. Returns what ends it. */
  listen(spec: QuerySpec, handler: ChangesHandler): () => void {
    const selection = select(spec);
    const query = this.#hold(queryKey(selection, false), selection, false);
    query.handlers.add(handler);
    return once(() => {
      query.handlers.delete(handler);
      this.#letGo(query);
    });
  }

  /** Closes the connection until `resume`; the rows stay. */
  pause(): void {
    this.#connection.pause();
  }

  /** Connects at once: after `pause`, in a backoff, or where the client had given up. */
  resume(): void {
    this.#connection.resume();
  }

  /**
   * Another token, or where it comes from. For the same `sub` the connection goes on; for another, or none, the rows of
   * the one before are dropped and a new connection begins: at once, or when the function has answered.
   */
  setToken(source: TokenSource | undefined): void {
    this.#connection.setToken(source);
  }

  #hold(key: string, selection: Selection, keep: boolean): Query {
    let query = this.#queries.get(key);
    if (query === undefined) {
      query = new Query(key, selection, keep);
      this.#queries.set(key, query);
    }
    this.#cancel(query);
    query.holders += 1;
    if (query.holders === 1) query.release = this.retain();
    this.#session?.subscribe(query);
    return query;
  }

  /** One that has shown nothing yet, as a filter that is typed on, ends at once: nobody gains by its rows. */
  #letGo(query: Query): void {
    query.holders -= 1;
    if (query.holders > 0) return;
    query.release?.();
    const ms = query.status === "loading" ? 0 : (this.#options.linger ?? LINGER);
    this.#after(query, ms, () => {
      if (query.id === undefined) this.#unneeded(query);
      else this.#session?.unsubscribe(query);
    });
  }

  /** A query that nobody looks at and that has no subscription. */
  #unneeded(query: Query): void {
    const ms = query.shown === undefined ? 0 : (this.#options.keep ?? KEEP);
    if (ms > 0 && query.keep) this.#after(query, ms, () => this.#forget(query));
    else this.#forget(query);
  }

  #forget(query: Query): void {
    query.drop();
    this.#queries.delete(query.key);
  }

  #rest(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#connection.stop();
  }

  #welcomed(): void {
    this.counters.connections += 1;
    const { counters } = this;
    this.#session = new Session({
      counters,
      messageBytes: this.#connection.state.limits?.message_bytes || Number.POSITIVE_INFINITY,
      send: (message) => this.#connection.send(message),
      nextID: () => ++this.#lastID,
      touched: (rows) => {
        this.#dirtyRows.add(rows);
        this.#schedule();
      },
      changed: (query) => this.#changed(query),
      ended: (query) => this.#ended(query),
      applied: (transaction) => this.#options.onTransaction?.(transaction),
    });
    for (const query of this.#queries.values()) {
      query.ended = false;
      if (query.holders > 0) this.#session.subscribe(query);
    }
  }

  #received(message: ServerMessage): void {
    try {
      this.#session?.receive(message);
    } catch (error) {
      this.counters.anomalies += 1;
      throw error;
    }
  }

  #lost(): void {
    const session = this.#session;
    this.#session = undefined;
    session?.lost();
    for (const query of this.#queries.values()) {
      if (query.holders === 0 && !this.#timers.has(query)) this.#unneeded(query);
    }
  }

  /** What is shown was another person's. */
  #drop(): void {
    for (const query of this.#queries.values()) {
      query.drop();
      this.#changed(query);
    }
  }

  /** A subscription is over: the query is asked for again where it is wanted, or gone. */
  #ended(query: Query): void {
    if (query.holders > 0) this.#session?.subscribe(query);
    else if (!this.#timers.has(query)) this.#unneeded(query);
  }

  #changed(query: Query): void {
    this.#dirtyQueries.add(query);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    (this.#options.schedule ?? beforePaint)(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const dirty = [...this.#queries.values()].filter(
      (query) =>
        this.#dirtyQueries.has(query) || (query.shown !== undefined && this.#dirtyRows.has(query.shown)),
    );
    this.#dirtyQueries.clear();
    this.#dirtyRows.clear();
    for (const query of dirty) query.publish();
  }

  #after(what: Query | RelayClient, ms: number, run: () => void): void {
    this.#cancel(what);
    const timer = setTimeout(() => {
      this.#timers.delete(what);
      run();
    }, ms);
    this.#timers.set(what, timer);
  }

  #cancel(what: Query | RelayClient): void {
    clearTimeout(this.#timers.get(what));
    this.#timers.delete(what);
  }
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    run();
  };
}
