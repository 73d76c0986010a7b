import { type ReactNode, useSyncExternalStore } from "react";
import { type Filter, STATUSES } from "./filter.js";

/** Sets the filter, and shows what of it goes to the relay. */
export function FilterBar({ filter }: { filter: Filter }): ReactNode {
  const { status, over } = useSyncExternalStore(filter.subscribe, filter.getSnapshot);
  const { where } = filter;
  return (
    <div className="filter">
      <select
        aria-label="Status"
        data-testid="filter-status"
        value={status}
        onChange={({ target }) => filter.set({ status: target.value })}
      >
        <option value="">any status</option>
        {STATUSES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <input
        aria-label="Total over"
        data-testid="filter-over"
        inputMode="decimal"
        size={9}
        placeholder="total over"
        value={over}
        onChange={({ target }) => filter.set({ over: target.value })}
      />
      <code data-testid="filter-where">
        {where === undefined ? "all rows" : `${where.text} · ${where.params.join(", ")}`}
      </code>
    </div>
  );
}
