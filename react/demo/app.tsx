import { type ReactNode, useSyncExternalStore } from "react";
import type { Demo } from "./client.js";
import { ConnectionPill, Controls, Identity } from "./controls.js";
import type { Filter } from "./filter.js";
import { FilterBar } from "./filter-bar.js";
import { Panel } from "./panel.js";
import { Tiles } from "./tiles.js";

export function App({ demo }: { demo: Demo }): ReactNode {
  return (
    <div className="page">
      <header className="top">
        <Mark />
        <div className="title">
          <h1>pgrelay</h1>
          <p>
            Rows of two Postgres services, live in React. Each cell is a database's, painted as it commits.
          </p>
          <Identity />
        </div>
        <ConnectionPill />
      </header>
      <section className="tiles" aria-label="What happens">
        <Tiles demo={demo} />
        <Controls demo={demo} />
      </section>
      <main className="tables">
        <Panel table="profiles.users" title="People" order="steady" />
        <Orders filter={demo.filter} />
        <Panel table="orders.products" title="Products" order="steady" />
        <Panel table="orders.order_lines" title="Order lines" order="latest" />
        <Panel table="orders.payments" title="Payments" order="latest" />
      </main>
    </div>
  );
}

function Orders({ filter }: { filter: Filter }): ReactNode {
  useSyncExternalStore(filter.subscribe, filter.getSnapshot);
  return (
    <Panel
      table="orders.orders"
      title="Orders"
      order="latest"
      where={filter.where}
      bar={<FilterBar filter={filter} />}
    />
  );
}

function Mark(): ReactNode {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M6 18h5l3.4-9.5 4.2 15L22 18h4" />
    </svg>
  );
}
