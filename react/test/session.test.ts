import { beforeEach, describe, expect, test, vi } from "vitest";
import { Anomaly } from "../src/rows.js";
import type { ServerMessage } from "../src/wire.js";
import {
  changes,
  columns,
  insert,
  listener,
  live,
  now,
  query,
  remove,
  subscribed,
  update,
  Wire,
} from "./harness.js";

const rows = [
  { id: 1, v: "a" },
  { id: 2, v: "b" },
];

let wire: Wire;
beforeEach(() => {
  wire = new Wire();
});

describe("from subscribed to live", () => {
  test("the first rows are shown when they are live, all at once", () => {
    const q = query();
    expect(wire.subscribe(q)).toEqual({ type: "subscribe", id: 1, table: "public.t" });
    wire.receive(subscribed(1, "s"), { type: "snapshot", shape: "s", rows: rows.slice(0, 1) });
    expect(now(q)).toBe("loading");
    wire.receive({ type: "snapshot", shape: "s", rows: rows.slice(1) }, changes("s", 5, [update(2, "B")]));
    expect(now(q)).toBe("loading");
    wire.receive(live("s", "c"));
    expect(now(q)).toBe("live 1:a 2:B");
    expect(wire.counters).toMatchObject({ snapshots: 1, resumes: 0, caughtUp: 0 });
  });

  test("an empty table is live without a snapshot message", () => {
    const q = query();
    wire.subscribe(q);
    wire.receive(subscribed(1, "s"), live("s", "c"));
    expect(now(q)).toBe("live");
  });

  test("columns, where and params go along; the order of columns does not matter", () => {
    const q = query("public.t", { columns: ["v", "id"], where: "v = $1", params: ["a"] });
    expect(wire.subscribe(q)).toMatchObject({ columns: ["id", "v"], where: "v = $1", params: ["a"] });
    expect(q.key).toBe(query("public.t", { columns: ["id", "v", "id"], where: "v = $1", params: ["a"] }).key);
    expect(q.key).not.toBe(query().key);
  });

  test("at live the second set replaces the first: a row that isn't in it is gone", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "resync", shape: "s", reason: "lagged" });
    expect(now(q)).toBe("stale 1:a 2:b");
    wire.receive(
      subscribed(1, "s2"),
      { type: "snapshot", shape: "s2", rows: [{ id: 2, v: "b" }] },
      changes("s2", 7, [insert(3, "c")]),
    );
    expect(now(q)).toBe("stale 1:a 2:b");
    wire.receive(live("s2", "c"));
    expect(now(q)).toBe("live 2:b 3:c");
  });

  test("with resumed: true the shown rows go on, and its cursors count from the start", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.connect();
    expect(now(q)).toBe("stale 1:a 2:b");
    expect(wire.subscribe(q)).toMatchObject({ id: 2, since: "s0" });
    wire.receive(subscribed(2, "z", { resumed: true }), changes("z", 8, [remove(1)]));
    expect(now(q)).toBe("stale 2:b");
    wire.connect();
    expect(wire.subscribe(q)).toMatchObject({ id: 3, since: "z8" });
    wire.receive(subscribed(3, "y", { resumed: true }), changes("y", 9, [insert(4, "d")]), live("y", "l"));
    expect(now(q)).toBe("live 2:b 4:d");
    expect(wire.counters).toMatchObject({ resumes: 2, caughtUp: 2, snapshots: 1 });
  });

  test("with resumed: false a cursor before live does not count: the old set is resumed from the old cursor", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.connect();
    wire.subscribe(q);
    wire.receive(
      subscribed(2, "t"),
      { type: "snapshot", shape: "t", rows: [{ id: 9, v: "z" }] },
      changes("t", 11, [insert(8, "y")]),
    );
    wire.connect();
    expect(now(q)).toBe("stale 1:a 2:b");
    expect(wire.subscribe(q)).toMatchObject({ since: "s0" });
  });

  test("cursor messages and changes move the place to resume from", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(changes("s", 3, [insert(3, "c")]));
    wire.connect();
    expect(wire.subscribe(q)).toMatchObject({ since: "s3" });
    wire.receive(subscribed(2, "s", { resumed: true }), live("s", "s4"), {
      type: "cursor",
      shape: "s",
      cursor: "s5",
    });
    wire.connect();
    expect(wire.subscribe(q)).toMatchObject({ since: "s5" });
  });

  test("a second subscribed with resumed: false throws away what the unfinished first one brought", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "resync", shape: "s", reason: "table_changed" }, subscribed(1, "s"));
    wire.receive({ type: "snapshot", shape: "s", rows: [{ id: 7, v: "gone" }] });
    wire.receive({ type: "resync", shape: "s", reason: "table_changed" }, subscribed(1, "s"));
    wire.receive({ type: "snapshot", shape: "s", rows: [{ id: 5, v: "e" }] }, live("s", "c"));
    expect(now(q)).toBe("live 5:e");
  });

  test("capture warehouse: before live an insert replaces and what isn't there is ignored; after it that is an anomaly", () => {
    const q = query();
    wire.subscribe(q);
    wire.receive(
      subscribed(1, "s", { capture: "warehouse" }),
      { type: "snapshot", shape: "s", rows },
      changes("s", 1, [insert(1, "A"), update(7, "x"), remove(8)]),
      live("s", "c"),
    );
    expect(now(q)).toBe("live 1:A 2:b");
    expect(() => wire.receive(changes("s", 2, [insert(1, "again")]))).toThrow(Anomaly);
  });

  test("unknown types and unknown fields are ignored", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "news", shape: "s" } as unknown as ServerMessage);
    wire.receive({ ...changes("s", 1, [remove(1)]), weather: "fine" } as unknown as ServerMessage);
    wire.receive(changes("unknown", 1, [remove(2)]));
    expect(now(q)).toBe("live 2:b");
  });
});

