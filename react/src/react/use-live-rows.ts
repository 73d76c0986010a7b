import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { Observable } from "../observable.js";
import { type LiveRows, NOTHING, type QuerySpec, queryKey } from "../query.js";
import type { Row } from "../wire.js";
import { useRelay } from "./context.js";

export type LiveRowsOptions = Omit<QuerySpec, "table">;

/** Keeps a query's object as long as it says the same, so that options may be written inline. */
export function useSpec(table: string, options: LiveRowsOptions | undefined): QuerySpec {
  const spec = { ...options, table };
  const key = queryKey(spec, true);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key says all that the query does
  return useMemo(() => spec, [key]);
}

export function useObservable<T>(observable: Observable<T>, onServer: T): T {
  const subscribe = useCallback((listener: () => void) => observable.subscribe(listener), [observable]);
  const getSnapshot = useCallback(() => observable.getSnapshot(), [observable]);
  return useSyncExternalStore(subscribe, getSnapshot, () => onServer);
}

/**
 * A table's rows, live. `R` is a row's type; int8 and numeric are strings.
 *
 *     const { rows, status } = useLiveRows<User>("profiles.users");
 */
export function useLiveRows<R extends object = Row>(table: string, options?: LiveRowsOptions): LiveRows<R> {
  const relay = useRelay();
  const spec = useSpec(table, options);
  const rows = useMemo(() => relay.liveRows<R>(spec), [relay, spec]);
  return useObservable<LiveRows<R>>(rows, NOTHING);
}
