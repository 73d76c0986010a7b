import type { Row, RowsStatus } from "../src/index.js";
import { type Demo, shown, TABLES } from "./client.js";

/** What the page's tests read. */
export interface Debug {
  /** `subscribe` messages sent so far. */
  readonly subscriptions: number;
  readonly connections: number;
  readonly resumes: number;
  readonly resyncs: number;
  readonly snapshots: number;
  readonly changes: number;
  readonly caughtUp: number;
  readonly anomalies: number;
  readonly connection: string;
  /** Rows held of what the page shows, by table. */
  readonly counts: { readonly [table: string]: number };
  rows(table: string): readonly Row[];
  status(table: string): RowsStatus;
}

declare global {
  interface Window {
    __pgrelay: Debug;
  }
}

export function expose({ client, filter }: Demo): void {
  const look = (table: string) => client.liveRows(shown(filter, table)).getSnapshot();
  const own = {
    get subscriptions() {
      return client.counters.subscribes;
    },
    get connection() {
      return client.connection.getSnapshot().status;
    },
    get counts() {
      return Object.fromEntries(TABLES.map((table) => [table, look(table).rows.length]));
    },
    rows: (table: string) => look(table).rows,
    status: (table: string) => look(table).status,
  };
  const counters = [
    "connections",
    "resumes",
    "resyncs",
    "snapshots",
    "changes",
    "caughtUp",
    "anomalies",
  ] as const;
  for (const name of counters) {
    Object.defineProperty(own, name, { enumerable: true, get: () => client.counters[name] });
  }
  window.__pgrelay = own as Debug;
}
