import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { Observable } from "../observable.js";
import { type LiveRows, NOTHING, type QuerySpec, queryKey, select } from "../query.js";
import { Succession } from "../succession.js";
import type { Row } from "../wire.js";
import { useRelay } from "./context.js";

export type LiveRowsOptions = Omit<QuerySpec, "table">;

/** Keeps a query's object as long as it says the same, so that options and sql`…` may be written inline. */
export function useSpec(table: string, options: LiveRowsOptions | undefined): QuerySpec {
  const selection = select({ ...options, table });
  const key = queryKey(selection, true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says all that the query does
  return useMemo(() => selection, [key]);
}

export function useObservable<T>(observable: Observable<T>, onServer: T): T {
  const subscribe = useCallback((listener: () => void) => observable.subscribe(listener), [observable]);
  const getSnapshot = useCallback(() => observable.getSnapshot(), [observable]);
  return useSyncExternalStore(subscribe, getSnapshot, () => onServer);
}

/**
 * A table's rows, live. `R` is a row's type; int8 and numeric are strings.
 *
 *     const { rows, status } = useLiveRows<Order>("orders.orders", { where: sql`status = ${status}` });
 *
 * When table, `where`, `params` or `columns` change, the rows of before stay on screen, `stale`, until those of the
 * present ones are live. They are never mixed. A refusal shows no rows: `error`, with the `problem`.
 *
 * @throws TypeError for a parameter that is no value.
 */
export function useLiveRows<R extends object = Row>(table: string, options?: LiveRowsOptions): LiveRows<R> {
  const relay = useRelay();
  const spec = useSpec(table, options);
  const succession = useMemo(() => new Succession<R>(relay), [relay]);
  const rows = useMemo(() => succession.rows(spec), [succession, spec]);
  return useObservable<LiveRows<R>>(rows, NOTHING);
}
