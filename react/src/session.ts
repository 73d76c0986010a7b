import type { Query } from "./query.js";
import { Anomaly, type RowSet, rowSet } from "./rows.js";
import { Stream, type Transaction } from "./stream.js";
import type {
  Changes,
  ClientMessage,
  Closed,
  CursorMessage,
  ErrorMessage,
  Live,
  Resync,
  Schema,
  ServerMessage,
  Snapshot,
  Subscribe,
  Subscribed,
  Waiting,
} from "./wire.js";

/** Milliseconds that rows may stay on screen after the rules changed. */
const WITHDRAWAL = 5_000;

/** What happened so far, for a page that shows it and for tests. */
export interface Counters {
  /** Connections that were welcomed. */
  connections: number;
  /** `subscribe` messages sent. */
  subscribes: number;
  /** Subscriptions that continued after their cursor. */
  resumes: number;
  /** Sets of rows that were loaded anew. */
  snapshots: number;
  /** `resync` messages. */
  resyncs: number;
  transactions: number;
  changes: number;
  /** Changes that came between a resume and its `live`. */
  caughtUp: number;
  /** Frames that didn't fit. */
  anomalies: number;
}

/** What a session needs of its client. */
export interface SessionHost {
  readonly counters: Counters;
  /** The largest message that the server takes, in bytes. */
  readonly messageBytes: number;
  send(message: ClientMessage): void;
  /** A subscription's number: larger than every earlier one. */
  nextID(): number;
  /** These rows changed. */
  touched(rows: RowSet): void;
  /** What this query shows or how it stands changed. */
  changed(query: Query): void;
  /** The query has no subscription any more. */
  ended(query: Query): void;
  applied(transaction: Transaction): void;
}

/** The subscriptions and shapes of one connection, from its `welcome` to its end. */
export class Session {
  readonly #host: SessionHost;
  readonly #ids = new Map<number, Query>();
  readonly #streams = new Map<string, Stream>();
  /** To whom rows were lent: a set goes with one query's `since`, never with another's. */
  readonly #lent = new Map<RowSet, Query>();

  constructor(host: SessionHost) {
    this.#host = host;
  }

  /** Opens a subscription for the query; one that is being closed is opened again when that is answered. */
  subscribe(query: Query): void {
    if (query.id !== undefined || query.ended) return;
    const since = this.#lend(query);
    const message: Subscribe = { type: "subscribe", id: this.#host.nextID(), ...query.spec };
    if (!query.keep) message.snapshot = false;
    if (since?.cursor !== undefined) message.since = since.cursor;
    if (new TextEncoder().encode(JSON.stringify(message)).length > this.#host.messageBytes) {
      return this.#end(query, { code: "limit", message: "the subscription is larger than the server takes" });
    }
    query.id = message.id;
    query.base = since;
    query.continued = since !== undefined;
    if (since !== undefined) this.#lent.set(since, query);
    this.#ids.set(message.id, query);
    this.#host.counters.subscribes += 1;
    this.#host.send(message);
  }

  /** Ends the query's subscription; its frames are applied until the server has answered. */
  unsubscribe(query: Query): void {
    if (query.id === undefined || query.closing) return;
    query.closing = true;
    this.#host.send({ type: "unsubscribe", id: query.id });
  }

  /** The connection is gone: unfinished sets and transactions go with it, shown rows stay. */
  lost(): void {
    for (const query of this.#ids.values()) {
      query.detach();
      if (query.shown !== undefined) query.base = undefined;
      this.#host.changed(query);
    }
    this.#ids.clear();
    this.#streams.clear();
  }

  /** Takes a message; throws an Anomaly where it doesn't fit what came before. */
  receive(message: ServerMessage): void {
    switch (message.type) {
      case "subscribed":
        return this.#subscribed(message);
      case "waiting":
        return this.#waiting(message);
      case "closed":
        return this.#closed(message);
      case "error":
        return this.#error(message);
      case "resync":
        return this.#resync(message);
      case "snapshot":
      case "changes":
      case "live":
      case "cursor":
      case "schema":
        return this.#frame(message);
    }
  }

  #subscribed(message: Subscribed): void {
    const query = this.#ids.get(message.id);
    if (query === undefined) return;
    query.problem = undefined;
    if (message.shared) this.#attach(query, message);
    else this.#open(query, message);
    this.#host.changed(query);
  }

