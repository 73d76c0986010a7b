// @vitest-environment happy-dom
import { act, type ReactNode, Suspense, startTransition, use, useState } from "react";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { sql, useLiveRow, useLiveRows } from "../src/react/index.js";
import { changes, columns, insert, live, subscribed, update } from "./harness.js";
import { Mount } from "./mount.js";
import type { Peer } from "./server.js";

interface Item {
  id: number;
  v: string;
}

let mount: Mount;
beforeEach(async () => {
  mount = await Mount.start();
});
afterEach(() => mount.stop());

let renders = 0;
function List({ v, table = "public.t", narrow }: { v: string; table?: string; narrow?: true }): ReactNode {
  const { rows, status, problem } = useLiveRows<Item>(table, {
    where: sql`v = ${v}`,
    ...(narrow ? { columns: ["id"] } : {}),
  });
  renders += 1;
  const found = rows.map((row) => Object.values(row).join("")).join(" ");
  const why = problem === undefined ? "" : ` ${problem.code}, ${problem.message}, ${problem.hint}`;
  return `${v} ${status} ${found}${why}`;
}

/** Answers a subscribe with one row for each id: `1a 2a`. */
function answer(peer: Peer, id: number, v: string, ...ids: number[]): void {
  const shape = `s${id}`;
  peer.send(
    subscribed(id, shape),
    { type: "snapshot", shape, rows: ids.map((each) => ({ id: each, v })) },
    live(shape, `c${id}`),
  );
}

const closed = (id: number) => ({ type: "closed", id, code: "unsubscribed", message: "" });

/** The page with the rows of filter `a` live, which is subscription 1. */
async function listed(): Promise<Peer> {
  await mount.render(<List v="a" />);
  const peer = await mount.greeted();
  expect(await peer.next()).toEqual({
    type: "subscribe",
    id: 1,
    table: "public.t",
    where: "v = $1",
    params: ["a"],
  });
  answer(peer, 1, "a", 1, 2);
  await mount.shows("a live 1a 2a");
  return peer;
}

describe("another filter", () => {
  test("the old rows stay, stale, until the new ones are live; then the old subscription ends", async () => {
    const peer = await listed();
    const { texts, end } = mount.watch();
    await mount.render(<List v="b" />);
    expect(mount.text).toBe("b stale 1a 2a");
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2, where: "v = $1", params: ["b"] });
    peer.send(subscribed(2, "s2"), { type: "snapshot", shape: "s2", rows: [{ id: 2, v: "b" }] });
    peer.send(changes("s1", 5, [insert(3, "a")]));
    await mount.shows("b stale 1a 2a 3a");
    peer.send(live("s2", "c2"));
    await mount.shows("b live 2b");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    end();
    expect([...texts]).toEqual(["a live 1a 2a", "b stale 1a 2a", "b stale 1a 2a 3a", "b live 2b"]);
    expect(mount.client.counters).toMatchObject({ subscribes: 2, anomalies: 0 });
  });

  test("StrictMode: one subscription for each filter, whatever object says it", async () => {
    const peer = await listed();
    await mount.render(<List v="a" />);
    await mount.render(<List v="b" />);
    await mount.render(<List v="b" />);
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2 });
    answer(peer, 2, "b", 1);
    await mount.shows("b live 1b");
    await mount.render(<List v="b" />);
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    expect(mount.client.counters.subscribes).toBe(2);
    expect(mount.server.accepted).toBe(1);
  });

  test("old rows that are none stay none", async () => {
    await mount.render(<List v="a" />);
    const peer = await mount.greeted();
    await peer.next();
    answer(peer, 1, "a");
    await mount.shows("a live ");
    await mount.render(<List v="b" />);
    expect(mount.text).toBe("b stale ");
  });

  test("another table, other columns: the same", async () => {
    const peer = await listed();
    await mount.render(<List v="a" table="public.u" />);
    expect(mount.text).toBe("a stale 1a 2a");
    expect(await peer.next()).toMatchObject({ table: "public.u" });
    answer(peer, 2, "u", 9);
    await mount.shows("a live 9u");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    await mount.render(<List v="a" table="public.u" narrow />);
    expect(mount.text).toBe("a stale 9u");
    expect(await peer.next()).toMatchObject({ table: "public.u", columns: ["id"] });
    peer.send(
      subscribed(3, "s3", { columns: columns.slice(0, 1) }),
      { type: "snapshot", shape: "s3", rows: [{ id: 9 }] },
      live("s3", "c3"),
    );
    await mount.shows("a live 9");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 2 });
  });

  test("leaving before the new rows are there ends both", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2 });
    await mount.render(null);
    const both = [await peer.next(), await peer.next()];
    expect(both).toContainEqual({ type: "unsubscribe", id: 1 });
    expect(both).toContainEqual({ type: "unsubscribe", id: 2 });
  });
});

