import { Lexer, NAME_CHARACTER } from "./lexer.js";
import type { JsonValue } from "./wire.js";

/** What becomes a parameter: arrays for Postgres' arrays, plain objects for jsonb, a Date for a moment. */
export type SqlValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Date
  | readonly SqlValue[]
  | { readonly [name: string]: SqlValue };

/** A boolean expression, or a part of one, and the values of its parameters. Made by `sql`. */
export class Sql {
  /** The expression with `$1`… where the values were. */
  readonly text: string;
  /** The values of `$1`…, as they are sent. */
  readonly params: readonly JsonValue[];
  /** The text between the parameters: one piece more than there are of those. */
  readonly #pieces: readonly string[];

  private constructor(pieces: readonly string[], params: readonly JsonValue[]) {
    this.#pieces = pieces;
    this.params = params;
    this.text = render(pieces);
    if (this.text.trim() === "") throw refusal("sql`` is empty; write sql`true`, or leave the where out");
  }

  /** Stands behind `sql`. */
  static of(strings: TemplateStringsArray, values: readonly (SqlValue | Sql)[]): Sql {
    const lexer = new Lexer();
    const pieces = [lexer.read(first(strings))];
    const params: JsonValue[] = [];
    values.forEach((value, i) => {
      lexer.atValue();
      const next = lexer.read(literal(strings, i + 1));
      if (value instanceof Sql) {
        const [head = "", ...rest] = value.#pieces;
        pieces.push(`${pieces.pop() ?? ""}(${head}`, ...rest);
        pieces.push(`${pieces.pop() ?? ""})${next}`);
        params.push(...value.params);
      } else {
        params.push(parameter(value, `the value after “${(strings[i] ?? "").trim().slice(-30)}”`));
        pieces.push(next);
      }
    });
    lexer.end();
    return new Sql(pieces, params);
  }
}

/**
 * SQL with values: each `${…}` becomes a parameter and never a part of the text. Another `sql` in it is a part of the
 * expression, in parentheses of its own.
 *
 *     const mine = sql`customer_id = ${user.id}`;
 *     const open = sql`status = any(${["placed", "paid"]})`;
 *     useLiveRows("orders.orders", { where: sql`${mine} and ${open}` });
 *
 * The language is the rules' (a subset of Postgres' SQL); `'…'` around a `${…}`, a backslash and a bare `$` are refused.
 * A number that is NaN or infinite and a bigint go as strings, a Date as ISO 8601 in UTC: Postgres reads them as the
 * parameter's type.
 *
 * @throws TypeError for what is no value, above all undefined.
 */
export function sql(strings: TemplateStringsArray, ...values: readonly (SqlValue | Sql)[]): Sql {
  return Sql.of(strings, values);
}

/** Gives each parameter its number. What the text has on either side of one doesn't become a part of it. */
function render(pieces: readonly string[]): string {
  return pieces.reduce((text, piece, i) => {
    const before = NAME_CHARACTER.test(text.slice(-1)) ? " " : "";
    const after = NAME_CHARACTER.test(piece.slice(0, 1)) ? " " : "";
    return `${text}${before}$${i}${after}${piece}`;
  });
}

function first(strings: TemplateStringsArray): string {
  if (!Array.isArray(strings) || !Array.isArray(strings.raw)) {
    throw refusal("sql stands before a template, without parentheses: sql`id = 1`");
  }
  return literal(strings, 0);
}

/** A template's text. JavaScript takes a backslash away that SQL, in a regular expression for one, was meant to see. */
function literal(strings: TemplateStringsArray, i: number): string {
  const text: string | undefined = strings[i];
  if (text === undefined || text !== strings.raw[i]) {
    throw refusal("a backslash in sql`…`; make the text that has it a value, of String.raw`…`");
  }
  return text;
}

/** A value as `params` take it; `place` names it in an error. An object's members come in the order of their names. */
export function parameter(value: unknown, place: string, within: readonly unknown[] = []): JsonValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
      return String(value);
    case "undefined":
      throw refusal(`${place} is undefined; SQL's null is null`);
    case "object":
      return value === null ? null : composite(value, place, within);
    default:
      throw refusal(`${place} is a ${typeof value}`);
  }
}

function composite(value: object, place: string, within: readonly unknown[]): JsonValue {
  if (value instanceof Date) return moment(value, place);
  if (within.includes(value)) throw refusal(`${place} contains itself`);
  const inner = [...within, value];
  // Array.from sees the holes of a sparse array, map does not.
  if (Array.isArray(value)) return Array.from(value, (item, i) => parameter(item, `${place}[${i}]`, inner));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw refusal(`${place} is ${kind(value)}`);
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, item]) => [name, parameter(item, `${place}.${name}`, inner)]),
  );
}

/** Postgres reads years of four digits; before and after those toISOString writes signs. */
function moment(value: Date, place: string): string {
  const year = value.getUTCFullYear();
  if (Number.isNaN(year)) throw refusal(`${place} is an invalid Date`);
  if (year < 1 || year > 9_999)
    throw refusal(`${place} is a Date outside the years 1 to 9999; make it a string`);
  return value.toISOString();
}

function kind(value: object): string {
  if (value instanceof Sql) return "sql`…` inside a value; it may stand in another sql`…` alone";
  const name: unknown = value.constructor?.name;
  return `a ${typeof name === "string" && name !== "" ? name : "class"}, no plain object`;
}

function refusal(message: string): TypeError {
  return new TypeError(`pgrelay: ${message}`);
}
