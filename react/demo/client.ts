import { type QuerySpec, RelayClient } from "../src/index.js";
import { Filter } from "./filter.js";
import { Meter } from "./meter.js";
import { Story } from "./story.js";

/** The tables of the page, in the order in which they stand. */
export const TABLES = [
  "profiles.users",
  "orders.orders",
  "orders.products",
  "orders.order_lines",
  "orders.payments",
] as const;

/** What the page is made of: one client, the filter of the orders, its meter, and the story of its connection. */
export interface Demo {
  readonly client: RelayClient;
  readonly filter: Filter;
  readonly meter: Meter;
  readonly story: Story;
}

export function makeDemo(): Demo {
  const meter = new Meter();
  const client = new RelayClient({
    schedule: (flush) => meter.schedule(flush),
    onTransaction: (transaction) => meter.record(transaction),
  });
  const filter = new Filter();
  const queries = () => TABLES.map((table) => shown(filter, table));
  return { client, filter, meter, story: new Story(client, queries) };
}

/** What the page shows of a table. */
export function shown(filter: Filter, table: string): QuerySpec {
  return { table, where: table === "orders.orders" ? filter.where : undefined };
}
