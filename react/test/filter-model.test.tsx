// @vitest-environment happy-dom
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import { sql, useLiveRows } from "../src/react/index.js";
import type { ClientMessage } from "../src/wire.js";
import { changes, insert, live, subscribed } from "./harness.js";
import { Mount } from "./mount.js";
import type { Peer } from "./server.js";

const FILTERS = ["a", "b", "c", "bad"] as const;
type Filter = (typeof FILTERS)[number];

/** Answers one connection's messages in their order, but each when `step` is called. */
class Answers {
  readonly open = new Map<number, Filter>();
  readonly sizes = new Map<Filter, number>(FILTERS.map((filter) => [filter, 1]));
  readonly #live = new Set<number>();
  readonly #due: (() => void)[] = [];
  #read = 0;

  constructor(readonly peer: Peer) {}

  get due(): number {
    this.#take();
    return this.#due.length;
  }

  step(): void {
    this.#take();
    this.#due.shift()?.();
  }

  /** A row more for this filter; who is live hears of it. */
  grow(filter: Filter): void {
    const size = (this.sizes.get(filter) ?? 0) + 1;
    this.sizes.set(filter, size);
    for (const id of this.#live) {
      if (this.open.get(id) === filter) this.peer.send(changes(`s${id}`, size, [insert(size, filter)]));
    }
  }

  #take(): void {
    for (; this.#read < this.peer.messages.length; this.#read++) {
      const message = this.peer.messages[this.#read];
      if (message !== undefined) this.#answer(message);
    }
  }

  #answer(message: ClientMessage): void {
    if (message.type === "subscribe") {
      const { id } = message;
      const filter = message.params?.[0] as Filter;
      this.open.set(id, filter);
      if (filter === "bad") this.#due.push(() => this.#refuse(id));
      else this.#due.push(...this.#rows(id, filter));
    } else if (message.type === "unsubscribe") {
      this.#due.push(() => this.#close(message.id));
    }
  }

  #refuse(id: number): void {
    this.open.delete(id);
    this.peer.send({ type: "error", id, code: "bad_where", message: "no" });
  }

  #rows(id: number, filter: Filter): (() => void)[] {
    const shape = `s${id}`;
    return [
      () => this.peer.send(subscribed(id, shape)),
      () => {
        const rows = Array.from({ length: this.sizes.get(filter) ?? 0 }, (_, i) => ({
          id: i + 1,
          v: filter,
        }));
        this.peer.send({ type: "snapshot", shape, rows });
        this.#live.add(id);
      },
      () => this.peer.send(live(shape, `c${id}`)),
    ];
  }

  #close(id: number): void {
    if (!this.open.delete(id)) return;
    this.#live.delete(id);
    this.peer.send({ type: "closed", id, code: "unsubscribed", message: "" });
  }
}

function List({ v }: { v: Filter }): ReactNode {
  const { rows, status } = useLiveRows<{ id: number; v: string }>("public.t", { where: sql`v = ${v}` });
  return `${v} ${status} ${rows.map((row) => row.v).join("")}`;
}

/** One filter's rows or none; live ones are its own. */
function check(text: string): void {
  const [filter, status, rows = ""] = text.split(" ");
  const own = new Set(rows);
  expect(own.size, text).toBeLessThanOrEqual(1);
  if (status === "live") expect([...own], text).toEqual([filter]);
  else if (status === "stale") expect(own.size, text).toBe(1);
  else expect(rows, text).toBe("");
}

test("whatever the order of changes and answers: never mixed, never empty again, and the last one's at the end", async () => {
  let state = 1;
  const below = (n: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % n;
  };
  const seen = { texts: 0, subscribes: 0 };
  for (let run = 0; run < 25; run++) {
    const mount = await Mount.start({ linger: below(2) * 3 });
    const { texts, end } = mount.watch();
    let v: Filter = "a";
    await mount.render(<List v={v} />);
    const answers = new Answers(await mount.greeted());
    for (let step = 0; step < 30; step++) {
      const before = mount.text;
      const dice = below(10);
      if (dice < 3) {
        v = FILTERS[below(FILTERS.length)] ?? "a";
        await mount.render(<List v={v} />);
      } else if (dice < 8) answers.step();
      else answers.grow(FILTERS[below(3)] ?? "a");
      await mount.paint();
      // Rows go for a refusal, and for nothing else.
      if (/ (live|stale) \w/.test(before) && v !== "bad") expect(mount.text).not.toMatch(/ loading | error /);
      check(mount.text);
    }
    const rows = () => (v === "bad" ? "bad error " : `${v} live ${v.repeat(answers.sizes.get(v) ?? 0)}`);
    await mount.until(() => {
      answers.step();
      return answers.due === 0 && mount.text === rows() && answers.open.size === (v === "bad" ? 0 : 1);
    });
    end();
    for (const text of texts) if (text !== "") check(text);
    expect(mount.client.counters.anomalies).toBe(0);
    seen.texts += texts.size;
    seen.subscribes += mount.client.counters.subscribes;
    await mount.stop();
  }
  expect(seen.subscribes).toBeGreaterThan(100);
  expect(seen.texts).toBeGreaterThan(150);
});
