import { describe, expect, test } from "vitest";
import { queryKey, select } from "../src/query.js";
import { type Sql, type SqlValue, sql } from "../src/sql.js";

/** What is said of a value whose type TypeScript would refuse. */
const loose = (value: unknown) => value as SqlValue;

describe("the text", () => {
  test("a value becomes a parameter, and no part of the text", () => {
    const name = "'; drop table users; -- $1";
    const { text, params } = sql`name = ${name} and id > ${7}`;
    expect(text).toBe("name = $1 and id > $2");
    expect(params).toEqual([name, 7]);
  });

  test("fragments compose: their parameters are numbered anew, and they bind as a whole", () => {
    const either = sql`status = ${"placed"} or status = ${"paid"}`;
    const large = sql`total > ${"100"}`;
    expect(sql`${either} and ${large}`).toMatchObject({
      text: "(status = $1 or status = $2) and (total > $3)",
      params: ["placed", "paid", "100"],
    });
    expect(sql`id <> ${1} and not ${sql`${either} and ${large}`} or ${true}`).toMatchObject({
      text: "id <> $1 and not ((status = $2 or status = $3) and (total > $4)) or $5",
      params: [1, "placed", "paid", "100", true],
    });
    expect(either.text).toBe("status = $1 or status = $2");
  });

  test("without values it is its text", () => {
    expect(sql`active`).toMatchObject({ text: "active", params: [] });
  });

  test("what stands beside a value isn't drawn into the parameter's number or a name", () => {
    expect(sql`a=${1}1`.text).toBe("a=$1 1");
    expect(sql`a and not${true}`.text).toBe("a and not $1");
    expect(sql`${1}${2}`.text).toBe("$1 $2");
    expect(sql`(${1},${2})::int4`.text).toBe("($1,$2)::int4");
    expect(sql`ä${1}ä`.text).toBe("ä $1 ä");
    expect(sql`${1}::int = 10${2}`.text).toBe("$1::int = 10 $2");
  });

  test("however fragments are nested, the parameters are numbered in order and the values are theirs", () => {
    let state = 7;
    const below = (n: number) => {
      state = (state * 48_271) % 2_147_483_647;
      return state % n;
    };
    for (let run = 0; run < 200; run++) {
      let next = 0;
      const part = (depth: number): SqlValue | Sql => (depth > 0 && below(3) > 0 ? grow(depth - 1) : ++next);
      const grow = (depth: number): Sql => {
        switch (below(3)) {
          case 0:
            return sql`a = ${part(depth)}`;
          case 1:
            return sql`${part(depth)} or ${part(depth)}b`;
          default:
            return sql`f(${part(depth)}, ${part(depth)}, ${part(depth)})`;
        }
      };
      const { text, params } = grow(4);
      const numbers = Array.from({ length: next }, (_, i) => i + 1);
      expect(text.match(/\$\d+/g)).toEqual(numbers.map((n) => `$${n}`));
      expect(params).toEqual(numbers);
    }
  });
});

describe("text that would mean something else than it seems", () => {
  test.each<[string, () => Sql]>([
    ["within quotes", () => sql`name = '${"a"}'`],
    ["within double quotes", () => sql`"${"name"}" = 1`],
    ["within a comment", () => sql`true -- ${1}`],
    ["within a comment", () => sql`true /* /* */ ${1} */`],
    ["ends within quotes", () => sql`name = 'a`],
    ["ends within a comment", () => sql`true -- all`],
    ["bare $", () => sql`id = $1`],
    ["bare $", () => sql`name = $$a$$`],
    ["backslash", () => sql`name ~ '\d'`],
    ["backslash", () => sql`name = '\u{1F600}'`],
    ["empty", () => sql``],
    ["empty", () => sql` `],
    ["without parentheses", () => sql("id = 1" as never)],
    ["without parentheses", () => sql(["id = ", ""] as never, 1)],
  ])("%s is refused", (message, make) => {
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });

  test("quotes, comments and names that are closed are text", () => {
    const text = `a$1 = 'it''s $1' and "a""b" /* ' /* " */ -- */ = '--' -- '
      and c = `;
    expect(
      sql`a$1 = 'it''s $1' and "a""b" /* ' /* " */ -- */ = '--' -- '
      and c = ${1}`.text,
    ).toBe(`${text}$1`);
  });
});

