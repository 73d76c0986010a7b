import { RelayClient } from "../src/index.js";
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

/** What the page is made of: one client, its meter, and the story of its connection. */
export interface Demo {
  readonly client: RelayClient;
  readonly meter: Meter;
  readonly story: Story;
}

export function makeDemo(): Demo {
  const meter = new Meter();
  const client = new RelayClient({
    schedule: (flush) => meter.schedule(flush),
    onTransaction: (transaction) => meter.record(transaction),
  });
  return { client, meter, story: new Story(client, TABLES) };
}