describe("quick changes", () => {
  test("end at the last one; those between are unsubscribed at once, and their late rows are nobody's", async () => {
    const peer = await listed();
    const { texts, end } = mount.watch();
    for (const [i, v] of ["b", "c", "d"].entries()) {
      await mount.render(<List v={v} />);
      expect(mount.text).toBe(`${v} stale 1a 2a`);
      expect(await peer.next()).toMatchObject({ type: "subscribe", id: i + 2, params: [v] });
      if (v !== "d") {
        // The next one comes when this one has been let go.
        if (i > 0) expect(await peer.next()).toEqual({ type: "unsubscribe", id: i + 1 });
      }
    }
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 3 });
    answer(peer, 2, "b", 1, 2);
    answer(peer, 3, "c", 3, 4);
    peer.send(closed(2), closed(3), changes("s1", 7, [update(1, "A")]));
    await mount.shows("d stale 1A 2a");
    answer(peer, 4, "d", 5);
    await mount.shows("d live 5d");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    end();
    for (const text of texts) expect(text).toMatch(/^(. stale 1[aA] 2a|a live 1a 2a|d live 5d)$/);
  });

  test("in one batch: only the last one is asked for", async () => {
    let type = (_: string) => {};
    function Typed(): ReactNode {
      const [v, set] = useState("a");
      type = set;
      return <List v={v} />;
    }
    await mount.render(<Typed />);
    const peer = await mount.greeted();
    await peer.next();
    answer(peer, 1, "a", 1);
    await mount.shows("a live 1a");
    await act(async () => {
      for (const v of "bcdef") type(v);
    });
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2, params: ["f"] });
    expect(mount.text).toBe("f stale 1a");
  });

  test("and back again before an answer: the first one's rows are live at once, without a second subscription", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    peer.send(changes("s1", 5, [insert(3, "a")]));
    await mount.shows("b stale 1a 2a 3a");
    await mount.render(<List v="a" />);
    expect(mount.text).toBe("a live 1a 2a 3a");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 2 });
    answer(peer, 2, "b", 9);
    peer.send(closed(2), changes("s1", 6, [insert(4, "a")]));
    await mount.shows("a live 1a 2a 3a 4a");
    expect(mount.client.counters.subscribes).toBe(2);
  });

  test("back to one that is being unsubscribed: it is asked for again when that is answered", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    await mount.render(<List v="c" />);
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 3 });
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 2 });
    await mount.render(<List v="b" />);
    expect(mount.text).toBe("b stale 1a 2a");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 3 });
    peer.send(closed(2));
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 4, params: ["b"] });
    peer.send(closed(3));
    answer(peer, 4, "b", 1);
    await mount.shows("b live 1b");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
  });

  test("back to one whose rows are kept: they are shown, and continued from their cursor", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    answer(peer, 2, "b", 1);
    await mount.shows("b live 1b");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    peer.send(closed(1));
    await mount.until(
      () =>
        mount.client.liveRows({ table: "public.t", where: sql`v = ${"a"}` }).getSnapshot().status === "stale",
    );
    await mount.render(<List v="a" />);
    expect(mount.text).toBe("a stale 1a 2a");
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 3, params: ["a"], since: "c1" });
    peer.send(subscribed(3, "s3", { resumed: true }), changes("s3", 9, [insert(3, "a")]), live("s3", "c3"));
    await mount.shows("a live 1a 2a 3a");
  });
});

describe("a filter that is refused", () => {
  const refused = { type: "error", id: 2, code: "bad_where", message: "no column w", hint: "write v" };

  test("shows code, message and hint, and no rows; the old subscription ends", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    peer.send(refused);
    await mount.shows("b error  bad_where, no column w, write v");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
  });

  test("another one after it begins with no rows; the one before it has its own", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    peer.send(refused);
    await mount.shows("b error  bad_where, no column w, write v");
    await mount.render(<List v="c" />);
    expect(mount.text).toBe("c loading ");
    await mount.render(<List v="a" />);
    await mount.shows("a live 1a 2a");
  });

  test("it is asked for again with the next connection; another hint is told", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    peer.send(refused);
    await mount.shows("b error  bad_where, no column w, write v");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    peer.socket.terminate();
    const again = await mount.greeted();
    expect(await again.next()).toMatchObject({ type: "subscribe", id: 3, params: ["b"] });
    again.send({ ...refused, id: 3, hint: "write x" });
    await mount.shows("b error  bad_where, no column w, write x");
  });

  test("when a live one is refused by a change of the rules, its rows go", async () => {
    const peer = await listed();
    peer.send(
      { type: "resync", shape: "s1", reason: "rule_changed" },
      { ...refused, id: 1, code: "bad_columns", message: "no", hint: "ask" },
    );
    await mount.shows("a error  bad_columns, no, ask");
  });
});