describe("transactions", () => {
  test("of several parts are applied together, in order", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(changes("s", 1, [insert(3, "c"), remove(1)], { part: 0, more: true }));
    wire.receive(changes("s", 1, [update(3, "C")], { part: 1, more: true }));
    expect(now(q)).toBe("live 1:a 2:b");
    wire.receive(changes("s", 1, [], { part: 2 }));
    expect(now(q)).toBe("live 2:b 3:C");
    expect(wire.counters).toMatchObject({ transactions: 1, changes: 3 });
    expect(wire.applied[0]).toMatchObject({ tx: "1", table: "public.t", server: "local", live: true });
  });

  test("an unfinished one has no place to resume from, and goes with the connection", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(changes("s", 1, [remove(1)], { part: 0, more: true }));
    wire.connect();
    expect(wire.subscribe(q)).toMatchObject({ since: "s0" });
    wire.receive(subscribed(2, "s", { resumed: true }), live("s", "x"));
    expect(now(q)).toBe("live 1:a 2:b");
  });

  test.each([
    ["part 0", { part: 0, more: true }],
    ["no part", {}],
  ])("an unfinished one is thrown away by the next changes with %s", (_, next) => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(
      changes("s", 1, [remove(1)], { part: 0, more: true }),
      changes("s", 2, [insert(3, "c")], next),
    );
    if ("more" in next) wire.receive(changes("s", 2, [], { part: 1 }));
    expect(now(q)).toBe("live 1:a 2:b 3:c");
  });

  test("by its resync", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(changes("s", 1, [remove(1)], { part: 0, more: true }), {
      type: "resync",
      shape: "s",
      reason: "lagged",
    });
    wire.receive(subscribed(1, "s"), { type: "snapshot", shape: "s", rows });
    expect(() => wire.receive(changes("s", 1, [], { part: 1 }))).toThrow(Anomaly);
  });

  test("by a subscribed that is not shared, and not by one that is", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.receive(changes("s", 1, [remove(1)], { part: 0, more: true }));
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }), changes("s", 1, [], { part: 1 }));
    expect([now(a), now(b)]).toEqual(["live 2:b", "live 2:b"]);

    const c = query();
    const other = new Wire();
    other.live(c, "s", rows);
    other.receive(changes("s", 1, [remove(1)], { part: 0, more: true }));
    other.receive(
      { type: "waiting", id: 1, reason: "unavailable", message: "" },
      subscribed(1, "s", { resumed: true }),
    );
    expect(() => other.receive(changes("s", 1, [], { part: 1 }))).toThrow(Anomaly);
  });

  test("by the waiting or closed of the last id, not of one before it", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }));
    wire.receive(changes("s", 1, [remove(1)], { part: 0, more: true }));
    wire.session.unsubscribe(b);
    wire.receive(
      { type: "closed", id: 2, code: "unsubscribed", message: "" },
      changes("s", 1, [], { part: 1 }),
    );
    expect(now(a)).toBe("live 2:b");
    wire.receive(changes("s", 2, [remove(2)], { part: 0, more: true }));
    wire.receive({ type: "closed", id: 1, code: "limit", message: "" }, changes("s", 2, [], { part: 1 }));
    expect(now(a)).toBe("error");
  });

  test("a part out of turn is an anomaly, and so is a change that does not fit: nothing half done is shown", () => {
    const q = query();
    wire.live(q, "s", rows);
    expect(() => wire.receive(changes("s", 1, [], { part: 1 }))).toThrow(Anomaly);
    const r = query("public.u");
    wire.live(r, "u", rows);
    expect(() => wire.receive(changes("u", 1, [remove(1), remove(9)]))).toThrow(Anomaly);
    expect(now(r)).toBe("stale 1:a 2:b");
    wire.connect();
    expect(now(r)).toBe("stale 1:a 2:b");
    expect(wire.subscribe(r)).not.toHaveProperty("since");
  });
});

