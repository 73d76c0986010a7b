import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RelayClient, type RelayOptions } from "../src/client.js";
import type { Observable } from "../src/observable.js";
import type { ConnectionStatus } from "../src/states.js";
import type { Welcome } from "../src/wire.js";
import { changes, insert, live, remove, subscribed } from "./harness.js";
import { type Peer, Server, socket, welcome } from "./server.js";

let server: Server;
let ends: (() => void)[];

beforeEach(async () => {
  server = await Server.start();
  ends = [];
});
afterEach(async () => {
  for (const end of ends) end();
  await server.stop();
});

function client(options: RelayOptions = {}): RelayClient {
  const made = new RelayClient({
    url: server.url,
    socket,
    linger: 5,
    backoff: { base: 2, cap: 10 },
    schedule: queueMicrotask,
    ...options,
  });
  ends.push(() => made.pause());
  return made;
}

/** Resolves when what is observed fulfils the condition. */
function until<T>(observable: Observable<T>, condition: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    const check = () => {
      const value = observable.getSnapshot();
      if (!condition(value)) return;
      end();
      resolve(value);
    };
    const end = observable.subscribe(check);
    queueMicrotask(check);
  });
}

const status = (made: RelayClient, want: ConnectionStatus) =>
  until(made.connection, (state) => state.status === want);

async function held(
  options: RelayOptions = {},
  more: Partial<Welcome> = {},
): Promise<{ made: RelayClient; peer: Peer; release: () => void }> {
  const made = client(options);
  const release = made.retain();
  ends.push(release);
  const peer = await server.accept();
  await peer.greet(more);
  await status(made, "open");
  return { made, peer, release };
}

