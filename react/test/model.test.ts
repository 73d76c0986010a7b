import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Query } from "../src/query.js";
import { query, Wire } from "./harness.js";
import { type Kind, lines, Model, numbers } from "./model.js";

const kinds = new Map<string, Kind>([
  ["t.all", { bag: false, sees: () => true }],
  ["t.some", { bag: false, sees: ({ v }) => v > "1" }],
  ["t.bag", { bag: true, sees: () => true }],
]);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** What a query shows is a state that the table had, and none older than what it showed before. */
class Watch {
  #seen = 0;

  constructor(
    readonly query: Query,
    readonly model: Model,
  ) {}

  check(): void {
    this.query.publish();
    if (this.query.shown === undefined) return;
    const { table } = this.query.spec;
    const got = lines(this.query.published.rows);
    for (let at = this.#seen; at <= this.model.last; at++) {
      if (this.model.state(table, at) !== got) continue;
      this.#seen = at;
      return;
    }
    throw new Error(`${table} shows what it never was since ${this.#seen}: ${got || "nothing"}`);
  }
}

/** One run: server, client and network take turns at random; at the end everything is delivered. */
function run(seed: number): { wire: Wire; checks: number } {
  const random = numbers(seed);
  const model = new Model(random, kinds);
  const wire = new Wire();
  const spellings = [{}, { columns: ["id", "v", "long"] }];
  const watches = [...kinds.keys()].flatMap((table) =>
    spellings.map((more) => new Watch(query(table, more), model)),
  );
  const wanted = new Set<Query>();
  let taken = 0;
  let checks = 0;

  const deliver = (count: number) => {
    for (const message of model.out.splice(0, count)) {
      wire.receive(message);
      for (const ended of wire.ended.splice(0)) if (wanted.has(ended)) wire.session.subscribe(ended);
      for (const watch of watches) watch.check();
      checks += 1;
    }
  };
  const send = (count: number) => {
    for (const message of wire.sent.slice(taken, taken + count)) {
      model.take(message);
      taken += 1;
    }
  };
  const cut = () => {
    taken = wire.sent.length;
    model.connect();
    wire.connect();
    for (const { query: q } of watches) {
      q.ended = false;
      if (wanted.has(q)) wire.session.subscribe(q);
    }
  };
  const toggle = (q: Query) => {
    if (wanted.delete(q)) return wire.session.unsubscribe(q);
    wanted.add(q);
    wire.session.subscribe(q);
  };

  for (let i = 0; i < 400; i++) {
    const dice = random(100);
    const watch = watches[random(watches.length)];
    if (dice < 15) model.commit();
    else if (dice < 50) model.step();
    else if (dice < 75) deliver(1 + random(6));
    else if (dice < 88) send(1 + random(3));
    else if (dice < 95 && watch !== undefined) toggle(watch.query);
    else if (dice < 97) cut();
    else if (dice < 98) model.trim();
    else vi.advanceTimersByTime(2_000);
    if (dice >= 98) for (const each of watches) each.check();
  }

  for (const { query: q } of watches) if (!wanted.has(q)) toggle(q);
  cut();
  while (taken < wire.sent.length || model.out.length > 0) {
    send(10);
    model.settle();
    deliver(1_000);
  }
  for (const { query: q } of watches) {
    expect(q.published.status, `${q.spec.table}, seed ${seed}`).toBe("live");
    expect(lines(q.published.rows), `seed ${seed}`).toBe(model.state(q.spec.table, model.last));
  }
  return { wire, checks };
}

test("random interleavings: never a state that was not, never back, and the table's at the end", () => {
  const first = Number(process.env.SEED ?? 1);
  const runs = Number(process.env.RUNS ?? 200);
  const total = { resumes: 0, snapshots: 0, resyncs: 0, transactions: 0, checks: 0 };
  for (let seed = first; seed < first + runs; seed++) {
    try {
      const { wire, checks } = run(seed);
      total.resumes += wire.counters.resumes;
      total.snapshots += wire.counters.snapshots;
      total.resyncs += wire.counters.resyncs;
      total.transactions += wire.counters.transactions;
      total.checks += checks;
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
  process.stdout.write(`${runs} runs: ${JSON.stringify(total)}\n`);
  for (const count of Object.values(total)) expect(count).toBeGreaterThan(runs / 10);
}, 120_000);