describe("schema", () => {
  const wider = [...columns, { name: "n", type: "integer" }];
  const schema: ServerMessage = { type: "schema", shape: "s", columns: wider, fill: { n: 0 } };

  test("at once: every row takes the values, later changes carry them", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(schema, changes("s", 1, [{ op: "insert", row: { id: 3, v: "c", n: 9 } }]));
    expect(now(q)).toBe("live 1:a:0 2:b:0 3:c:9");
    expect(q.published.columns).toEqual(wider);
  });

  test("between a transaction's frames it applies with it, in its place", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(changes("s", 1, [insert(3, "c")], { part: 0, more: true }), schema);
    expect(now(q)).toBe("live 1:a 2:b");
    wire.receive(changes("s", 1, [{ op: "update", row: { id: 1, v: "A", n: 5 } }], { part: 1 }));
    expect(now(q)).toBe("live 1:A:5 2:b:0 3:c:0");
  });

  test("it goes with a transaction that is thrown away", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(
      changes("s", 1, [insert(3, "c")], { part: 0, more: true }),
      schema,
      changes("s", 2, [remove(1)]),
    );
    expect(now(q)).toBe("live 2:b");
    expect(q.published.columns).toEqual(columns);
  });

  test("it goes to the set that is being built, not to the old one", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "resync", shape: "s", reason: "lagged" }, subscribed(1, "s"));
    wire.receive({ type: "snapshot", shape: "s", rows: rows.slice(1) }, schema);
    expect(now(q)).toBe("stale 1:a 2:b");
    wire.receive(live("s", "c"));
    expect(now(q)).toBe("live 2:b:0");
  });
});

