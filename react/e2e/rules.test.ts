import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { launch, patience } from "./browser.js";
import { differences } from "./compare.js";
import { Relay } from "./relay.js";

type Row = Readonly<Record<string, unknown>>;

const ORDERS = "orders.orders";

let relay: Relay;
let browser: Browser;
let page: Page;
const errors: string[] = [];

beforeAll(async () => {
  [relay, browser] = await Promise.all([Relay.start(), launch()]);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(relay.url);
  await page.locator(`[data-testid="table-${ORDERS}"][data-status="live"]`).waitFor();
});

afterAll(async () => {
  await browser?.close();
  await relay?.stop();
});

const panel = () => page.getByTestId(`table-${ORDERS}`);
const status = (want: string) => expect.poll(() => panel().getAttribute("data-status"), patience).toBe(want);
const choose = (name: string) => page.getByTestId("filter-status").selectOption(name);
const over = () => page.getByTestId("filter-over");
const held = () => page.evaluate((table) => window.__pgrelay.rows(table) as Row[], ORDERS);
const counters = () =>
  page.evaluate(() => {
    const { connections, resyncs, anomalies, changes } = window.__pgrelay;
    return { connections, resyncs, anomalies, changes };
  });

/** Stops the traffic; then the page has of the orders those that `wanted` chooses. */
async function complete(wanted: (order: Row) => boolean): Promise<void> {
  await relay.rate(0);
  const compare = async () => {
    const theirs = (await relay.rows(ORDERS)).filter(wanted);
    return differences(["id"], await held(), theirs).slice(0, 5);
  };
  await expect.poll(compare, patience).toEqual([]);
  await status("live");
}

/** Lets traffic run until so many changes came. */
async function busy(changes: number): Promise<void> {
  const before = await counters();
  await relay.rate(200);
  await expect
    .poll(async () => (await counters()).changes - before.changes, patience)
    .toBeGreaterThan(changes);
}

/** From now on, what the panel's cells say whenever it is live, and whether it ever shows no row. */
async function watch(): Promise<() => Promise<{ statuses: string[]; bare: number }>> {
  await page.evaluate((table) => {
    const found = document.querySelector(`[data-testid="table-${table}"]`);
    const seen = { statuses: new Set<string>(), bare: 0 };
    const look = () => {
      const rows = [...(found?.querySelectorAll("tbody tr") ?? [])];
      if (rows.length === 0) seen.bare += 1;
      if (found?.getAttribute("data-status") !== "live") return;
      for (const row of rows) seen.statuses.add(row.querySelector(".label")?.textContent ?? "");
    };
    if (found !== null) {
      new MutationObserver(look).observe(found, { subtree: true, childList: true, attributes: true });
    }
    Object.assign(window, { seen });
  }, ORDERS);
  return () =>
    page.evaluate(() => {
      const { seen } = window as unknown as { seen: { statuses: Set<string>; bare: number } };
      return { statuses: [...seen.statuses], bare: seen.bare };
    });
}

