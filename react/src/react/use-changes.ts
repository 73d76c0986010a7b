import { useEffect, useRef } from "react";
import type { ChangesHandler } from "../query.js";
import { useRelay } from "./context.js";
import { type LiveRowsOptions, useSpec } from "./use-live-rows.js";

/** Hands a table's transactions to `handler` as they come; no rows are loaded or kept. */
export function useChanges(table: string, handler: ChangesHandler, options?: LiveRowsOptions): void {
  const relay = useRelay();
  const spec = useSpec(table, options);
  const latest = useRef(handler);
  useEffect(() => {
    latest.current = handler;
  });
  useEffect(
    () =>
      relay.listen(spec, {
        transaction: (transaction) => latest.current.transaction(transaction),
        live: () => latest.current.live?.(),
        missed: () => latest.current.missed?.(),
      }),
    [relay, spec],
  );
}