describe("the connection", () => {
  test("says hello with its token and its wish, and tells what welcome said", async () => {
    const made = client({ token: async () => "jwt", lagged: "close" });
    ends.push(made.retain());
    const peer = await server.accept();
    expect(peer.socket.protocol).toBe("pgrelay.v1");
    expect(await peer.greet({ role: "editor", sub: "42" })).toEqual({
      type: "hello",
      token: "jwt",
      lagged: "close",
    });
    expect(await status(made, "open")).toMatchObject({
      session: "s",
      version: "0",
      role: "editor",
      sub: "42",
    });
  });

  test("is one for the page, and goes when nobody holds it", async () => {
    const { made, peer, release } = await held();
    const second = made.retain();
    release();
    second();
    second();
    const third = made.retain();
    const rows = made.liveRows({ table: "public.t" });
    const end = rows.subscribe(() => {});
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 1 });
    end();
    third();
    expect(await peer.ended()).toMatchObject({ code: 1000 });
    expect(server.accepted).toBe(1);
    await status(made, "idle");
  });

  test.each([1000, 1001, 4408, 4409])("comes back after close code %i", async (code) => {
    const { made, peer } = await held({ random: () => 0.01 });
    peer.socket.close(code, "why");
    const state = await status(made, "backoff");
    expect(state.lost).toEqual({ code, reason: "why" });
    expect(state.retryAt).toBeGreaterThan(0);
    await (await server.accept()).greet();
    await status(made, "open");
  });

  test("comes back after the network broke, and after 4429 no sooner than it should", async () => {
    const { made, peer } = await held({ backoff: { base: 2, cap: 30_000 } });
    peer.socket.terminate();
    const next = await server.accept();
    await next.greet();
    await status(made, "open");
    next.socket.close(4429, "connections");
    const { retryAt = 0 } = await status(made, "backoff");
    expect(retryAt - Date.now()).toBeGreaterThan(4_000);
    made.resume();
    await (await server.accept()).greet();
  });

  test.each([4400, 1003, 1007, 1009])(
    "gives up after %i until the application says otherwise",
    async (code) => {
      const { made, peer } = await held();
      peer.socket.close(code, "no");
      expect((await status(made, "failed")).lost).toEqual({ code, reason: "no" });
      made.resume();
      await (await server.accept()).greet();
      await status(made, "open");
      expect(server.accepted).toBe(2);
    },
  );

  test("4401 with a fixed token: denied, until there is another", async () => {
    const made = client({ token: "old" });
    ends.push(made.retain());
    const peer = await server.accept();
    await peer.next();
    peer.socket.close(4401, "expired");
    expect((await status(made, "denied")).lost).toEqual({ code: 4401, reason: "expired" });
    made.setToken("new");
    expect(await (await server.accept()).greet()).toMatchObject({ token: "new" });
    await status(made, "open");
  });

  test("4401 with a function: it is asked for another, and the refused one isn't sent again", async () => {
    const tokens = ["old", "old", "old", "new"];
    const made = client({ token: () => tokens.shift() });
    ends.push(made.retain());
    const peer = await server.accept();
    expect(await peer.next()).toMatchObject({ token: "old" });
    peer.socket.close(4401, "expired");
    expect(await (await server.accept()).greet()).toMatchObject({ token: "new" });
    await status(made, "open");
    expect(server.accepted).toBe(2);
  });

  test("a function that fails is asked again", async () => {
    let calls = 0;
    const made = client({
      token: async () => {
        calls += 1;
        if (calls < 3) throw new Error("offline");
        return "jwt";
      },
    });
    ends.push(made.retain());
    expect(await (await server.accept()).greet()).toMatchObject({ token: "jwt" });
    expect(calls).toBe(3);
  });

  const soon = () => new Date(Date.now() + 50).toISOString();

  test("renews its token before it expires; a second welcome leaves the subscriptions alone", async () => {
    const tokens = ["first", "second"];
    const made = client({ token: () => tokens.shift() });
    ends.push(
      made.retain(),
      made.liveRows({ table: "public.t" }).subscribe(() => {}),
    );
    const peer = await server.accept();
    await peer.greet({ expires: soon() });
    expect(await peer.next()).toMatchObject({ type: "subscribe" });
    expect(await peer.next()).toEqual({ type: "token", token: "second" });
    peer.again({ role: "editor" });
    await until(made.connection, ({ role }) => role === "editor");
    expect(made.counters).toMatchObject({ connections: 1, subscribes: 1 });
  });

  test("bad_token: the connection goes on, the problem is told, and another token is offered when there is one", async () => {
    const tokens = ["first", "bad", "bad", "third"];
    const { made, peer } = await held({ token: () => tokens.shift() }, { expires: soon() });
    expect(await peer.next()).toEqual({ type: "token", token: "bad" });
    peer.send({ type: "error", code: "bad_token", message: "not valid", hint: "sign it" });
    const { status: now, problem } = await until(made.connection, (state) => state.problem !== undefined);
    expect({ now, problem }).toEqual({
      now: "open",
      problem: { code: "bad_token", message: "not valid", hint: "sign it" },
    });
    expect(await peer.next()).toEqual({ type: "token", token: "third" });
    peer.again();
    await until(made.connection, (state) => state.problem === undefined);
    expect(server.accepted).toBe(1);
  });

  test("bad_token until the expiry: 4401, and a new connection with a token that is none of those", async () => {
    const tokens = ["first", "bad", "first", "bad"];
    const { peer } = await held({ token: () => tokens.shift() ?? "fresh" }, { expires: soon() });
    expect(await peer.next()).toEqual({ type: "token", token: "bad" });
    peer.send({ type: "error", code: "bad_token", message: "not valid" });
    expect(await peer.next()).toEqual({ type: "token", token: "fresh" });
    peer.send({ type: "error", code: "bad_token", message: "not valid" });
    peer.socket.close(4401, "expired");
    expect(await (await server.accept()).greet()).toEqual({ type: "hello", token: "fresh" });
  });

  test("a fixed token that is refused is not sent again; the one before is used until it expires", async () => {
    const { made, peer } = await held({ token: "first" });
    made.setToken("second");
    expect(await peer.next()).toEqual({ type: "token", token: "second" });
    peer.send({ type: "error", code: "bad_token", message: "not valid" });
    await until(made.connection, ({ problem }) => problem?.code === "bad_token");
    made.setToken("third");
    expect(await peer.next()).toEqual({ type: "token", token: "third" });
    peer.again();
    await until(made.connection, ({ problem }) => problem === undefined);
  });

  test("a function that fails while the connection is open is asked again; meanwhile its error is the problem", async () => {
    let calls = 0;
    const token = async () => {
      calls += 1;
      if (calls === 2) throw new Error("offline");
      return `token ${calls}`;
    };
    const { made, peer } = await held({ token }, { expires: soon() });
    const { status: now, problem } = await until(made.connection, (state) => state.problem !== undefined);
    expect({ now, problem }).toEqual({ now: "open", problem: { code: "no_token", message: "offline" } });
    expect(await peer.next()).toEqual({ type: "token", token: "token 3" });
    peer.again();
    await until(made.connection, (state) => state.problem === undefined);
  });

  test("a function that fails before the connection: the problem beside the backoff", async () => {
    let calls = 0;
    const made = client({
      token: () => {
        calls += 1;
        if (calls === 1) throw new Error("offline");
        return "jwt";
      },
    });
    ends.push(made.retain());
    expect(await status(made, "backoff")).toMatchObject({
      lost: { code: 0, reason: "no token: offline" },
      problem: { code: "no_token", message: "offline" },
    });
    await (await server.accept()).greet();
    expect(await status(made, "open")).not.toHaveProperty("problem");
  });

  test("a function that hangs holds no frame up, and isn't called again by a new connection", async () => {
    let calls = 0;
    let answer = (_: string) => {};
    const token = () => {
      calls += 1;
      return calls === 1 ? "first" : new Promise<string>((resolve) => (answer = resolve));
    };
    const { made, peer } = await held({ token, patience: 1_000 }, { expires: soon() });
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    await expect.poll(() => calls, { timeout: 5_000 }).toBe(2);
    peer.send(subscribed(1, "s"), live("s", "c"), changes("s", 1, [insert(1, "a")]));
    await until(rows, (value) => value.rows.length === 1);
    await until(made.connection, ({ problem }) => problem?.code === "no_token");
    peer.socket.close(4401, "expired");
    await status(made, "authorizing");
    answer("second");
    const again = await server.accept();
    expect(await again.greet()).toEqual({ type: "hello", token: "second" });
    expect(await status(made, "open")).not.toHaveProperty("problem");
    expect(calls).toBe(2);
  });

  test("another function while the first hangs: its token is the one", async () => {
    const made = client({ token: () => new Promise<string>(() => {}) });
    ends.push(made.retain());
    await status(made, "authorizing");
    made.setToken(() => "jwt");
    expect(await (await server.accept()).greet()).toEqual({ type: "hello", token: "jwt" });
  });

  test("another person's token drops the rows and begins a new connection", async () => {
    const jwt = (sub: string) => `x.${btoa(JSON.stringify({ sub }))}.x`;
    const { made, peer } = await held({ token: jwt("ada") });
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    peer.send(
      subscribed(1, "s"),
      { type: "snapshot", shape: "s", rows: [{ id: 1, v: "a" }] },
      live("s", "c"),
    );
    await until(rows, (value) => value.status === "live");
    made.setToken(jwt("ada").replace(/x$/, "y"));
    expect(await peer.next()).toMatchObject({ type: "token" });
    made.setToken(jwt("bob"));
    await peer.ended();
    expect(await (await server.accept()).greet()).toMatchObject({ token: jwt("bob") });
    expect((await until(rows, (value) => value.status === "loading")).rows).toEqual([]);
  });

  test.each([
    ["for the open connection", false],
    ["for the next one", true],
  ])("a function that gives another person's %s: the rows are dropped", async (_, cut) => {
    const jwt = (sub: string) => `x.${btoa(JSON.stringify({ sub }))}.x`;
    let who = "ada";
    const token = () => jwt(who);
    const { made, peer } = await held({ token }, cut ? {} : { expires: soon() });
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    peer.send(
      subscribed(1, "s"),
      { type: "snapshot", shape: "s", rows: [{ id: 1, v: "a" }] },
      live("s", "c"),
    );
    await until(rows, (value) => value.status === "live");
    who = "bob";
    if (cut) peer.socket.terminate();
    else await peer.ended();
    const again = await server.accept();
    expect((await until(rows, (value) => value.status === "loading")).rows).toEqual([]);
    expect(await again.greet()).toEqual({ type: "hello", token: jwt("bob") });
    expect(await again.next()).not.toHaveProperty("since");
    expect(peer.messages.filter(({ type }) => type === "token")).toEqual([]);
  });

  test("nothing heard for two heartbeats: it breaks off and comes back; any text frame is a sign of life", async () => {
    const made = client();
    ends.push(made.retain());
    const peer = await server.accept();
    await peer.greet({ heartbeat_ms: 300 });
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      peer.send({ type: "pong" });
    }
    expect(peer.closed).toBeUndefined();
    expect(await peer.ended()).toMatchObject({ code: 4408 });
    await (await server.accept()).greet();
  });

  test("no welcome in time: it breaks off and comes back", async () => {
    const made = client({ patience: 30 });
    ends.push(made.retain());
    expect(await (await server.accept()).ended()).toMatchObject({ code: 4408 });
    await (await server.accept()).greet();
    await status(made, "open");
  });

  test("binary frames are ignored; what is no JSON breaks the connection off", async () => {
    const { made, peer } = await held();
    peer.socket.send(Buffer.from("{}"));
    peer.socket.send("{");
    expect(await peer.ended()).toMatchObject({ code: 4400 });
    await (await server.accept()).greet();
    await status(made, "open");
  });

  test("an address that is none: failed", async () => {
    const made = client({ url: "nonsense" });
    ends.push(made.retain());
    await status(made, "failed");
  });

  test("sends no faster than the server takes", async () => {
    const made = client();
    for (let i = 0; i < 5; i++) ends.push(made.liveRows({ table: `public.t${i}` }).subscribe(() => {}));
    const peer = await server.accept();
    await peer.greet({ limits: { ...welcome.limits, messages_per_second: 3 } });
    const began = Date.now();
    for (let i = 0; i < 5; i++) await peer.next();
    expect(Date.now() - began).toBeGreaterThan(900);
  });
});