describe("resync", () => {
  test("old rows stay until the new ones are live, and no frame of the old stream is applied", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "resync", shape: "s", reason: "journal_gap" }, changes("s", 1, [remove(1)]));
    expect(now(q)).toBe("stale 1:a 2:b");
    expect(wire.counters.resyncs).toBe(1);
  });

  test("after it an id may get waiting, closed or error instead", () => {
    const qs = [query("t.a"), query("t.b"), query("t.c")] as const;
    qs.forEach((q, i) => {
      wire.live(q, `s${i}`, rows);
      wire.receive({ type: "resync", shape: `s${i}`, reason: "schema_changed" });
    });
    wire.receive({ type: "waiting", id: 1, reason: "not_found", message: "no such table" });
    wire.receive({ type: "closed", id: 2, code: "limit", message: "too much" });
    wire.receive({ type: "error", id: 3, code: "bad_columns", message: "no column v", hint: "there is w" });
    expect(qs.map(now)).toEqual(["missing", "error", "error"]);
    expect(qs[2].published.problem).toEqual({
      code: "bad_columns",
      message: "no column v",
      hint: "there is w",
    });
  });

  test("the key may change", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(
      { type: "resync", shape: "s", reason: "schema_changed" },
      subscribed(1, "s", { key: [], bag: true }),
    );
    wire.receive({ type: "snapshot", shape: "s", rows: [rows[0], rows[0]] as never }, live("s", "c"));
    expect(now(q)).toBe("live 1:a 1:a");
    expect(q.published.key).toEqual([]);
  });

  test("rule_changed: old rows stay for 5 s at most", () => {
    vi.useFakeTimers();
    try {
      const q = query();
      wire.live(q, "s", rows);
      wire.receive({ type: "resync", shape: "s", reason: "rule_changed" }, subscribed(1, "s"));
      wire.receive({ type: "snapshot", shape: "s", rows: rows.slice(0, 1) });
      vi.advanceTimersByTime(4_999);
      expect(now(q)).toBe("stale 1:a 2:b");
      vi.advanceTimersByTime(1);
      expect(now(q)).toBe("loading");
      wire.receive(live("s", "c"));
      expect(now(q)).toBe("live 1:a");
    } finally {
      vi.useRealTimers();
    }
  });

  test("rule_changed: the limit holds through waiting unavailable and a lost connection, and ends with new rows", () => {
    vi.useFakeTimers();
    try {
      const [a, b] = [query("t.a"), query("t.b")];
      wire.live(a, "a", rows);
      wire.live(b, "b", rows);
      wire.receive(
        { type: "resync", shape: "a", reason: "rule_changed" },
        { type: "resync", shape: "b", reason: "rule_changed" },
      );
      wire.receive({ type: "waiting", id: 1, reason: "unavailable", message: "" });
      wire.receive(subscribed(2, "b"), { type: "snapshot", shape: "b", rows }, live("b", "c"));
      wire.connect();
      vi.advanceTimersByTime(5_000);
      expect([now(a), now(b)]).toEqual(["loading", "stale 1:a 2:b"]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("waiting", () => {
  test("unavailable keeps the rows; resumed: true continues after the last cursor that counted", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(changes("s", 1, [insert(3, "c")]));
    wire.receive({ type: "waiting", id: 1, reason: "unavailable", message: "profiles is down" });
    expect(now(q)).toBe("stale 1:a 2:b 3:c");
    expect(q.published.problem).toEqual({ code: "unavailable", message: "profiles is down" });
    wire.receive(subscribed(1, "s", { resumed: true }), changes("s", 2, [remove(1)]), live("s", "c"));
    expect(now(q)).toBe("live 2:b 3:c");
    expect(q.published.problem).toBeUndefined();
  });

  test("unavailable throws an unfinished set away; resumed: true continues the old one", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "resync", shape: "s", reason: "lagged" }, subscribed(1, "t"));
    wire.receive({ type: "snapshot", shape: "t", rows: [{ id: 9, v: "z" }] });
    wire.receive({ type: "waiting", id: 1, reason: "unavailable", message: "" });
    wire.receive(subscribed(1, "u", { resumed: true }), changes("u", 2, [remove(1)]), live("u", "c"));
    expect(now(q)).toBe("live 2:b");
  });

  test("not_found drops rows and cursor at once, and a new subscribed brings them back", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "waiting", id: 1, reason: "not_found", message: "no such table" });
    expect(now(q)).toBe("missing");
    expect(q.published.problem).toEqual({ code: "not_found", message: "no such table" });
    wire.receive(subscribed(1, "s"), { type: "snapshot", shape: "s", rows }, live("s", "c"));
    expect(now(q)).toBe("live 1:a 2:b");
    wire.receive({ type: "waiting", id: 1, reason: "not_found", message: "no such table" });
    wire.connect();
    expect(wire.subscribe(q)).not.toHaveProperty("since");
    expect(now(q)).toBe("missing");
  });

  test("a shared id with a since of its own is continued after that since until a cursor was sent for it", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(b, "b", [{ id: 1, v: "old" }]);
    wire.connect();
    wire.live(a, "s", rows);
    expect(wire.subscribe(b)).toMatchObject({ since: "b0" });
    wire.receive(subscribed(3, "s", { resumed: true, shared: true }));
    expect(now(b)).toBe("live 1:a 2:b");
    for (const id of [2, 3]) wire.receive({ type: "waiting", id, reason: "unavailable", message: "" });
    wire.receive(subscribed(3, "z", { resumed: true }), changes("z", 4, [update(1, "a")]));
    expect(now(b)).toBe("stale 1:a 2:b");
    wire.receive(changes("z", 5, [insert(2, "b"), insert(3, "c")]), live("z", "c"));
    expect(now(b)).toBe("live 1:a 2:b 3:c");
    expect(now(a)).toBe("stale 1:a 2:b");
  });

  test("once a cursor was sent for a shared id, that is where it goes on", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }), changes("s", 1, [insert(3, "c")]));
    for (const id of [1, 2]) wire.receive({ type: "waiting", id, reason: "unavailable", message: "" });
    wire.receive(subscribed(2, "z", { resumed: true }), changes("z", 2, [remove(1)]), live("z", "c"));
    expect(now(b)).toBe("live 2:b 3:c");
    expect(now(a)).toBe("stale 1:a 2:b 3:c");
    wire.receive(subscribed(1, "z", { resumed: true, shared: true }));
    expect(now(a)).toBe("live 2:b 3:c");
  });
});

