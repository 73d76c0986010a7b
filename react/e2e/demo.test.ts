import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { createServer } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Debug } from "../demo/debug.js";
import { launch, patience } from "./browser.js";
import { differences } from "./compare.js";
import { Relay } from "./relay.js";

const KEYS = {
  "profiles.users": ["id"],
  "orders.orders": ["id"],
  "orders.products": ["id"],
  "orders.order_lines": ["order_id", "line"],
  "orders.payments": ["id"],
} as const;
const TABLES = Object.keys(KEYS) as (keyof typeof KEYS)[];

const screenshots = fileURLToPath(new URL("screenshots/", import.meta.url));

let relay: Relay;
let browser: Browser;
let page: Page;
const errors: string[] = [];

beforeAll(async () => {
  await mkdir(screenshots, { recursive: true });
  [relay, browser] = await Promise.all([Relay.start(), launch()]);
  page = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: "light" });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(relay.url);
});

afterAll(async () => {
  await browser?.close();
  await relay?.stop();
});

type Numbers = Pick<
  Debug,
  "subscriptions" | "connections" | "resumes" | "resyncs" | "snapshots" | "changes" | "caughtUp" | "anomalies"
>;

const numbers = () => page.evaluate((): Numbers => ({ ...window.__pgrelay }));
const shot = (name: string) => page.screenshot({ path: `${screenshots}${name}.png` });

function live(): Promise<void> {
  const states = () =>
    page.evaluate((tables) => tables.map((table) => window.__pgrelay.status(table)), TABLES);
  return expect.poll(states, patience).toEqual(TABLES.map(() => "live"));
}

/** Stops the traffic; then, within the time that frames need, the page's rows are the tables'. */
async function complete(): Promise<void> {
  await relay.rate(0);
  for (const table of TABLES) {
    const compare = async () => {
      const [theirs, ours] = [
        await relay.rows(table),
        await page.evaluate((name) => window.__pgrelay.rows(name), table),
      ];
      return differences(KEYS[table], ours, theirs).slice(0, 5);
    };
    await expect.poll(compare, { ...patience, message: table }).toEqual([]);
  }
}

test("each table is one subscription, over one connection", async () => {
  await live();
  expect(await numbers()).toMatchObject({
    connections: 1,
    subscriptions: TABLES.length,
    snapshots: TABLES.length,
  });
  for (const table of TABLES) {
    expect(await page.getByTestId(`table-${table}`).locator("tbody tr").count()).toBeGreaterThan(0);
  }
});

test("StrictMode, which mounts everything twice in React's development build, still makes one of each", async () => {
  process.env.PGRELAY_URL = relay.url;
  const vite = await createServer({
    configFile: fileURLToPath(new URL("../vite.config.ts", import.meta.url)),
    root: fileURLToPath(new URL("../demo", import.meta.url)),
    server: { port: 0, hmr: false },
    logLevel: "error",
  });
  const other = await browser.newPage();
  try {
    await vite.listen();
    await other.goto(vite.resolvedUrls?.local[0] ?? "");
    const states = () =>
      other.evaluate((tables) => tables.map((table) => window.__pgrelay?.status(table)), TABLES);
    await expect.poll(states, patience).toEqual(TABLES.map(() => "live"));
    expect(await other.evaluate((): Numbers => ({ ...window.__pgrelay }))).toMatchObject({
      connections: 1,
      subscriptions: TABLES.length,
    });
  } finally {
    await other.close();
    await vite.close();
  }
});

test("rows change, and the page says how fast they come", async () => {
  await relay.rate(50);
  const cells = () => page.getByTestId("table-orders.orders").locator("tbody").textContent();
  const before = await cells();
  await expect.poll(cells, patience).not.toBe(before);
  await expect.poll(() => page.getByTestId("p50").textContent(), patience).toMatch(/^\d/);
  await expect
    .poll(
      async () => Number((await page.getByTestId("changes-per-second").textContent())?.replace(",", "")),
      patience,
    )
    .toBeGreaterThan(10);
  await shot("live-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await shot("live-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await complete();
});

test("the slider sets the traffic's rate", async () => {
  const slider = page.getByTestId("rate");
  await slider.fill("5");
  await expect.poll(() => page.getByTestId("rate-value").textContent(), patience).toBe("20 / s");
  const rate = async () => ((await (await fetch(`${relay.url}/demo/rate`)).json()) as { rate: number }).rate;
  await expect.poll(rate, patience).toBe(20);
});

test("a cut loses nothing: the rows go on without the page, and it catches up", async () => {
  await relay.rate(100);
  const before = await numbers();
  await page.getByTestId("cut").click();
  await expect.poll(() => page.evaluate(() => window.__pgrelay.connection), patience).toBe("paused");
  const behind = async () => {
    const ours = await page.evaluate(() => window.__pgrelay.rows("orders.orders"));
    return differences(KEYS["orders.orders"], ours, await relay.rows("orders.orders")).length;
  };
  await expect.poll(behind, patience).toBeGreaterThan(20);
  await shot("cut");
  await page.getByTestId("cut").click();
  await live();
  await complete();
  const after = await numbers();
  expect(after.caughtUp - before.caughtUp).toBeGreaterThan(20);
  expect(after).toMatchObject({
    connections: before.connections + 1,
    resumes: before.resumes + TABLES.length,
    snapshots: before.snapshots,
  });
  await expect.poll(() => page.getByTestId("story").textContent(), patience).toContain("caught up");
  await shot("caught-up");
});

test("a restart of the relay loses nothing", async () => {
  await relay.rate(100);
  const before = await numbers();
  await page.getByTestId("restart").click();
  await expect.poll(async () => (await numbers()).connections, patience).toBeGreaterThan(before.connections);
  await live();
  await complete();
  const after = await numbers();
  expect(after.resumes - before.resumes).toBeGreaterThanOrEqual(TABLES.length);
  expect(after).toMatchObject({ snapshots: before.snapshots, resyncs: before.resyncs });
  await shot("restarted");
});

test("at the highest rate the page stays alive, and right", async () => {
  const most = await relay.rate(1);
  await relay.rate(most);
  const before = await numbers();
  await expect.poll(async () => (await numbers()).changes - before.changes, patience).toBeGreaterThan(2_000);
  // It goes on painting.
  await page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        let left = 20;
        const frame = () => {
          left -= 1;
          if (left > 0) requestAnimationFrame(frame);
          else resolve();
        };
        requestAnimationFrame(frame);
      }),
  );
  await shot("busy");
  await complete();
});

test("nothing went wrong on the way", async () => {
  expect(errors).toEqual([]);
  expect(await numbers()).toMatchObject({ anomalies: 0 });
});
