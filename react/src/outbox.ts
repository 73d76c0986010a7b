/** Milliseconds in which the server counts messages. */
const WINDOW = 1_000;

/**
 * Sends messages no faster than the server's `messages_per_second`, which a page with many tables would exceed
 * when it comes back. What waits is bounded by the page's subscriptions, and is gone with the connection.
 */
export class Outbox {
  readonly #write: (text: string) => void;
  readonly #now: () => number;
  readonly #waiting: string[] = [];
  #sent: number[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Messages per second; 0 is no limit. */
  rate = 0;

  constructor(write: (text: string) => void, now: () => number) {
    this.#write = write;
    this.#now = now;
  }

  push(text: string): void {
    this.#waiting.push(text);
    if (this.#timer === undefined) this.#drain();
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting.length = 0;
    this.#sent = [];
  }

  #drain(): void {
    this.#timer = undefined;
    const now = this.#now();
    this.#sent = this.#sent.filter((at) => at > now - WINDOW);
    while (this.#waiting.length > 0 && (this.rate === 0 || this.#sent.length < this.rate)) {
      const text = this.#waiting.shift();
      if (text === undefined) break;
      this.#sent.push(now);
      this.#write(text);
    }
    const first = this.#sent[0];
    if (this.#waiting.length === 0 || first === undefined) return;
    this.#timer = setTimeout(() => this.#drain(), Math.max(1, first + WINDOW - now + 1));
  }
}