  #attach(query: Query, message: Subscribed): void {
    const stream = this.#streams.get(message.shape);
    if (stream === undefined) throw new Anomaly("shared shape that isn't open");
    const behind = hasPlace(query) && query.shown?.cursor !== stream.rows.cursor;
    this.#join(query, stream);
    if (stream.live) query.show(stream.rows);
    if (behind) missed(query);
  }

  #open(query: Query, message: Subscribed): void {
    const earlier = this.#streams.get(message.shape);
    if (earlier !== undefined && [...earlier.queries].some((other) => other !== query)) {
      throw new Anomaly("shape that is open already");
    }
    const stream = new Stream(
      message,
      message.resumed ? this.#continue(query, message) : rowSet(message, query.keep),
    );
    this.#join(query, stream);
    this.#streams.set(message.shape, stream);
    if (message.resumed) this.#host.counters.resumes += 1;
    else if (query.keep) this.#host.counters.snapshots += 1;
    if (!message.resumed && hasPlace(query)) missed(query);
  }

  /** The rows that a resumed stream goes on with. Others that show them keep a copy as it is. */
  #continue(query: Query, message: Subscribed): RowSet {
    const base = query.base;
    if (base === undefined) throw new Anomaly("resumed without a cursor");
    const shown = query.shown === undefined || query.shown === base;
    const rows = [...this.#ids.values()].some((other) => other !== query && other.uses(base))
      ? base.clone()
      : base;
    rows.columns = message.columns;
    query.base = rows;
    if (shown) query.show(rows);
    return rows;
  }

  #join(query: Query, stream: Stream): void {
    if (query.stream !== undefined) this.#leave(query, query.stream);
    query.stream = stream;
    stream.queries.add(query);
  }

  /** Without its last query a stream is over, and its unfinished transaction with it. */
  #leave(query: Query, stream: Stream): void {
    stream.queries.delete(query);
    query.stream = undefined;
    if (stream.queries.size === 0 && this.#streams.get(stream.info.shape) === stream) {
      this.#streams.delete(stream.info.shape);
    }
  }

  #frame(message: Snapshot | Changes | Live | CursorMessage | Schema): void {
    const stream = this.#streams.get(message.shape);
    if (stream === undefined) return;
    try {
      this.#apply(stream, message);
    } catch (error) {
      stream.rows.broken = true;
      stream.rows.cursor = undefined;
      throw error;
    }
  }

  #apply(stream: Stream, message: Snapshot | Changes | Live | CursorMessage | Schema): void {
    switch (message.type) {
      case "snapshot":
        if (stream.counts) throw new Anomaly("snapshot of rows that are there");
        return stream.rows.load(message.rows);
      case "changes":
        return this.#changes(stream, message);
      case "live":
        return this.#live(stream, message);
      case "cursor":
        stream.rows.cursor = message.cursor;
        return this.#reached(stream);
      case "schema":
        stream.extend(message);
        return this.#host.touched(stream.rows);
    }
  }

  #changes(stream: Stream, message: Changes): void {
    const transaction = stream.take(message);
    if (transaction === undefined) return;
    const { counters } = this.#host;
    counters.transactions += 1;
    counters.changes += transaction.changes.length;
    if (stream.info.resumed && !stream.live) counters.caughtUp += transaction.changes.length;
    if (stream.counts) this.#reached(stream);
    for (const query of stream.queries) {
      for (const handler of [...query.handlers]) handler.transaction(transaction);
    }
    this.#host.touched(stream.rows);
    this.#host.applied(transaction);
  }

  #live(stream: Stream, message: Live): void {
    stream.live = true;
    const { rows } = stream;
    rows.cursor = message.cursor;
    const old = [...stream.queries].find(({ shown }) => shown !== undefined && !shown.broken)?.shown;
    if (old !== undefined) rows.adopt(old);
    this.#reached(stream);
    for (const query of stream.queries) {
      query.show(rows);
      query.continued = true;
      this.#host.changed(query);
      for (const handler of [...query.handlers]) handler.live?.();
    }
  }

  /** A cursor that counts went out: from here the server would continue each of the stream's subscriptions. */
  #reached(stream: Stream): void {
    for (const query of stream.queries) {
      query.base = stream.rows;
      query.continued = true;
    }
  }

  #resync(message: Resync): void {
    const stream = this.#streams.get(message.shape);
    if (stream === undefined) return;
    this.#host.counters.resyncs += 1;
    for (const query of [...stream.queries]) {
      this.#leave(query, stream);
      if (message.reason === "rule_changed" && query.shown !== undefined) {
        query.withdraw(WITHDRAWAL, () => this.#host.changed(query));
      }
      this.#host.changed(query);
    }
  }

  #waiting(message: Waiting): void {
    const query = this.#ids.get(message.id);
    if (query === undefined) return;
    if (query.stream !== undefined) this.#leave(query, query.stream);
    const problem = { code: message.reason, message: message.message };
    if (message.reason === "not_found") {
      query.drop();
      query.problem = { ...problem, status: "missing" };
    } else {
      query.problem = problem;
    }
    this.#host.changed(query);
  }

  #closed(message: Closed): void {
    const query = this.#ids.get(message.id);
    if (query === undefined) return;
    if (message.code === "unsubscribed" || query.closing)
      this.#release(query, message.code === "unsubscribed");
    else this.#end(query, message);
  }

  #error(message: ErrorMessage): void {
    if (typeof message.id !== "number" || message.code === "duplicate_id") return;
    const query = this.#ids.get(message.id);
    if (query === undefined) return;
    if (query.closing) this.#release(query, false);
    else this.#end(query, message);
  }

  /** The end that was asked for. The rows may serve a later `since`. */
  #release(query: Query, keepRows: boolean): void {
    this.#forget(query);
    if (keepRows) query.base = undefined;
    else query.drop();
    this.#host.changed(query);
    this.#host.ended(query);
  }

  /** The end that wasn't asked for. */
  #end(query: Query, { code, message, hint }: { code: string; message: string; hint?: string }): void {
    this.#forget(query);
    query.drop();
    query.ended = true;
    query.problem = { code, message, status: "error", ...(hint === undefined ? {} : { hint }) };
    this.#host.changed(query);
    this.#host.ended(query);
  }

  #forget(query: Query): void {
    if (query.stream !== undefined) this.#leave(query, query.stream);
    if (query.id !== undefined) this.#ids.delete(query.id);
    query.detach();
  }

  /** The rows after whose cursor the query may ask to continue: none that another subscription has to do with. */
  #lend(query: Query): RowSet | undefined {
    const rows = query.shown ?? query.base;
    if (rows?.cursor === undefined) return undefined;
    const borrower = this.#lent.get(rows);
    if (borrower !== undefined && borrower !== query) return undefined;
    for (const other of this.#ids.values()) if (other.uses(rows)) return undefined;
    return rows;
  }
}

/** Whether the query had come to some place in its stream, so that a fresh start means missed changes. */
function hasPlace(query: Query): boolean {
  return query.continued || query.shown !== undefined;
}

function missed(query: Query): void {
  for (const handler of [...query.handlers]) handler.missed?.();
}