describe("live rows over a connection", () => {
  const first = [
    subscribed(1, "s"),
    { type: "snapshot", shape: "s", rows: [{ id: 1, v: "a" }] },
    live("s", "c0"),
  ];

  test("resume after a cut, with what happened meanwhile", async () => {
    const { made, peer } = await held();
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    peer.send(...first);
    await until(rows, ({ status: now }) => now === "live");
    peer.socket.terminate();
    expect((await until(rows, ({ status: now }) => now === "stale")).rows).toEqual([{ id: 1, v: "a" }]);
    const again = await server.accept();
    await again.greet();
    expect(await again.next()).toMatchObject({ type: "subscribe", id: 2, since: "c0" });
    again.send(
      subscribed(2, "s", { resumed: true }),
      changes("s", 7, [insert(2, "b"), remove(1)]),
      live("s", "c1"),
    );
    expect((await until(rows, ({ status: now }) => now === "live")).rows).toEqual([{ id: 2, v: "b" }]);
    expect(made.counters).toMatchObject({ connections: 2, resumes: 1, caughtUp: 2 });
  });

  test("pause holds the rows, resume continues", async () => {
    const { made, peer } = await held();
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    peer.send(...first);
    await until(rows, ({ status: now }) => now === "live");
    made.pause();
    await peer.ended();
    expect(made.connection.getSnapshot().status).toBe("paused");
    made.resume();
    const again = await server.accept();
    await again.greet();
    expect(await again.next()).toMatchObject({ since: "c0" });
  });

  test("what does not fit breaks the connection off, and the rows come anew", async () => {
    const { made, peer } = await held();
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    peer.send(...first, changes("s", 1, [remove(9)]));
    expect(await peer.ended()).toMatchObject({ code: 4400 });
    const again = await server.accept();
    await again.greet();
    expect(await again.next()).not.toHaveProperty("since");
    expect(made.counters.anomalies).toBe(1);
  });

  test("leaving and returning before the answer costs no second set of rows", async () => {
    const { made, peer } = await held();
    const rows = made.liveRows({ table: "public.t" });
    const leave = rows.subscribe(() => {});
    await peer.next();
    peer.send(...first);
    await until(rows, ({ status: now }) => now === "live");
    leave();
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
    ends.push(rows.subscribe(() => {}));
    peer.send(changes("s", 5, [insert(2, "b")]), {
      type: "closed",
      id: 1,
      code: "unsubscribed",
      message: "",
    });
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2, since: "s5" });
    expect(rows.getSnapshot().rows).toHaveLength(2);
  });

  test("what has shown nothing ends at once when nobody looks; what has shown rows lingers", async () => {
    const { made, peer } = await held({ linger: 60_000 });
    const rows = made.liveRows({ table: "public.t" });
    const leave = rows.subscribe(() => {});
    await peer.next();
    peer.send(...first);
    await until(rows, ({ status: now }) => now === "live");
    leave();
    made.liveRows({ table: "public.u" }).subscribe(() => {})();
    made.liveRows({ table: "public.v" }).subscribe(() => {})();
    ends.push(made.liveRows({ table: "public.v" }).subscribe(() => {}));
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 2, table: "public.u" });
    expect(await peer.next()).toMatchObject({ type: "subscribe", id: 3, table: "public.v" });
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 2 });
    peer.send(
      { type: "closed", id: 2, code: "unsubscribed", message: "" },
      changes("s", 1, [insert(2, "b")]),
    );
    await until(rows, (value) => value.rows.length === 2);
    expect(peer.messages).toHaveLength(5);
  });

  test("rows of a query that nobody looks at are kept for a while, then gone", async () => {
    const { made, peer } = await held({ keep: 300 });
    const rows = made.liveRows({ table: "public.t" });
    const leave = rows.subscribe(() => {});
    await peer.next();
    peer.send(...first);
    await until(rows, ({ status: now }) => now === "live");
    leave();
    await peer.next();
    peer.send({ type: "closed", id: 1, code: "unsubscribed", message: "" });
    await expect.poll(() => rows.getSnapshot().status).toBe("stale");
    await expect.poll(() => rows.getSnapshot().status).toBe("loading");
  });

  test("what was refused is asked for again with the next connection", async () => {
    const { made, peer } = await held();
    const rows = made.liveRows({ table: "public.t" });
    ends.push(rows.subscribe(() => {}));
    await peer.next();
    peer.send({ type: "error", id: 1, code: "internal", message: "see the log" });
    await until(rows, ({ status: now }) => now === "error");
    peer.socket.terminate();
    const again = await server.accept();
    await again.greet();
    expect(await again.next()).toMatchObject({ type: "subscribe", id: 2 });
  });

  test("a row is told of its own changes alone", async () => {
    const { made, peer } = await held();
    const row = made.liveRow({ table: "public.t" }, 1);
    let told = 0;
    ends.push(
      row.subscribe(() => {
        told += 1;
      }),
    );
    await peer.next();
    peer.send(...first);
    await expect.poll(() => row.getSnapshot()).toEqual({ row: { id: 1, v: "a" }, status: "live" });
    const before = told;
    peer.send(changes("s", 1, [insert(2, "b")]));
    await expect.poll(() => made.counters.changes).toBe(1);
    expect(told).toBe(before);
    peer.send(changes("s", 2, [remove(1)]));
    await expect.poll(() => row.getSnapshot().row).toBeUndefined();
    expect(told).toBe(before + 1);
  });

  test("listeners get transactions and no rows", async () => {
    const { made, peer } = await held();
    const heard: string[] = [];
    const end = made.listen({ table: "public.t" }, { transaction: ({ tx }) => heard.push(tx) });
    expect(await peer.next()).toMatchObject({ snapshot: false });
    peer.send(subscribed(1, "s"), live("s", "c"), changes("s", 5, [insert(1, "a")]));
    await expect.poll(() => heard).toEqual(["5"]);
    end();
    expect(await peer.next()).toMatchObject({ type: "unsubscribe" });
  });
});
