import type { Transaction } from "../src/index.js";
import { beforePaint } from "../src/page.js";

/** What the last seconds were like. Times in milliseconds, from the commit to the paint. */
export interface Reading {
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  readonly changesPerSecond: number;
  readonly transactionsPerSecond: number;
  /** One point for each half second of the last minute, oldest first. */
  readonly trail: readonly Point[];
}

export interface Point {
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  readonly changes: number;
}

const EMPTY: Point = { p50: undefined, p99: undefined, changes: 0 };
const TICK = 500;
const POINTS = 120;
/** Ticks that a reading looks back. */
const WINDOW = 6;
/** Samples kept for a tick. */
const SAMPLES = 2_000;

interface Bucket {
  latencies: number[];
  changes: number;
  transactions: number;
}

/** Measures how long a commit takes until it is painted, and counts what comes. */
export class Meter {
  readonly #listeners = new Set<() => void>();
  readonly #buckets: Bucket[] = [fresh()];
  readonly #painted = new MessageChannel();
  #unpainted: number[] = [];
  #trail: readonly Point[] = Array<Point>(POINTS).fill(EMPTY);
  #reading: Reading = {
    p50: undefined,
    p99: undefined,
    changesPerSecond: 0,
    transactionsPerSecond: 0,
    trail: this.#trail,
  };
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor() {
    // A message that is posted in an animation frame is handled after that frame was painted.
    this.#painted.port1.onmessage = () => this.#paint();
  }

  record({ at, changes, live }: Transaction): void {
    const bucket = this.#now();
    bucket.changes += changes.length;
    bucket.transactions += 1;
    if (live && document.visibilityState === "visible") this.#unpainted.push(instant(at));
  }

  /** Flushes before the next paint, and takes the time after it. */
  schedule(flush: () => void): void {
    beforePaint(() => {
      flush();
      this.#painted.port2.postMessage(undefined);
    });
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => this.#tick(), TICK);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  };

  getSnapshot = (): Reading => this.#reading;

  #now(): Bucket {
    return this.#buckets.at(-1) ?? fresh();
  }

  #paint(): void {
    const now = performance.timeOrigin + performance.now();
    const { latencies } = this.#now();
    for (const at of this.#unpainted) if (latencies.length < SAMPLES) latencies.push(Math.max(0, now - at));
    this.#unpainted = [];
  }

  #tick(): void {
    const recent = this.#buckets;
    const last = this.#now();
    const seconds = (recent.length * TICK) / 1_000;
    const sum = (of: (bucket: Bucket) => number) => recent.reduce((total, bucket) => total + of(bucket), 0);
    const sorted = recent.flatMap(({ latencies }) => latencies).sort((a, b) => a - b);
    const own = [...last.latencies].sort((a, b) => a - b);
    const point = {
      p50: quantile(own, 0.5),
      p99: quantile(own, 0.99),
      changes: last.changes * (1_000 / TICK),
    };
    this.#trail = [...this.#trail.slice(1), point];
    this.#reading = {
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
      changesPerSecond: sum(({ changes }) => changes) / seconds,
      transactionsPerSecond: sum(({ transactions }) => transactions) / seconds,
      trail: this.#trail,
    };
    this.#buckets.push(fresh());
    if (this.#buckets.length > WINDOW) this.#buckets.shift();
    for (const listener of this.#listeners) listener();
  }
}

function fresh(): Bucket {
  return { latencies: [], changes: 0, transactions: 0 };
}

function quantile(sorted: readonly number[], q: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

/** Milliseconds since the epoch of an RFC 3339 time, with its microseconds, which Date drops. */
export function instant(at: string): number {
  const fraction = /\.(\d+)/.exec(at)?.[1] ?? "";
  const seconds = Date.parse(at.replace(/\.\d+/, ""));
  return seconds + Number(`0.${fraction || 0}`) * 1_000;
}
