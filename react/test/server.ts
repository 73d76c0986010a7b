import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import type { ClientMessage, ServerMessage, Welcome } from "../src/wire.js";

export const welcome: Welcome = {
  type: "welcome",
  session: "s",
  version: "0",
  role: "anon",
  limits: {
    message_bytes: 65_536,
    messages_per_second: 0,
    subscriptions: 100,
    predicate_bytes: 8_192,
    predicate_depth: 32,
    params: 64,
    snapshots: 4,
  },
  heartbeat_ms: 60_000,
};

/** One accepted connection, whose other side the test is. */
export class Peer {
  readonly messages: ClientMessage[] = [];
  closed: { code: number; reason: string } | undefined;
  #read = 0;
  #wake: (() => void)[] = [];

  constructor(readonly socket: WebSocket) {
    socket.on("message", (data) => {
      this.messages.push(JSON.parse(String(data)) as ClientMessage);
      this.#ring();
    });
    socket.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
      this.#ring();
    });
  }

  /** The next message that the client sends. */
  async next(): Promise<ClientMessage> {
    while (this.#read >= this.messages.length) await this.#change();
    const message = this.messages[this.#read++];
    if (message === undefined) throw new Error("no message");
    return message;
  }

  async ended(): Promise<{ code: number; reason: string }> {
    while (this.closed === undefined) await this.#change();
    return this.closed;
  }

  send(...messages: (ServerMessage | object)[]): void {
    for (const message of messages) this.socket.send(JSON.stringify(message));
  }

  /** Takes `hello` and answers it. */
  async greet(more: Partial<Welcome> = {}): Promise<ClientMessage> {
    const hello = await this.next();
    this.send({ ...welcome, ...more });
    return hello;
  }

  /** Answers a `token` that was read. */
  again(more: Partial<Welcome> = {}): void {
    this.send({ ...welcome, ...more });
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #ring(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** A WebSocket server on a port of its own. */
export class Server {
  readonly #server: WebSocketServer;
  readonly #peers: Peer[] = [];
  #wake: (() => void)[] = [];
  accepted = 0;

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.accepted += 1;
      this.#peers.push(new Peer(socket));
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  static async start(): Promise<Server> {
    const server = new WebSocketServer({
      host: "127.0.0.1",
      port: 0,
      handleProtocols: (offered) => offered.has("pgrelay.v1") && "pgrelay.v1",
    });
    await new Promise((resolve) => server.once("listening", resolve));
    return new Server(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/ws`;
  }

  /** The next connection that comes. */
  async accept(): Promise<Peer> {
    for (;;) {
      const peer = this.#peers.shift();
      if (peer !== undefined) return peer;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async stop(): Promise<void> {
    for (const client of this.#server.clients) client.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The socket of the package ws, as a client's option. */
export function socket(url: string, protocol: string): WebSocket {
  return new WebSocket(url, protocol);
}
