import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CloseCode } from "../src/wire.js";

const folder = new URL("../../testdata/wire/", import.meta.url);

/** A field's check: a JSON type, a list of literals, or a nested shape; a trailing ? makes it optional. */
type Check =
  | string
  | readonly string[]
  | { readonly [field: string]: Check }
  | readonly [{ readonly [field: string]: Check }];

const columns: Check = [{ name: "string", type: "string" }];
const id: Check = "number";

const client: { readonly [type: string]: { readonly [field: string]: Check } } = {
  hello: { "token?": "string", "lagged?": ["resync", "close"] },
  token: { token: "string" },
  subscribe: {
    id,
    table: "string",
    "where?": "string",
    "params?": "array",
    "columns?": "array",
    "snapshot?": "boolean",
    "since?": "string",
  },
  unsubscribe: { id },
  emit: { id: "string", event: "string", payload: "object" },
  follow: { id: "string" },
  ping: { "n?": "any" },
};

const server: { readonly [type: string]: { readonly [field: string]: Check } } = {
  welcome: {
    session: "string",
    version: "string",
    "sub?": "string",
    role: "string",
    "expires?": "string",
    limits: {
      message_bytes: "number",
      messages_per_second: "number",
      subscriptions: "number",
      predicate_bytes: "number",
      predicate_depth: "number",
      params: "number",
      snapshots: "number",
    },
    heartbeat_ms: "number",
  },
  subscribed: {
    id,
    shape: "string",
    table: "string",
    server: "string",
    capture: ["logical", "trigger", "warehouse"],
    key: "array",
    "bag?": "boolean",
    columns,
    resumed: "boolean",
    "shared?": "boolean",
  },
  snapshot: { shape: "string", rows: "array" },
  changes: {
    shape: "string",
    at: "string",
    tx: "string",
    "part?": "number",
    "more?": "boolean",
    "cursor?": "string",
    changes: [{ op: ["insert", "update", "delete", "truncate"], "row?": "object", "key?": "object" }],
  },
  live: { shape: "string", cursor: "string" },
  cursor: { shape: "string", cursor: "string" },
  schema: { shape: "string", columns, fill: "object" },
  resync: {
    shape: "string",
    reason: ["lagged", "rule_changed", "schema_changed", "table_changed", "journal_gap"],
  },
  waiting: { id, reason: ["unavailable", "not_found"], message: "string" },
  closed: { id, code: ["limit", "unsubscribed"], message: "string" },
  event: {
    id: "string",
    status: ["accepted", "rejected", "running", "succeeded", "failed"],
    "error?": { code: "string", message: "string", "hint?": "string", "detail?": "any" },
    "result?": "any",
    "txs?": [{ server: "string", tx: "string" }],
    "late?": "boolean",
  },
  error: {
    "id?": "any",
    code: [
      "bad_message",
      "bad_token",
      "bad_where",
      "bad_params",
      "bad_columns",
      "duplicate_id",
      "not_found",
      "limit",
      "rate_limited",
      "unavailable",
      "internal",
    ],
    message: "string",
    "hint?": "string",
  },
  pong: { "n?": "any" },
};

function check(value: unknown, want: Check): boolean {
  if (want === "any") return value !== undefined;
  if (want === "array") return Array.isArray(value);
  if (typeof want === "string") return typeof value === want && value !== null && !Array.isArray(value);
  if (!Array.isArray(want)) return fits(value, want as { readonly [field: string]: Check });
  if (typeof want[0] === "string") return (want as readonly unknown[]).includes(value);
  return (
    Array.isArray(value) && value.every((item) => fits(item, want[0] as { readonly [field: string]: Check }))
  );
}

function fits(value: unknown, fields: { readonly [field: string]: Check }): boolean {
  if (typeof value !== "object" || value === null) return false;
  const given = value as { [field: string]: unknown };
  const known = new Set(Object.keys(fields).map((field) => field.replace("?", "")));
  const required = Object.entries(fields).every(([field, want]) => {
    const name = field.replace("?", "");
    return name in given ? check(given[name], want) : field.endsWith("?");
  });
  return required && Object.keys(given).every((name) => known.has(name));
}

describe.each([
  ["client", client],
  ["server", server],
] as const)("messages of the %s", (side, types) => {
  const files = readdirSync(new URL(`${side}/`, folder));

  test.each(files)("%s", (file) => {
    const { type, ...fields } = JSON.parse(readFileSync(new URL(`${side}/${file}`, folder), "utf8"));
    expect(file.split(/[_.]/)[0]).toBe(type);
    expect(types).toHaveProperty(type);
    expect(fits(fields, types[type] ?? {})).toBe(true);
    if (type === "changes") expect("cursor" in fields).toBe(!fields.more);
  });

  test("every type has an example", () => {
    expect(new Set(files.map((file) => file.split(/[_.]/)[0]))).toEqual(new Set(Object.keys(types)));
  });
});

test("the close codes are the protocol's", () => {
  expect(Object.values(CloseCode)).toEqual([
    1000, 1001, 1002, 1003, 1007, 1009, 4400, 4401, 4408, 4409, 4429,
  ]);
});
