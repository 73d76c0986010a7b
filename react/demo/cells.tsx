import type { ReactNode } from "react";
import type { Column, JsonValue } from "../src/index.js";

/** How a column's values are set, from its Postgres type and its name. */
export type Look = "number" | "amount" | "time" | "id" | "label" | "list" | "json" | "flag" | "text";

export function look({ name, type }: Column): Look {
  if (type === "uuid") return "id";
  if (type.endsWith("[]")) return "list";
  if (type === "json" || type === "jsonb") return "json";
  if (type === "boolean") return "flag";
  if (type.startsWith("timestamp")) return "time";
  if (type.startsWith("numeric")) return "amount";
  if (/^(integer|bigint|smallint|real|double)/.test(type)) return "number";
  return type.includes(".") || name === "status" || name === "method" ? "label" : "text";
}

/** Whether a column stands on the right. */
export function right(kind: Look): boolean {
  return kind === "number" || kind === "amount" || kind === "time";
}

export function show(value: JsonValue | undefined, kind: Look): ReactNode {
  if (value === null || value === undefined) return <span className="null">–</span>;
  switch (kind) {
    case "id":
      return <code>{String(value).slice(0, 8)}</code>;
    case "time":
      return time(String(value));
    case "amount":
      return amount(String(value));
    case "label":
      return <span className={`label hue-${hue(String(value))}`}>{String(value)}</span>;
    case "flag":
      return <span className={value === true ? "flag yes" : "flag"}>{value === true ? "yes" : "no"}</span>;
    case "list":
      return Array.isArray(value)
        ? value.map((item) => <Tag key={String(item)}>{String(item)}</Tag>)
        : String(value);
    case "json":
      return json(value);
    default:
      return String(value);
  }
}

function Tag({ children }: { children: string }): ReactNode {
  return <span className="tag">{children}</span>;
}

function time(value: string): string {
  const at = new Date(value);
  if (Number.isNaN(at.getTime())) return value;
  const today = Math.abs(Date.now() - at.getTime()) < 12 * 3_600_000;
  return today
    ? at.toLocaleTimeString("en-GB")
    : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

/** A numeric as it came, a thin space between the thousands: it never was a JavaScript number. */
function amount(value: string): string {
  const [whole = "", fraction] = value.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

function json(value: JsonValue): ReactNode {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return JSON.stringify(value);
  const fields = value as { readonly [name: string]: JsonValue };
  return (
    <span className="json">
      {Object.keys(fields).map((name) => (
        <span key={name}>
          <i>{name}</i> {typeof fields[name] === "string" ? fields[name] : JSON.stringify(fields[name])}
        </span>
      ))}
    </span>
  );
}

const HUES: { readonly [label: string]: string } = {
  active: "green",
  delivered: "green",
  paid: "teal",
  packed: "blue",
  shipped: "violet",
  away: "amber",
  placed: "amber",
  invited: "blue",
  suspended: "red",
  cancelled: "red",
};

function hue(label: string): string {
  return HUES[label] ?? "plain";
}
