import { type Sql, sql } from "../src/index.js";

/** What the page asks of orders; empty is any. */
export interface Wish {
  readonly status: string;
  /** As it was typed: what is no number is for the relay to refuse. */
  readonly over: string;
}

export const STATUSES = ["placed", "paid", "packed", "shipped", "delivered", "cancelled"] as const;

/** The filter of the orders, which the panel sets and others read. */
export class Filter {
  readonly #listeners = new Set<() => void>();
  #wish: Wish = { status: "", over: "" };
  #where: Sql | undefined;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  getSnapshot = (): Wish => this.#wish;

  get where(): Sql | undefined {
    return this.#where;
  }

  set(wish: Partial<Wish>): void {
    this.#wish = { ...this.#wish, ...wish };
    this.#where = where(this.#wish);
    for (const listener of [...this.#listeners]) listener();
  }
}

function where({ status, over }: Wish): Sql | undefined {
  const wanted: Sql[] = [];
  if (status !== "") wanted.push(sql`status = ${status}`);
  if (over.trim() !== "") wanted.push(sql`total > ${over}`);
  const [first, ...others] = wanted;
  return others.reduce((all, one) => all && sql`${all} and ${one}`, first);
}