describe("what the server withdraws leaves the screen, though another filter is on its way", () => {
  test("waiting not_found: at once", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    peer.send({ type: "waiting", id: 1, reason: "not_found", message: "" });
    await mount.shows("b loading ");
    answer(peer, 2, "b", 1);
    await mount.shows("b live 1b");
  });

  test("rows of another person: with the token", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    mount.client.setToken(`x.${btoa(JSON.stringify({ sub: "bob" }))}.x`);
    await mount.shows("b loading ");
    await peer.ended();
  });

  test("the new one missing: no rows of the old one", async () => {
    const peer = await listed();
    await mount.render(<List v="b" table="public.gone" />);
    await peer.next();
    peer.send({ type: "waiting", id: 2, reason: "not_found", message: "not there" });
    await mount.shows("b missing  not_found, not there, undefined");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
  });

  test("the new one's source down: the old rows stay, with the reason", async () => {
    const peer = await listed();
    await mount.render(<List v="b" />);
    await peer.next();
    peer.send({ type: "waiting", id: 2, reason: "unavailable", message: "down" });
    await mount.shows("b stale 1a 2a unavailable, down, undefined");
    answer(peer, 2, "b", 1);
    await mount.shows("b live 1b");
  });
});

test("a connection that breaks on the way: the old rows stay, and the new ones come over the next one", async () => {
  const peer = await listed();
  await mount.render(<List v="b" />);
  await peer.next();
  peer.socket.terminate();
  const again = await mount.greeted();
  const asked = [await again.next(), await again.next()];
  expect(asked).toContainEqual(expect.objectContaining({ type: "subscribe", params: ["a"], since: "c1" }));
  const b = asked.find((message) => message.type === "subscribe" && message.params?.[0] === "b");
  expect(b).not.toHaveProperty("since");
  expect(mount.text).toBe("b stale 1a 2a");
  answer(again, (b as { id: number }).id, "b", 1);
  await mount.shows("b live 1b");
});

describe("concurrent rendering", () => {
  const pending = new Map<string, { promise: Promise<void>; resolve: () => void }>();
  beforeEach(() => pending.clear());

  /** Suspends until what belongs to the filter is resolved. */
  function Slow({ v }: { v: string }): ReactNode {
    let entry = pending.get(v);
    if (entry === undefined) {
      let resolve = () => {};
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      entry = { promise, resolve };
      pending.set(v, entry);
    }
    use(entry.promise);
    return null;
  }

  let set = (_: string) => {};
  function Both(): ReactNode {
    const [v, change] = useState("a");
    set = change;
    return (
      <Suspense fallback="…">
        <List v={v} />
        <Slow v={v} />
      </Suspense>
    );
  }

  async function both(): Promise<Peer> {
    await mount.render(<Both />);
    const peer = await mount.greeted();
    expect(mount.text).toBe("…");
    expect(mount.client.counters.subscribes).toBe(0);
    await act(async () => pending.get("a")?.resolve());
    expect(await peer.next()).toMatchObject({ id: 1, params: ["a"] });
    answer(peer, 1, "a", 1);
    await mount.shows("a live 1a");
    return peer;
  }

  test("a transition that suspends subscribes when it is there, and to the last filter alone", async () => {
    const peer = await both();
    await act(async () => startTransition(() => set("b")));
    await act(async () => startTransition(() => set("c")));
    expect(mount.text).toBe("a live 1a");
    expect(mount.client.counters.subscribes).toBe(1);
    peer.send(changes("s1", 5, [insert(2, "a")]));
    await mount.shows("a live 1a 2a");
    await act(async () => pending.get("b")?.resolve());
    await act(async () => pending.get("c")?.resolve());
    expect(mount.text).toBe("c stale 1a 2a");
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2, params: ["c"] });
    answer(peer, 2, "c", 3);
    await mount.shows("c live 3c");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    expect(mount.client.counters.subscribes).toBe(2);
  });

  test("hidden by a suspended sibling and shown again: the old rows, then the new ones", async () => {
    const peer = await both();
    await act(async () => set("b"));
    await act(async () => pending.get("b")?.resolve());
    await mount.shows("b stale 1a");
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2, params: ["b"] });
    answer(peer, 2, "b", 3);
    await mount.shows("b live 3b");
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    expect(mount.client.counters.subscribes).toBe(2);
  });

  test("changing the filter costs one render with the old rows and one with the new ones", async () => {
    const peer = await listed();
    const before = renders;
    await mount.render(<List v="b" />);
    answer(peer, 2, "b", 1);
    await mount.shows("b live 1b");
    // StrictMode renders twice.
    expect(renders - before).toBe(4);
  });
});

test("one row of another filter is another row: it is not shown before it is known", async () => {
  function One({ v }: { v: string }): ReactNode {
    const { row, status } = useLiveRow<Item>("public.t", 1, { where: sql`v = ${v}` });
    return `${status} ${row?.v ?? "none"}`;
  }
  await mount.render(<One v="a" />);
  const peer = await mount.greeted();
  await peer.next();
  answer(peer, 1, "a", 1);
  await mount.shows("live a");
  await mount.render(<One v="b" />);
  expect(mount.text).toBe("loading none");
});

test("a value that is none is refused where it is written", async () => {
  const rendered = mount.render(<List v={undefined as unknown as string} />);
  await expect(rendered).rejects.toThrow("the value after “v =” is undefined");
});