describe("a filter", () => {
  afterEach(async () => {
    await over().fill("");
    await choose("");
    await status("live");
  });

  test("shows the rows that match, and rows come and go as they change", async () => {
    await choose("placed");
    await complete((order) => order.status === "placed");
    const seen = await watch();
    const ids = async () => new Set((await held()).map(({ id }) => id));
    const before = await ids();
    await relay.rate(200);
    const moved = async () => {
      const now = await ids();
      return { left: [...before].some((id) => !now.has(id)), came: [...now].some((id) => !before.has(id)) };
    };
    await expect.poll(moved, patience).toEqual({ left: true, came: true });
    await complete((order) => order.status === "placed");
    expect((await seen()).statuses).toEqual(["placed"]);
  });

  test("of two parts is both; its values are no part of the text", async () => {
    await choose("delivered");
    await over().fill("1000");
    expect(await page.getByTestId("filter-where").textContent()).toBe(
      "(status = $1) and (total > $2) · delivered, 1000",
    );
    await complete((order) => order.status === "delivered" && Number(order.total) > 1_000);
    expect((await held()).length).toBeGreaterThan(10);
  });

  test("that is typed never leaves the panel without rows, and the last one is what it shows", async () => {
    await complete(() => true);
    const seen = await watch();
    await over().pressSequentially("1234", { delay: 15 });
    for (let i = 0; i < 2; i++) await over().press("Backspace");
    await complete((order) => Number(order.total) > 12);
    expect(await seen()).toMatchObject({ bare: 0 });
  });

  test("that the relay can't take shows why and no rows; mended, it has its own", async () => {
    await over().fill("12 apples");
    await status("error");
    expect(await page.getByTestId(`problem-${ORDERS}`).textContent()).toContain("bad_params");
    expect(await held()).toEqual([]);
    await over().fill("12");
    await complete((order) => Number(order.total) > 12);
  });

  test("is caught up with after a cut", async () => {
    await choose("placed");
    await complete((order) => order.status === "placed");
    await page.getByTestId("cut").click();
    await relay.rate(200);
    const behind = async () => {
      const theirs = (await relay.rows(ORDERS)).filter((order) => order.status === "placed");
      return differences(["id"], await held(), theirs).length;
    };
    await expect.poll(behind, patience).toBeGreaterThan(20);
    await page.getByTestId("cut").click();
    await complete((order) => order.status === "placed");
  });
});

describe("an edit of the rules, while the page is open", () => {
  const rule = (set: string) =>
    relay.psql(`update web_socket_event_system_events.rules set ${set} where name = 'demo: orders'`);

  beforeEach(async () => {
    await rule("predicate = 'true', columns = null, enabled = true");
    await complete(() => true);
  });

  test("hides rows and shows them again, under traffic", async () => {
    const all = (await held()).length;
    await relay.rate(100);
    await rule("predicate = $$status <> 'cancelled'$$");
    const cancelled = async () => (await held()).filter((row) => row.status === "cancelled").length;
    await expect.poll(cancelled, patience).toBe(0);
    const seen = await watch();
    await busy(100);
    await complete((order) => order.status !== "cancelled");
    expect((await seen()).statuses).not.toContain("cancelled");
    expect((await held()).length).toBeLessThan(all);
    await relay.rate(100);
    await rule("predicate = 'true'");
    await expect.poll(cancelled, patience).toBeGreaterThan(0);
    await complete(() => true);
  });

  test("works with a filter, which can only narrow", async () => {
    await choose("delivered");
    await complete((order) => order.status === "delivered");
    await rule("predicate = 'total < 300'");
    await complete((order) => order.status === "delivered" && Number(order.total) < 300);
    await choose("");
    await complete((order) => Number(order.total) < 300);
  });

  test("takes columns away; a filter by one of them is refused, and shows nothing of them", async () => {
    const columns = () =>
      panel()
        .locator("th")
        .allTextContents()
        .then((names) => names.sort());
    expect(await columns()).toContain("total");
    await rule("columns = '{status}'");
    await expect.poll(columns, patience).toEqual(["id", "status"]);
    await complete(() => true);
    await over().fill("100");
    await status("error");
    expect(await page.getByTestId(`problem-${ORDERS}`).textContent()).toContain("bad_where");
    expect(await held()).toEqual([]);
    await over().fill("");
    await status("live");
  });

  test("without the rule the table does not exist; with it, it is back by itself", async () => {
    await rule("enabled = false");
    await status("missing");
    expect(await held()).toEqual([]);
    expect(await panel().locator("tbody tr").count()).toBe(0);
    await rule("enabled = true");
    await complete(() => true);
  });
});

test("all of this was one page that lost its connection once, when it was cut, and nothing went wrong", async () => {
  expect(errors).toEqual([]);
  expect(await counters()).toMatchObject({ connections: 2, anomalies: 0 });
});
