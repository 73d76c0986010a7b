import { act, type ReactNode, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { expect } from "vitest";
import { RelayClient, type RelayOptions } from "../src/index.js";
import { RelayProvider } from "../src/react/index.js";
import { type Peer, Server, socket } from "./server.js";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

/** A page under StrictMode and the server that it is connected to. What is to be published waits for `paint`. */
export class Mount {
  readonly client: RelayClient;
  readonly page: HTMLElement;
  readonly #root: Root;
  readonly #flushes: (() => void)[] = [];

  private constructor(
    readonly server: Server,
    options: RelayOptions,
  ) {
    this.client = new RelayClient({
      url: server.url,
      socket,
      linger: 5,
      backoff: { base: 2, cap: 5 },
      schedule: (flush) => this.#flushes.push(flush),
      ...options,
    });
    this.page = document.body.appendChild(document.createElement("div"));
    this.#root = createRoot(this.page);
  }

  static async start(options: RelayOptions = {}): Promise<Mount> {
    return new Mount(await Server.start(), options);
  }

  async stop(): Promise<void> {
    await act(() => this.#root.unmount());
    this.client.pause();
    this.page.remove();
    await this.server.stop();
  }

  get text(): string {
    return this.page.textContent;
  }

  render(node: ReactNode): Promise<void> {
    return act(async () =>
      this.#root.render(
        <StrictMode>
          <RelayProvider client={this.client}>{node}</RelayProvider>
        </StrictMode>,
      ),
    );
  }

  /** The next connection, greeted. */
  async greeted(): Promise<Peer> {
    const peer = await this.server.accept();
    await act(() => peer.greet());
    return peer;
  }

  /** Publishes what is due, once. */
  paint(): Promise<void> {
    return act(async () => {
      for (const flush of this.#flushes.splice(0)) flush();
    });
  }

  /** Paints until this is on the page. */
  async shows(want: string): Promise<void> {
    await expect
      .poll(async () => {
        await this.paint();
        return this.text;
      })
      .toBe(want);
  }

  /** Paints until the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    await expect
      .poll(async () => {
        await this.paint();
        return condition();
      })
      .toBe(true);
  }

  /** Every text that the page has from now on, until `end`. */
  watch(): { texts: Set<string>; end: () => void } {
    const texts = new Set<string>([this.text]);
    const observer = new MutationObserver(() => texts.add(this.text));
    observer.observe(this.page, { subtree: true, childList: true, characterData: true });
    return { texts, end: () => observer.disconnect() };
  }
}