describe("shared shapes", () => {
  test("attach at once where the shape is live, and its changes reach both", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }));
    expect(now(b)).toBe("live 1:a 2:b");
    expect(b.published.rows).toBe(a.published.rows);
    wire.receive(changes("s", 1, [remove(1)]));
    expect([now(a), now(b)]).toEqual(["live 2:b", "live 2:b"]);
  });

  test("old rows belong to the id: they stay until the shape is live", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(b, "b", [{ id: 1, v: "old" }]);
    wire.connect();
    wire.subscribe(a);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s"), subscribed(3, "s", { resumed: true, shared: true }));
    wire.receive({ type: "snapshot", shape: "s", rows });
    expect([now(a), now(b)]).toEqual(["loading", "stale 1:old"]);
    wire.receive(live("s", "c"));
    expect([now(a), now(b)]).toEqual(["live 1:a 2:b", "live 1:a 2:b"]);
  });

  test("unsubscribe ends one id; rows, cursor and an unfinished transaction stay with the other", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }));
    wire.receive(changes("s", 1, [insert(3, "c")], { part: 0, more: true }));
    wire.session.unsubscribe(a);
    wire.receive(
      { type: "closed", id: 1, code: "unsubscribed", message: "" },
      changes("s", 1, [], { part: 1 }),
    );
    expect(now(b)).toBe("live 1:a 2:b 3:c");
    wire.connect();
    expect(wire.subscribe(b)).toMatchObject({ since: "s1" });
  });

  test("ids that shared a shape may get different ones, and keep what they showed until then", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }));
    wire.receive({ type: "resync", shape: "s", reason: "schema_changed" });
    wire.receive(
      subscribed(1, "x"),
      { type: "snapshot", shape: "x", rows: rows.slice(0, 1) },
      live("x", "c"),
    );
    expect([now(a), now(b)]).toEqual(["live 1:a", "stale 1:a 2:b"]);
    wire.receive(subscribed(2, "y"), { type: "snapshot", shape: "y", rows: rows.slice(1) }, live("y", "c"));
    expect([now(a), now(b)]).toEqual(["live 1:a", "live 2:b"]);
  });

  test("one set of rows is lent to one subscribe with since; the other keeps it as it was", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.subscribe(b);
    wire.receive(subscribed(2, "s", { resumed: true, shared: true }));
    wire.connect();
    expect(wire.subscribe(a)).toMatchObject({ since: "s0" });
    expect(wire.subscribe(b)).not.toHaveProperty("since");
    wire.receive(subscribed(3, "x", { resumed: true }), changes("x", 1, [remove(1)]));
    expect([now(a), now(b)]).toEqual(["stale 2:b", "stale 1:a 2:b"]);
    wire.receive(subscribed(4, "x", { resumed: true, shared: true }), live("x", "c"));
    expect([now(a), now(b)]).toEqual(["live 2:b", "live 2:b"]);
  });

  test("rows to which another id's stream writes are not lent, though their own id was closed", () => {
    const [a, b] = [query(), query("public.t", { columns: ["id", "v"] })];
    wire.live(a, "s", rows);
    wire.live(b, "b", rows);
    wire.connect();
    wire.subscribe(a);
    wire.subscribe(b);
    wire.receive(subscribed(3, "x", { resumed: true }), subscribed(4, "x", { resumed: true, shared: true }));
    wire.session.unsubscribe(a);
    wire.receive({ type: "closed", id: 3, code: "unsubscribed", message: "" });
    expect(wire.subscribe(a)).not.toHaveProperty("since");
  });

  test("a shared shape that isn't open, and a shape that is open twice, are anomalies", () => {
    const [a, b] = [query(), query("public.u")];
    wire.subscribe(a);
    expect(() => wire.receive(subscribed(1, "s", { shared: true, resumed: true }))).toThrow(Anomaly);
    wire.receive(subscribed(1, "s"));
    wire.subscribe(b);
    expect(() => wire.receive(subscribed(2, "s"))).toThrow(Anomaly);
  });
});

