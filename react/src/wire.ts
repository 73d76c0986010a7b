/**
 * The protocol pgrelay.v1: the messages of a connection, one JSON object in each text frame.
 * The Go types in relay/wire say the same thing; testdata/wire holds examples that both read.
 */

/** The WebSocket subprotocol's name. */
export const SUBPROTOCOL = "pgrelay.v1";

/** Where the WebSocket is. */
export const PATH = "/v1/ws";

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A row: what to_json gives for each column; int8 and numeric are strings. */
export type Row = { readonly [column: string]: JsonValue };

/** A column with its Postgres type name, as format_type prints it. */
export interface Column {
  readonly name: string;
  readonly type: string;
}

/** Opaque, at most 64 characters: the place in a shape's stream after which `since` continues. */
export type Cursor = string;

/** RFC 6455, section 7.4.1, and the protocol's own close codes. */
export const CloseCode = {
  normal: 1000,
  goingAway: 1001,
  protocol: 1002,
  unsupported: 1003,
  invalidUTF8: 1007,
  tooLarge: 1009,
  badMessage: 4400,
  unauthorized: 4401,
  noSign: 4408,
  tooSlow: 4409,
  limitExceeded: 4429,
} as const;

export type ErrorCode =
  | "bad_message"
  | "bad_token"
  | "bad_where"
  | "bad_params"
  | "bad_columns"
  | "duplicate_id"
  | "not_found"
  | "limit"
  | "rate_limited"
  | "unavailable"
  | "internal";

export type ResyncReason = "lagged" | "rule_changed" | "schema_changed" | "table_changed" | "journal_gap";

// Client to server.

export interface Hello {
  type: "hello";
  token?: string;
  lagged?: "resync" | "close";
}

export interface Token {
  type: "token";
  token: string;
}

export interface Subscribe {
  type: "subscribe";
  /** From 1 to 2^53-1, larger than every earlier one on the connection. */
  id: number;
  table: string;
  where?: string;
  params?: readonly JsonValue[];
  columns?: readonly string[];
  snapshot?: boolean;
  since?: Cursor;
}

export interface Unsubscribe {
  type: "unsubscribe";
  id: number;
}

export interface Emit {
  type: "emit";
  /** A UUID, the idempotency key. */
  id: string;
  event: string;
  payload: { readonly [name: string]: JsonValue };
}

export interface Follow {
  type: "follow";
  id: string;
}

export interface Ping {
  type: "ping";
  n?: JsonValue;
}

export type ClientMessage = Hello | Token | Subscribe | Unsubscribe | Emit | Follow | Ping;

// Server to client.

export interface Limits {
  message_bytes: number;
  messages_per_second: number;
  subscriptions: number;
  predicate_bytes: number;
  predicate_depth: number;
  params: number;
  snapshots: number;
}

export interface Welcome {
  type: "welcome";
  session: string;
  version: string;
  sub?: string;
  role: string;
  /** RFC 3339. */
  expires?: string;
  limits: Limits;
  /** A text frame comes at least that often. */
  heartbeat_ms: number;
}

export interface Subscribed {
  type: "subscribed";
  id: number;
  shape: string;
  table: string;
  server: string;
  capture: "logical" | "trigger" | "warehouse";
  key: readonly string[];
  bag?: boolean;
  columns: readonly Column[];
  resumed: boolean;
  shared?: boolean;
}

export interface Snapshot {
  type: "snapshot";
  shape: string;
  rows: readonly Row[];
}

export type Change =
  | { readonly op: "insert"; readonly row: Row }
  | { readonly op: "update"; readonly row: Row; readonly key?: Row }
  | { readonly op: "delete"; readonly key: Row }
  | { readonly op: "truncate" };

export interface Changes {
  type: "changes";
  shape: string;
  /** Commit time, RFC 3339 in UTC with microseconds. */
  at: string;
  /** The source transaction's full id. */
  tx: string;
  /** From 0; absent in a transaction's only frame. */
  part?: number;
  /** True in all parts but the last, which has a cursor instead. */
  more?: boolean;
  cursor?: Cursor;
  changes: readonly Change[];
}

export interface Live {
  type: "live";
  shape: string;
  cursor: Cursor;
}

export interface CursorMessage {
  type: "cursor";
  shape: string;
  cursor: Cursor;
}

export interface Schema {
  type: "schema";
  shape: string;
  columns: readonly Column[];
  fill: Row;
}

export interface Resync {
  type: "resync";
  shape: string;
  reason: ResyncReason;
}

export interface Waiting {
  type: "waiting";
  id: number;
  reason: "unavailable" | "not_found";
  message: string;
}

export interface Closed {
  type: "closed";
  id: number;
  code: "limit" | "unsubscribed";
  message: string;
}

export interface EventMessage {
  type: "event";
  id: string;
  status: "accepted" | "rejected" | "running" | "succeeded" | "failed";
  error?: { code: string; message: string; hint?: string; detail?: JsonValue };
  result?: JsonValue;
  txs?: readonly { server: string; tx: string }[];
  late?: boolean;
}

export interface ErrorMessage {
  type: "error";
  /** A subscription's number or an event's UUID. */
  id?: number | string;
  code: ErrorCode;
  message: string;
  hint?: string;
}

export interface Pong {
  type: "pong";
  n?: JsonValue;
}

export type ServerMessage =
  | Welcome
  | Subscribed
  | Snapshot
  | Changes
  | Live
  | CursorMessage
  | Schema
  | Resync
  | Waiting
  | Closed
  | EventMessage
  | ErrorMessage
  | Pong;
