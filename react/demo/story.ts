import type { Counters, QuerySpec, RelayClient } from "../src/index.js";

/** One thing that happened to the connection. */
export interface Chapter {
  readonly at: number;
  readonly what: string;
  readonly detail: string;
  readonly tone: "calm" | "lost" | "back";
}

const CHAPTERS = 6;
const LOOK = 100;

/** Tells how the connection was lost and what came after it returned. */
export class Story {
  readonly #client: RelayClient;
  readonly #queries: () => readonly QuerySpec[];
  readonly #listeners = new Set<() => void>();
  #chapters: readonly Chapter[] = [];
  #before: Counters;
  #lostAt: number | undefined;
  #stop: (() => void) | undefined;
  #look: ReturnType<typeof setInterval> | undefined;

  constructor(client: RelayClient, queries: () => readonly QuerySpec[]) {
    this.#client = client;
    this.#queries = queries;
    this.#before = { ...client.counters };
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#stop ??= this.#client.connection.subscribe(() => this.#changed());
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#look);
      this.#look = undefined;
      this.#stop?.();
      this.#stop = undefined;
    };
  };

  getSnapshot = (): readonly Chapter[] => this.#chapters;

  /** Adds what the page itself did. */
  tell(what: string, detail: string, tone: Chapter["tone"] = "calm"): void {
    this.#chapters = [{ at: Date.now(), what, detail, tone }, ...this.#chapters].slice(0, CHAPTERS);
    for (const listener of this.#listeners) listener();
  }

  #changed(): void {
    const { status, lost } = this.#client.connection.getSnapshot();
    if (status === "open") {
      this.#look ??= setInterval(() => this.#settled(), LOOK);
    } else if ((status === "backoff" || status === "paused") && this.#lostAt === undefined) {
      this.#lostAt = Date.now();
      this.#before = { ...this.#client.counters };
      if (status === "paused") this.tell("Connection cut", "The databases go on without us.", "lost");
      else this.tell("Connection lost", reason(lost), "lost");
    }
  }

  /** Once every table is live again, says what that took. */
  #settled(): void {
    const client = this.#client;
    if (client.connection.getSnapshot().status !== "open") return this.#rest();
    const states = this.#queries().map((query) => client.liveRows(query).getSnapshot().status);
    if (!states.every((status) => status === "live" || status === "missing" || status === "error")) return;
    this.#rest();
    const { resumes, caughtUp, snapshots } = client.counters;
    const [resumed, changes, anew] = [
      resumes - this.#before.resumes,
      caughtUp - this.#before.caughtUp,
      snapshots - this.#before.snapshots,
    ];
    const away = this.#lostAt === undefined ? undefined : Date.now() - this.#lostAt;
    this.#lostAt = undefined;
    if (away === undefined) return this.tell("Live", `${anew} tables loaded.`, "back");
    const parts = [`${number(changes)} changes caught up`];
    if (resumed > 0) parts.push(`${resumed} tables resumed`);
    if (anew > 0) parts.push(`${anew} loaded anew`);
    this.tell(`Back after ${(away / 1_000).toFixed(1)} s`, `${parts.join(", ")}.`, "back");
  }

  #rest(): void {
    clearInterval(this.#look);
    this.#look = undefined;
  }
}

export function number(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function reason(lost: { code: number; reason: string } | undefined): string {
  if (lost === undefined) return "";
  if (lost.code === 1001) return "The relay is going away.";
  if (lost.code === 1006) return "The relay can't be reached.";
  return `Closed with ${lost.code}${lost.reason === "" ? "" : `: ${lost.reason}`}.`;
}
