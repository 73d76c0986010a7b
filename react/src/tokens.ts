import { type Backoff, delay } from "./backoff.js";
import type { Problem } from "./query.js";
import { person, renewal, type TokenSource } from "./token.js";

export interface TokenOptions {
  readonly backoff: Backoff;
  /** From 0 to 1, for jitter. */
  readonly random: () => number;
  /** Milliseconds after which a function that doesn't answer is a problem. */
  readonly patience: number;
}

export interface TokensHost {
  /** Sends the token on the open connection; `welcomed` or `refused` is the answer. */
  offer(token: string): void;
  /** The source speaks for another person than before. */
  another(): void;
  /** `problem` changed. */
  troubled(): void;
}

/** The longest that a timer takes. https://developer.mozilla.org/docs/Web/API/Window/setTimeout#maximum_delay_value */
const LONGEST = 2 ** 31 - 1;

/**
 * The connection's tokens: where they come from, which one is in use, and the next one in time.
 *
 *     next ─► use ─► hello ─► welcomed ──(before it expires)──► renew ─► offer ─► welcomed
 *                                               ▲                │         │
 *                                               └─── backoff ◄───┴─────────┴─► refused
 *
 * A function is never called while it hasn't answered; whoever needs a token meanwhile waits for the same answer.
 */
export class Tokens {
  readonly #options: TokenOptions;
  readonly #host: TokensHost;
  #source: TokenSource | undefined;
  /** Functions that haven't answered yet. */
  readonly #asked = new Map<TokenSource, Promise<string | undefined>>();
  /** The source that gave `#used`. */
  #from: TokenSource | undefined;
  #used: string | undefined;
  #person: string | undefined;
  /** Sent on the open connection and not yet answered, in order. */
  #offered: string[] = [];
  /** What the server closed a connection for. */
  #denied: string | undefined;
  /** What the server refused on this connection. */
  #unfit: string | undefined;
  #expires: string | undefined;
  #attempt = 0;
  /** Counts the renewals, so that a late answer to an earlier one is known. */
  #turn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #problem: Problem | undefined;

  constructor(source: TokenSource | undefined, options: TokenOptions, host: TokensHost) {
    this.#source = source;
    this.#options = options;
    this.#host = host;
  }

  /** Why there is no newer token: `no_token`, the function failed or doesn't answer; `bad_token`, the server refused it. */
  get problem(): Problem | undefined {
    return this.#problem;
  }

  /** Whether there may be another token than the one that was refused. */
  get renewable(): boolean {
    return typeof this.#source === "function";
  }

  /** Takes another source; whether what it says can be known at once to be another person's. */
  set(source: TokenSource | undefined): boolean {
    this.#source = source;
    return typeof source !== "function" && this.#isAnother(source);
  }

  /** The source's token. */
  next(): string | undefined | Promise<string | undefined> {
    const source = this.#source;
    if (typeof source !== "function") return source;
    const asked = this.#asked.get(source);
    if (asked !== undefined) return asked;
    const answer = this.#ask(source).finally(() => this.#asked.delete(source));
    this.#asked.set(source, answer);
    return answer;
  }

  /** Takes a token for `hello`; false for one for which the server has closed a connection. */
  use(token: string | undefined): boolean {
    if (token !== undefined && token === this.#denied) return false;
    if (this.#isAnother(token)) this.#host.another();
    this.#person = person(token);
    this.#used = token;
    this.#from = this.#source;
    return true;
  }

  /** The server took the token: that of `hello`, or the first of those that were offered. */
  welcomed(expires: string | undefined): void {
    this.#used = this.#offered.shift() ?? this.#used;
    this.#expires = expires;
    this.#denied = undefined;
    this.#unfit = undefined;
    this.#attempt = 0;
    this.trouble(undefined);
    if (this.#offered.length > 0) return;
    // Another source may have come while this one's token was on its way.
    if (this.#from === this.#source) this.#schedule();
    else void this.renew();
  }

  /** The server refused a token, and the one before is good until it expires. False where none was offered. */
  refused({ message, hint }: { readonly message: string; readonly hint?: string }): boolean {
    const token = this.#offered.shift();
    if (token === undefined) return false;
    this.#unfit = token;
    this.trouble({ code: "bad_token", message, ...(hint === undefined ? {} : { hint }) });
    this.#again();
    return true;
  }

  /** The server closed the connection for want of a good token. */
  denied(): void {
    this.#denied = this.#used;
  }

  /**
   * Offers the source's token on the open connection, unless it is the one in use; `due` says that this one is running
   * out, so that the source is asked until it has another.
   */
  async renew(due = false): Promise<void> {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    this.#from = this.#source;
    let token: string | undefined;
    try {
      const given = this.next();
      token = given instanceof Promise ? await given : given;
    } catch {
      if (turn === this.#turn) this.#again();
      return;
    }
    if (turn !== this.#turn) return;
    if (this.#isAnother(token)) return this.#host.another();
    if (token === undefined || token === (this.#offered.at(-1) ?? this.#used)) {
      return due ? this.#again() : this.#schedule();
    }
    if (token === this.#unfit) return this.#again();
    this.#offered.push(token);
    this.#host.offer(token);
  }

  /** The connection is over. */
  rest(): void {
    this.#turn += 1;
    clearTimeout(this.#timer);
    this.#offered = [];
    this.#unfit = undefined;
    this.#attempt = 0;
  }

  trouble(problem: Problem | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#host.troubled();
  }

  async #ask(source: () => string | undefined | Promise<string | undefined>): Promise<string | undefined> {
    const { patience } = this.#options;
    const tell = (message: string) => {
      if (source === this.#source) this.trouble({ code: "no_token", message });
    };
    const slow = setTimeout(
      () => tell(`the token's function has not answered for ${patience / 1_000} s`),
      patience,
    );
    try {
      const token = await source();
      if (this.#problem?.code === "no_token") this.trouble(undefined);
      return token;
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
      throw error;
    } finally {
      clearTimeout(slow);
    }
  }

  #isAnother(token: string | undefined): boolean {
    return this.#person !== undefined && this.#person !== person(token);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (!this.renewable) return;
    const ms = renewal(this.#used, this.#expires, Date.now(), this.#options.random());
    if (ms === undefined) return;
    const due = () => (ms > LONGEST ? this.#schedule() : void this.renew(true));
    this.#timer = setTimeout(due, Math.min(ms, LONGEST));
  }

  /** Asks again later; what is good until it expires is used until then. */
  #again(): void {
    clearTimeout(this.#timer);
    if (!this.renewable) return;
    const { random, backoff } = this.#options;
    const ms = delay(this.#attempt++, 0, random, backoff);
    this.#timer = setTimeout(() => void this.renew(true), ms);
  }
}
