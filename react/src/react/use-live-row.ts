import { useMemo } from "react";
import type { LiveRow } from "../row.js";
import type { JsonValue, Row } from "../wire.js";
import { useRelay } from "./context.js";
import { type LiveRowsOptions, useObservable, useSpec } from "./use-live-rows.js";

const UNKNOWN: LiveRow<never> = { row: undefined, status: "loading" };

/**
 * The row with this key; the component renders when this row changes and for no other.
 * A key of several columns is an object of them. All rows that the options leave are held by the page. With another key
 * or other options it is another row, `loading` until it is known: the one before isn't shown in its place.
 */
export function useLiveRow<R extends object = Row>(
  table: string,
  key: JsonValue,
  options?: LiveRowsOptions,
): LiveRow<R> {
  const relay = useRelay();
  const spec = useSpec(table, options);
  const text = JSON.stringify(key);
  const row = useMemo(() => relay.liveRow<R>(spec, JSON.parse(text) as JsonValue), [relay, spec, text]);
  return useObservable<LiveRow<R>>(row, UNKNOWN);
}
