import { type Backoff, delay, type Verdict, verdict } from "./backoff.js";
import { Outbox } from "./outbox.js";
import { socketURL } from "./page.js";
import type { Problem } from "./query.js";
import { type ConnectionEvent, type ConnectionStatus, next } from "./states.js";
import type { TokenSource } from "./token.js";
import { Tokens } from "./tokens.js";
import {
  type ClientMessage,
  CloseCode,
  type ErrorMessage,
  type Hello,
  type Limits,
  type ServerMessage,
  SUBPROTOCOL,
  type Welcome,
} from "./wire.js";

/** The part of the browser's WebSocket that is used; the package `ws` has it too. */
export interface SocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
}

export interface ConnectionOptions {
  /** Where the relay's WebSocket is, absolute or relative to the page. */
  readonly url: string;
  /** A JWT, or a function that gives one: asked before each connection, and again before the token expires. */
  readonly token?: TokenSource | undefined;
  /** What the server does when this client is too slow: start its rows over (the default) or close. */
  readonly lagged?: "resync" | "close" | undefined;
  readonly backoff?: Backoff | undefined;
  /** Milliseconds until `welcome` has to be there; a token that takes longer is told as `problem`. Default 10,000. */
  readonly patience?: number | undefined;
  /** Makes the socket. Default: the global WebSocket. */
  readonly socket?: ((url: string, protocol: string) => SocketLike) | undefined;
  /** From 0 to 1, for jitter. Default Math.random. */
  readonly random?: (() => number) | undefined;
}

/** How the connection stands; a new object with each change. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  /** Failed attempts since the last connection that held. */
  readonly attempt: number;
  /** When the next attempt is made, in milliseconds since the epoch; only in `backoff`. */
  readonly retryAt?: number;
  /** How the last connection ended: a WebSocket close code, or 0 where there was none. */
  readonly lost?: { readonly code: number; readonly reason: string };
  /**
   * Why there is no good token, or no newer one: `no_token`, the function failed or doesn't answer; `bad_token`, the
   * server refused what it gave. It is asked again; an open connection goes on until its token expires.
   */
  readonly problem?: Problem;
  /** Of the present or the last connection. */
  readonly session?: string;
  readonly version?: string;
  readonly role?: string;
  readonly sub?: string;
  readonly limits?: Limits;
}

export interface ConnectionHost {
  /** The connection is open for subscriptions. */
  welcomed(welcome: Welcome): void;
  /** A message came; an exception breaks the connection off. */
  received(message: ServerMessage): void;
  /** A connection that was welcomed is gone. */
  lost(): void;
  /** The next token is another person's than the one before. */
  another(): void;
  /** `state` changed. */
  changed(): void;
}

/** Milliseconds for which a connection has to hold before its next loss counts as the first. */
const STEADY = 5_000;
/** Milliseconds in which a probe has to be answered. */
const PROBE = 5_000;
const PATIENCE = 10_000;

