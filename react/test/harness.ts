import { type ChangesHandler, Query, type QuerySpec, queryKey, select } from "../src/query.js";
import { type Counters, Session } from "../src/session.js";
import type { Transaction } from "../src/stream.js";
import type {
  Change,
  ClientMessage,
  Column,
  Row,
  ServerMessage,
  Subscribe,
  Subscribed,
} from "../src/wire.js";

export const AT = "2026-01-02T03:04:05.123456Z";

export const columns: readonly Column[] = [
  { name: "id", type: "integer" },
  { name: "v", type: "text" },
];

export function counters(): Counters {
  return {
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
}

/** A client's subscriptions without its socket: the test is the server. */
export class Wire {
  readonly counters = counters();
  readonly sent: ClientMessage[] = [];
  readonly applied: Transaction[] = [];
  readonly ended: Query[] = [];
  messageBytes = Number.POSITIVE_INFINITY;
  session: Session;
  #id = 0;

  constructor() {
    this.session = this.connect();
  }

  /** Another connection; what was open on the one before is lost. */
  connect(): Session {
    this.session?.lost();
    this.session = new Session({
      counters: this.counters,
      messageBytes: this.messageBytes,
      send: (message) => this.sent.push(message),
      nextID: () => ++this.#id,
      touched: () => {},
      changed: (query) => query.publish(),
      ended: (query) => this.ended.push(query),
      applied: (transaction) => this.applied.push(transaction),
    });
    return this.session;
  }

  /** Subscribes; returns the message that was sent. */
  subscribe(query: Query): Subscribe {
    this.session.subscribe(query);
    const last = this.sent.at(-1);
    if (last?.type !== "subscribe") throw new Error("no subscribe was sent");
    return last;
  }

  receive(...messages: ServerMessage[]): void {
    for (const message of messages)
      this.session.receive(JSON.parse(JSON.stringify(message)) as ServerMessage);
  }

  /** Subscribes the query and brings it live with these rows. */
  live(query: Query, shape: string, rows: readonly Row[], more: Partial<Subscribed> = {}): void {
    const { id } = this.subscribe(query);
    this.receive(subscribed(id, shape, more), { type: "snapshot", shape, rows }, live(shape, `${shape}0`));
  }
}

export function query(table = "public.t", more: Omit<QuerySpec, "table"> = {}): Query {
  const spec = select({ table, ...more });
  return new Query(queryKey(spec, true), spec, true);
}

/** A query without rows; what its handler hears is recorded. */
export function listener(table = "public.t"): { query: Query; heard: string[] } {
  const spec = { table };
  const made = new Query(queryKey(spec, false), spec, false);
  const heard: string[] = [];
  const handler: ChangesHandler = {
    transaction: ({ tx, changes, live }) =>
      heard.push(`${tx}:${changes.length}${live ? "" : " catching up"}`),
    live: () => heard.push("live"),
    missed: () => heard.push("missed"),
  };
  made.handlers.add(handler);
  return { query: made, heard };
}

export function subscribed(id: number, shape: string, more: Partial<Subscribed> = {}): Subscribed {
  return {
    type: "subscribed",
    id,
    shape,
    table: "public.t",
    server: "local",
    capture: "logical",
    key: ["id"],
    columns,
    resumed: false,
    ...more,
  };
}

export function changes(
  shape: string,
  tx: number,
  list: readonly Change[],
  more: object = {},
): ServerMessage {
  const end = "more" in more ? {} : { cursor: `${shape}${tx}` };
  return { type: "changes", shape, at: AT, tx: String(tx), changes: list, ...end, ...more };
}

export function live(shape: string, cursor: string): ServerMessage {
  return { type: "live", shape, cursor };
}

export const insert = (id: number, v: string): Change => ({ op: "insert", row: { id, v } });
export const update = (id: number, v: string): Change => ({ op: "update", row: { id, v } });
export const remove = (id: number): Change => ({ op: "delete", key: { id } });

/** What the query shows, short: `1:a 2:b`. */
export function shown(made: Query): string {
  return made.published.rows.map((row) => Object.values(row).join(":")).join(" ");
}

/** What is shown at this moment, without waiting for it to be published. */
export function now(made: Query): string {
  made.publish();
  return `${made.published.status} ${shown(made)}`.trim();
}
