import { describe, expect, test } from "vitest";
import { Anomaly, rowSet } from "../src/rows.js";
import type { Column, Row } from "../src/wire.js";

const columns = (...names: string[]): Column[] => names.map((name) => ({ name, type: "text" }));

function keyed(...rows: Row[]) {
  const set = rowSet({ key: ["id"], columns: columns("id", "a", "b") }, true);
  set.load(rows);
  return set;
}

describe("rows by key", () => {
  test("insert, update, delete", () => {
    const set = keyed({ id: 1, a: "x", b: "y" });
    set.apply({ op: "insert", row: { id: 2, a: "p", b: "q" } });
    set.apply({ op: "update", row: { id: 1, a: "z", b: "y" } });
    set.apply({ op: "delete", key: { id: 2 } });
    expect(set.list()).toEqual([{ id: 1, a: "z", b: "y" }]);
    expect(set.size).toBe(1);
  });

  test("a column that an update lacks did not change", () => {
    const set = keyed({ id: 1, a: "x", b: "long" });
    set.apply({ op: "update", row: { id: 1, a: "z" } });
    expect(set.list()).toEqual([{ id: 1, a: "z", b: "long" }]);
  });

  test("an update to null is one", () => {
    const set = keyed({ id: 1, a: "x", b: "y" });
    set.apply({ op: "update", row: { id: 1, a: null, b: "y" } });
    expect(set.find(1)).toEqual({ id: 1, a: null, b: "y" });
  });

  test("a key change keeps under the new key what was not sent", () => {
    const set = keyed({ id: 1, a: "x", b: "long" });
    set.apply({ op: "update", row: { id: 9, a: "z" }, key: { id: 1 } });
    expect(set.list()).toEqual([{ id: 9, a: "z", b: "long" }]);
    expect(set.find(1)).toBeUndefined();
    expect(set.find(9)).toBeDefined();
  });

  test("truncate", () => {
    const set = keyed({ id: 1, a: "x", b: "y" }, { id: 2, a: "x", b: "y" });
    set.apply({ op: "truncate" });
    expect(set.list()).toEqual([]);
  });

  test("keys of several columns, and keys that are JSON", () => {
    const two = rowSet({ key: ["a", "b"], columns: columns("a", "b", "c") }, true);
    two.load([
      { a: 1, b: "2", c: 0 },
      { a: 1, b: 2, c: 0 },
    ]);
    two.apply({ op: "update", row: { a: 1, b: 2, c: 5 } });
    expect(two.find({ a: 1, b: 2 })).toEqual({ a: 1, b: 2, c: 5 });
    expect(two.find({ a: 1, b: "2" })).toEqual({ a: 1, b: "2", c: 0 });

    const json = rowSet({ key: ["k"], columns: columns("k") }, true);
    json.load([{ k: { x: [1] } }, { k: [1] }]);
    json.apply({ op: "delete", key: { k: { x: [1] } } });
    expect(json.list()).toEqual([{ k: [1] }]);
  });

  test("big numbers are strings and keep apart", () => {
    const set = keyed(
      { id: "9007199254740993", a: null, b: null },
      { id: "9007199254740992", a: null, b: null },
    );
    set.apply({ op: "delete", key: { id: "9007199254740993" } });
    expect(set.list().map(({ id }) => id)).toEqual(["9007199254740992"]);
  });

  test("columns with the names of Object's own", () => {
    const set = rowSet({ key: ["__proto__"], columns: columns("__proto__", "constructor") }, true);
    const row = JSON.parse('{"__proto__": 1, "constructor": "x"}') as Row;
    set.load([row]);
    set.apply({ op: "update", row: JSON.parse('{"__proto__": 1}') as Row });
    expect(JSON.stringify(set.list())).toBe('[{"__proto__":1,"constructor":"x"}]');
  });

  test("what does not fit is an anomaly", () => {
    const row = { id: 1, a: "x", b: "y" };
    expect(() => keyed(row).apply({ op: "insert", row })).toThrow(Anomaly);
    expect(() => keyed(row).apply({ op: "update", row: { id: 2 } })).toThrow(Anomaly);
    expect(() => keyed(row).apply({ op: "delete", key: { id: 2 } })).toThrow(Anomaly);
    const two = keyed(row, { ...row, id: 2 });
    expect(() => two.apply({ op: "update", row: { id: 2 }, key: { id: 1 } })).toThrow(Anomaly);
  });

  test("lenient: an insert replaces, what is not there is left alone", () => {
    const set = keyed({ id: 1, a: "x", b: "y" });
    set.apply({ op: "insert", row: { id: 1, a: "z", b: "z" } }, true);
    set.apply({ op: "update", row: { id: 2, a: "z", b: "z" } }, true);
    set.apply({ op: "delete", key: { id: 3 } }, true);
    expect(set.list()).toEqual([{ id: 1, a: "z", b: "z" }]);
  });
});