describe("the end of a subscription", () => {
  test("until closed its frames are applied as before; the rows may be continued later", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.session.unsubscribe(q);
    wire.session.unsubscribe(q);
    expect(wire.sent.filter(({ type }) => type === "unsubscribe")).toEqual([{ type: "unsubscribe", id: 1 }]);
    wire.receive(changes("s", 1, [insert(3, "c")]), {
      type: "closed",
      id: 1,
      code: "unsubscribed",
      message: "",
    });
    expect(wire.ended).toEqual([q]);
    expect(now(q)).toBe("stale 1:a 2:b 3:c");
    expect(wire.subscribe(q)).toMatchObject({ id: 2, since: "s1" });
    wire.receive(subscribed(2, "t", { resumed: true }), live("t", "c"));
    expect(now(q)).toBe("live 1:a 2:b 3:c");
  });

  test("no since goes out for rows of an id that hasn't been answered", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.session.unsubscribe(q);
    wire.session.subscribe(q);
    expect(wire.sent.at(-1)).toEqual({ type: "unsubscribe", id: 1 });
  });

  test("subscribed and its rows may still come between unsubscribe and closed", () => {
    const q = query();
    wire.subscribe(q);
    wire.session.unsubscribe(q);
    wire.receive(
      subscribed(1, "s"),
      { type: "snapshot", shape: "s", rows },
      { type: "closed", id: 1, code: "unsubscribed", message: "" },
    );
    expect(now(q)).toBe("loading");
    expect(wire.subscribe(q)).not.toHaveProperty("since");
  });

  test.each([
    [{ type: "closed", id: 1, code: "limit", message: "too much" }],
    [{ type: "error", id: 1, code: "internal", message: "see the log" }],
  ] as const)("%o drops rows and cursor, and is not asked again on this connection", (message) => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive(message, changes("s", 1, [remove(1)]));
    expect(now(q)).toBe("error");
    expect(q.published.problem).toMatchObject({ code: message.code, message: message.message });
    wire.session.subscribe(q);
    expect(wire.sent).toHaveLength(1);
  });

  test("an error or limit that crosses an unsubscribe answers it", () => {
    const [a, b] = [query("t.a"), query("t.b")];
    wire.subscribe(a);
    wire.subscribe(b);
    wire.session.unsubscribe(a);
    wire.session.unsubscribe(b);
    wire.receive(
      { type: "error", id: 1, code: "bad_where", message: "" },
      { type: "closed", id: 2, code: "limit", message: "" },
    );
    expect(wire.ended).toEqual([a, b]);
    expect([now(a), now(b)]).toEqual(["loading", "loading"]);
  });

  test("duplicate_id leaves the open one alone; errors of events and of nobody concern no subscription", () => {
    const q = query();
    wire.live(q, "s", rows);
    wire.receive({ type: "error", id: 1, code: "duplicate_id", message: "" });
    wire.receive({
      type: "error",
      id: "0b9f1c1e-6f0e-4a53-9b8f-3f1f6f3f2b11",
      code: "rate_limited",
      message: "",
    });
    wire.receive({ type: "error", code: "bad_token", message: "" });
    expect(now(q)).toBe("live 1:a 2:b");
  });

  test("a subscription that the server wouldn't take isn't sent", () => {
    wire.messageBytes = 100;
    wire.connect();
    const q = query("public.t", { where: "x".repeat(100) });
    wire.session.subscribe(q);
    expect(wire.sent).toEqual([]);
    expect(q.published).toMatchObject({ status: "error", problem: { code: "limit" } });
  });
});