/**
 * One socket and its return: token, `hello`, watchdog, backoff. The states are in states.ts.
 * Its own code rather than a reconnecting socket of a library, which would neither wait for a token between
 * attempts nor give each close code the answer that the protocol wants.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #host: ConnectionHost;
  readonly #outbox: Outbox;
  readonly #tokens: Tokens;
  #state: ConnectionState = { status: "idle", attempt: 0 };
  #socket: SocketLike | undefined;
  /** Counts the turns, so that a late answer of an earlier one is known. */
  #turn = 0;
  #token: string | undefined;
  #heard = 0;
  #since = 0;
  #heartbeat = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionOptions, host: ConnectionHost) {
    this.#options = options;
    this.#host = host;
    const { random = Math.random, backoff = {}, patience = PATIENCE } = options;
    this.#tokens = new Tokens(
      options.token,
      { random, backoff, patience },
      {
        offer: (token) => this.send({ type: "token", token }),
        another: () => this.#another(),
        troubled: () => this.#troubled(),
      },
    );
    this.#outbox = new Outbox((text) => this.#socket?.send(text), Date.now);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects, unless it does already. */
  start(): void {
    if (this.#move("want")) this.#authorize();
  }

  /** Closes and rests until `start`. */
  stop(): void {
    this.#leave("release", CloseCode.normal, "");
  }

  /** Closes and rests until `resume`. */
  pause(): void {
    this.#leave("pause", CloseCode.normal, "paused");
  }

  /** Tries at once: after `pause`, in a backoff, or where it had given up. */
  resume(): void {
    clearTimeout(this.#retry);
    if (this.#move("retry")) this.#authorize();
  }

  /** Breaks off and comes back as after a lost network. */
  drop(code: number, reason: string): void {
    if (this.#socket === undefined) return;
    this.#abandon(code, reason);
    this.#lost(code, reason, "again");
  }

  /**
   * A new source of tokens. An open connection renews its own with it; one that isn't there for want of a token, or was
   * to come back later as another person's, is tried again.
   */
  setToken(source: TokenSource | undefined): void {
    const another = this.#tokens.set(source);
    const { status } = this.#state;
    if (another) this.#host.another();
    if (status === "open") void this.#tokens.renew();
    else if (status === "authorizing") void this.#authorize();
    else if (status === "denied" || (another && (status === "backoff" || status === "failed"))) this.resume();
  }

  send(message: ClientMessage): void {
    this.#outbox.push(JSON.stringify(message));
  }

  /** The page woke up: whoever waits tries now, whoever is connected makes sure of it. */
  wake(): void {
    if (this.#state.status === "backoff") this.resume();
    else this.probe();
  }

  /** Asks the server for a sign of life. */
  probe(): void {
    if (this.#state.status !== "open") return;
    if (Date.now() - this.#heard > 2 * this.#heartbeat) return this.#silent();
    const asked = Date.now();
    this.send({ type: "ping", n: asked });
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => (this.#heard >= asked ? this.#watchdog() : this.#silent()), PROBE);
  }

  #move(event: ConnectionEvent, more: Partial<ConnectionState> = {}): boolean {
    const status = next(this.#state.status, event);
    if (status === undefined) return false;
    const { retryAt: _, ...rest } = this.#state;
    this.#state = { ...rest, ...more, status };
    this.#host.changed();
    return true;
  }

  async #authorize(): Promise<void> {
    const turn = ++this.#turn;
    let token: string | undefined;
    try {
      const given = this.#tokens.next();
      token = given instanceof Promise ? await given : given;
    } catch (error) {
      if (turn === this.#turn)
        this.#lost(0, `no token: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    if (turn !== this.#turn || this.#state.status !== "authorizing") return;
    if (!this.#tokens.use(token)) return this.#lost(CloseCode.unauthorized, "no other token");
    this.#token = token;
    if (this.#move("authorized")) this.#connect();
  }

  /** What was shown isn't the next person's, nor is an open connection. */
  #another(): void {
    this.#host.another();
    if (this.#state.status !== "open") return;
    this.pause();
    this.resume();
  }

  #troubled(): void {
    const { problem: _, ...rest } = this.#state;
    const { problem } = this.#tokens;
    this.#state = problem === undefined ? rest : { ...rest, problem };
    this.#host.changed();
  }

  #connect(): void {
    let socket: SocketLike;
    try {
      const { socket: make = (url: string, protocol: string) => new WebSocket(url, protocol) } =
        this.#options;
      socket = make(socketURL(this.#options.url), SUBPROTOCOL);
    } catch (error) {
      this.#move("fail", {
        lost: { code: 0, reason: error instanceof Error ? error.message : String(error) },
      });
      return;
    }
    this.#socket = socket;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }: { data: unknown }) => this.#message(data);
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      this.#detach();
      this.#lost(code, reason);
    };
    // An error is always followed by a close.
    socket.onerror = () => {};
    const { patience = PATIENCE } = this.#options;
    this.#watch = setTimeout(() => this.drop(CloseCode.noSign, "no welcome in time"), patience);
  }

  #opened(): void {
    if (!this.#move("opened")) return;
    const hello: Hello = { type: "hello" };
    if (this.#token !== undefined) hello.token = this.#token;
    if (this.#options.lagged !== undefined) hello.lagged = this.#options.lagged;
    this.send(hello);
  }

  #message(data: unknown): void {
    if (typeof data !== "string") return;
    this.#heard = Date.now();
    try {
      const message = JSON.parse(data) as ServerMessage;
      if (message.type === "welcome") this.#welcome(message);
      else if (isBadToken(message) && this.#tokens.refused(message)) return;
      else if (this.#state.status === "open") this.#host.received(message);
    } catch (error) {
      this.drop(CloseCode.badMessage, error instanceof Error ? error.message : String(error));
    }
  }

  #welcome(welcome: Welcome): void {
    const { session, version, role, limits, sub } = welcome;
    this.#heartbeat = welcome.heartbeat_ms;
    this.#outbox.rate = limits.messages_per_second;
    const { sub: _, ...state } = this.#state;
    this.#state = { ...state, session, version, role, limits, ...(sub === undefined ? {} : { sub }) };
    // A second welcome answers `token`: the connection goes on.
    if (this.#move("welcomed")) {
      this.#since = Date.now();
      this.#watchdog();
      this.#host.welcomed(welcome);
    } else {
      this.#host.changed();
    }
    this.#tokens.welcomed(welcome.expires);
  }

  /** A text frame comes at least every heartbeat; after two without one the connection is dead. */
  #watchdog(): void {
    clearTimeout(this.#watch);
    const left = this.#heard + 2 * this.#heartbeat - Date.now();
    if (left < 0) return this.#silent();
    this.#watch = setTimeout(() => this.#watchdog(), left + 1);
  }

  #silent(): void {
    this.drop(CloseCode.noSign, "nothing was heard for too long");
  }

  #lost(code: number, reason: string, what: Verdict = verdict(code)): void {
    this.#still();
    const open = this.#state.status === "open";
    const steady = open && Date.now() - this.#since >= STEADY;
    const attempt = steady ? 0 : this.#state.attempt;
    if (what === "token") this.#tokens.denied();
    const lost = { code, reason };
    if (what === "stop") this.#move("fail", { lost });
    else if (what === "token" && !this.#tokens.renewable) this.#move("deny", { lost });
    else this.#later(attempt, lost);
    if (open) this.#host.lost();
  }

  #later(attempt: number, lost: { code: number; reason: string }): void {
    const { random = Math.random, backoff = {} } = this.#options;
    const ms = delay(attempt, lost.code, random, backoff);
    if (!this.#move("lost", { lost, attempt: attempt + 1, retryAt: Date.now() + ms })) return;
    this.#retry = setTimeout(() => this.resume(), ms);
  }

  #leave(event: "release" | "pause", code: number, reason: string): void {
    const open = this.#state.status === "open";
    if (!this.#move(event, { attempt: 0 })) return;
    this.#abandon(code, reason);
    this.#still();
    this.#tokens.trouble(undefined);
    if (open) this.#host.lost();
  }

  /** Closes the socket and hears no more of it. */
  #abandon(code: number, reason: string): void {
    const socket = this.#socket;
    this.#detach();
    // A reason has at most 123 bytes. https://www.rfc-editor.org/rfc/rfc6455#section-5.5
    socket?.close(code, reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 123));
  }

  #detach(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    // What is closed while it connects still reports an error, which nobody else would take.
    socket.onerror = () => {};
  }

  #still(): void {
    this.#turn += 1;
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    this.#tokens.rest();
    this.#outbox.clear();
  }
}

function isBadToken(message: ServerMessage): message is ErrorMessage {
  return message.type === "error" && message.code === "bad_token" && message.id === undefined;
}