describe("a bag", () => {
  const bag = (...rows: Row[]) => {
    const set = rowSet({ key: [], bag: true, columns: columns("a", "b") }, true);
    set.load(rows);
    return set;
  };
  const row = { a: 1, b: "x" };

  test("equal rows occur, and a change concerns one of them", () => {
    const set = bag(row, row, row);
    set.apply({ op: "delete", key: { b: "x", a: 1 } });
    set.apply({ op: "update", row: { a: 2, b: "x" }, key: row });
    expect(set.list()).toEqual([row, { a: 2, b: "x" }]);
    expect(set.size).toBe(2);
  });

  test("JSON values decide by what they say", () => {
    const set = bag({ a: { p: [1, 2] }, b: null });
    set.apply({ op: "delete", key: { a: { p: [1, 2] }, b: null } });
    expect(set.size).toBe(0);
  });

  test("new columns reach every row, and the bag knows them afterwards", () => {
    const set = bag(row, row);
    set.extend(columns("a", "b", "c"), { c: 7 });
    set.apply({ op: "delete", key: { ...row, c: 7 } });
    expect(set.list()).toEqual([{ ...row, c: 7 }]);
  });

  test("truncate, and what does not fit", () => {
    const set = bag(row, row);
    expect(() => set.apply({ op: "delete", key: { a: 3, b: "x" } })).toThrow(Anomaly);
    expect(() => set.apply({ op: "update", row })).toThrow(Anomaly);
    set.apply({ op: "truncate" });
    expect(set.list()).toEqual([]);
  });
});

describe("rows that only arrive", () => {
  const set = () => {
    const made = rowSet({ key: [], columns: columns("a") }, true);
    made.load([{ a: 1 }, { a: 1 }]);
    return made;
  };

  test("are kept as they come, until truncated", () => {
    const made = set();
    made.apply({ op: "insert", row: { a: 1 } });
    expect(made.list()).toEqual([{ a: 1 }, { a: 1 }, { a: 1 }]);
    made.apply({ op: "truncate" });
    expect(made.size).toBe(0);
  });

  test("never change", () => {
    expect(() => set().apply({ op: "update", row: { a: 2 }, key: { a: 1 } })).toThrow(Anomaly);
    expect(() => set().apply({ op: "delete", key: { a: 1 } })).toThrow(Anomaly);
  });
});

describe("identity", () => {
  test("the list is the same array until something changes, and stays as it is then", () => {
    const set = keyed({ id: 1, a: "x", b: "y" }, { id: 2, a: "x", b: "y" });
    const before = set.list();
    expect(set.list()).toBe(before);
    set.apply({ op: "update", row: { id: 1, a: "z", b: "y" } });
    const after = set.list();
    expect(before[0]).toEqual({ id: 1, a: "x", b: "y" });
    expect(after[1]).toBe(before[1]);
    expect(after[0]).not.toBe(before[0]);
  });

  test("an update that changes nothing keeps the row", () => {
    const set = keyed({ id: 1, a: { deep: [1] }, b: "y" });
    const [row] = set.list();
    set.apply({ op: "update", row: { id: 1, a: { deep: [1] }, b: "y" } });
    expect(set.list()[0]).toBe(row);
  });

  test.each([
    ["by key", { key: ["id"] }],
    ["of a bag", { key: [], bag: true }],
    ["that arrive", { key: [] }],
  ])("rows %s survive a fresh set", (_, kind) => {
    const fresh = () => {
      const set = rowSet({ ...kind, columns: columns("id", "a") }, true);
      set.load([
        { id: 1, a: { x: 1 } },
        { id: 2, a: null },
      ]);
      return set;
    };
    const old = fresh();
    const list = old.list();
    const equal = fresh();
    equal.adopt(old);
    expect(equal.list()).toBe(list);

    const other = fresh();
    other.apply({ op: "insert", row: { id: 3, a: null } });
    other.adopt(old);
    expect(other.list()).toHaveLength(3);
    expect(other.list()[0]).toBe(list[0]);
  });
});