describe("values", () => {
  test.each<[string, SqlValue, unknown]>([
    ["null", null, null],
    ["boolean", false, false],
    ["number", -1.5e-7, -1.5e-7],
    ["NaN", Number.NaN, "NaN"],
    ["Infinity", Number.POSITIVE_INFINITY, "Infinity"],
    ["-Infinity", Number.NEGATIVE_INFINITY, "-Infinity"],
    ["bigint", 9_223_372_036_854_775_807n, "9223372036854775807"],
    ["string", "Grüße, 👋", "Grüße, 👋"],
    ["Date", new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 6)), "2026-01-02T03:04:05.006Z"],
    ["array", ["a", null, "b"], ["a", null, "b"]],
    ["array of all", [1n, Number.NaN, new Date(0)], ["1", "NaN", "1970-01-01T00:00:00.000Z"]],
    ["nested array", [[1], [2]], [[1], [2]]],
    ["object", { b: 1n, a: { at: new Date(0), list: [Number.NaN] } }, undefined],
    ["object without prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ])("%s", (_, value, want) => {
    const expected =
      want === undefined ? { a: { at: "1970-01-01T00:00:00.000Z", list: ["NaN"] }, b: "1" } : want;
    const [got] = sql`v = ${value}`.params;
    expect(got).toStrictEqual(expected);
    expect(JSON.parse(JSON.stringify(got))).toStrictEqual(expected);
  });

  test("what is changed afterwards isn't changed in the parameters", () => {
    const list = ["a"];
    const made = sql`v = any(${list})`;
    list.push("b");
    expect(made.params).toEqual([["a"]]);
  });

  const circular: unknown[] = [];
  circular.push(circular);
  test.each<[string, unknown, string]>([
    ["undefined", undefined, "the value after “and status =” is undefined; SQL's null is null"],
    ["undefined in an array", [1, undefined], "“and status =”[1] is undefined"],
    ["a hole", Array(1), "“and status =”[0] is undefined"],
    ["undefined in an object", { a: { b: undefined } }, "“and status =”.a.b is undefined"],
    ["a function", () => "a", "is a function"],
    ["a symbol", Symbol("a"), "is a symbol"],
    ["a Map", new Map(), "is a Map, no plain object"],
    ["a promise", Promise.resolve("a"), "is a Promise, no plain object"],
    ["bytes", new Uint8Array(1), "is a Uint8Array, no plain object"],
    ["a boxed string", new String("a"), "is a String, no plain object"],
    ["an invalid Date", new Date("nonsense"), "is an invalid Date"],
    ["a Date that Postgres doesn't read", new Date(-1e15), "outside the years 1 to 9999"],
    ["a circle", circular, "contains itself"],
    ["a fragment in an array", [sql`true`], "may stand in another sql`…` alone"],
  ])("%s is refused", (_, value, message) => {
    const make = () => sql`id = ${1} and status = ${loose(value)}`;
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });

  test("an error names the place, never the value", () => {
    const make = () => sql`token = ${loose(["s3cret", { a: undefined, b: "s3cret" }])}`;
    expect(make).toThrow("is undefined");
    expect(make).not.toThrow("s3cret");
  });

  test("the same is refused by the compiler", () => {
    const maybe = undefined as string | undefined;
    // @ts-expect-error undefined is no value
    expect(() => sql`a = ${maybe}`).toThrow();
    // @ts-expect-error neither is a Map
    expect(() => sql`a = ${new Map<string, string>()}`).toThrow();
    // @ts-expect-error nor a function
    expect(() => sql`a = ${() => 1}`).toThrow();
  });
});

describe("a query's where", () => {
  const key = (where: Sql | string, params?: readonly SqlValue[]) =>
    queryKey(select({ table: "public.t", where, params }), true);

  test("equal fragments are one query, made anew or not; other values or texts are others", () => {
    const make = (status: string, place: SqlValue) => sql`status = ${status} and place @> ${place}`;
    expect(key(make("a", { x: 1, y: [2] }))).toBe(key(make("a", { y: [2], x: 1 })));
    expect(key(make("a", {}))).not.toBe(key(make("b", {})));
    expect(key(make("a", 1))).not.toBe(key(make("a", "1")));
    expect(key(sql`a = ${1}`)).not.toBe(key(sql`a  = ${1}`));
  });

  test("a string with params is the same query, its values taken in the same way", () => {
    expect(key("status = $1 and at > $2", ["a", new Date(0)])).toBe(
      key(sql`status = ${"a"} and at > ${new Date(0)}`),
    );
    expect(key("active")).toBe(key(sql`active`));
    expect(() => key("a = $1", [loose(undefined)])).toThrow("$1 is undefined");
  });

  test("is sent as text and params", () => {
    expect(select({ table: "public.t", where: sql`a = ${1n}`, columns: undefined })).toEqual({
      table: "public.t",
      where: "a = $1",
      params: ["1"],
    });
    expect(select({ table: "public.t", where: sql`a` })).toEqual({ table: "public.t", where: "a" });
    expect(select({ table: "public.t", where: undefined, params: undefined })).toEqual({ table: "public.t" });
  });

  test("a fragment has its params; others beside it are refused", () => {
    expect(() => key(sql`a = ${1}`, [2])).toThrow("sql`…` has its parameters already");
  });
});