describe("without a snapshot", () => {
  test("each transaction is handed over whole, and nothing is kept", () => {
    const { query: q, heard } = listener();
    expect(wire.subscribe(q)).toMatchObject({ snapshot: false });
    wire.receive(subscribed(1, "s"), live("s", "c"));
    wire.receive(changes("s", 1, [insert(1, "a")], { part: 0, more: true }));
    expect(heard).toEqual(["live"]);
    wire.receive(changes("s", 1, [{ op: "update", row: { id: 9 } }], { part: 1 }));
    expect(heard).toEqual(["live", "1:2"]);
    expect(q.shown?.list()).toEqual([]);
  });

  test("a schema concerns no row and changes the columns of what follows", () => {
    const { query: q } = listener();
    wire.subscribe(q);
    const wider = [...columns, { name: "n", type: "integer" }];
    wire.receive(subscribed(1, "s"), live("s", "c"), {
      type: "schema",
      shape: "s",
      columns: wider,
      fill: { n: 0 },
    });
    wire.receive(changes("s", 1, [insert(1, "a")]));
    expect(wire.applied[0]?.columns).toEqual(wider);
  });

  test("it resumes; where it can't it says that changes were missed", () => {
    const { query: q, heard } = listener();
    wire.subscribe(q);
    wire.receive(subscribed(1, "s"), live("s", "c"), changes("s", 1, [remove(1)]));
    wire.connect();
    expect(wire.subscribe(q)).toMatchObject({ since: "s1", snapshot: false });
    wire.receive(subscribed(2, "s", { resumed: true }), changes("s", 2, [remove(2)]), live("s", "d"));
    wire.connect();
    wire.subscribe(q);
    wire.receive(subscribed(3, "s"), live("s", "e"));
    wire.receive({ type: "resync", shape: "s", reason: "lagged" }, subscribed(3, "s"), live("s", "f"));
    expect(heard).toEqual(["live", "1:1", "2:1 catching up", "live", "missed", "live", "missed", "live"]);
  });

  test("two that share: the one without a since hears what it would have missed as missed", () => {
    const [a, b] = [listener(), listener()];
    wire.subscribe(a.query);
    wire.subscribe(b.query);
    wire.receive(subscribed(1, "s"), subscribed(2, "s", { resumed: true, shared: true }), live("s", "c"));
    wire.connect();
    expect(wire.subscribe(a.query)).toHaveProperty("since");
    expect(wire.subscribe(b.query)).not.toHaveProperty("since");
    wire.receive(subscribed(3, "s", { resumed: true }), changes("s", 1, [remove(1)]));
    wire.receive(
      subscribed(4, "s", { resumed: true, shared: true }),
      changes("s", 2, [remove(2)]),
      live("s", "d"),
    );
    expect(b.heard).toEqual(["live", "missed", "2:1 catching up", "live"]);
    wire.connect();
    wire.subscribe(a.query);
    wire.subscribe(b.query);
    wire.receive(
      subscribed(5, "s", { resumed: true }),
      subscribed(6, "s", { resumed: true, shared: true }),
      live("s", "e"),
    );
    expect(b.heard.slice(4)).toEqual(["live"]);
  });
});

test("equal rows keep their identity through a resync, and so does the list", () => {
  const q = query();
  wire.live(q, "s", rows);
  now(q);
  const before = q.published.rows;
  wire.receive({ type: "resync", shape: "s", reason: "lagged" }, subscribed(1, "s"));
  wire.receive({ type: "snapshot", shape: "s", rows }, live("s", "c"));
  now(q);
  expect(q.published.rows).toBe(before);
});
