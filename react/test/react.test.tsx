// @vitest-environment happy-dom
import { act, type ReactNode, StrictMode, startTransition, useState } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RelayClient } from "../src/index.js";
import { RelayProvider, useChanges, useConnection, useLiveRow, useLiveRows } from "../src/react/index.js";
import { changes, insert, live, remove, subscribed, update } from "./harness.js";
import { type Peer, Server, socket } from "./server.js";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

interface Item {
  id: number;
  v: string;
}

let server: Server;
let client: RelayClient;
let root: Root;
let page: HTMLElement;
let flushes: (() => void)[];

beforeEach(async () => {
  server = await Server.start();
  flushes = [];
  client = new RelayClient({
    url: server.url,
    socket,
    linger: 5,
    backoff: { base: 2, cap: 5 },
    schedule: (flush) => flushes.push(flush),
  });
  page = document.body.appendChild(document.createElement("div"));
  root = createRoot(page);
});
afterEach(async () => {
  await act(() => root.unmount());
  client.pause();
  page.remove();
  await server.stop();
});

const render = (node: ReactNode) =>
  act(() => {
    root.render(
      <StrictMode>
        <RelayProvider client={client}>{node}</RelayProvider>
      </StrictMode>,
    );
  });

/** Lets the client take what the server has sent, then paints. */
async function paint(condition: () => boolean): Promise<void> {
  await act(async () => {
    await expect.poll(condition).toBe(true);
    for (const flush of flushes.splice(0)) flush();
  });
}

const text = () => page.textContent;
const applied = (count: number) => paint(() => client.counters.transactions >= count);

async function greeted(): Promise<Peer> {
  const peer = await server.accept();
  await act(() => peer.greet());
  return peer;
}

let renders: number;
function List(): ReactNode {
  const { rows, status } = useLiveRows<Item>("public.t", { columns: ["id", "v"] });
  renders += 1;
  return `${status} ${rows.map(({ id, v }) => `${id}:${v}`).join(" ")}`;
}

async function listed(): Promise<Peer> {
  renders = 0;
  await render(<List />);
  const peer = await greeted();
  await peer.next();
  peer.send(subscribed(1, "s"), { type: "snapshot", shape: "s", rows: [{ id: 1, v: "a" }] }, live("s", "c"));
  await expect
    .poll(async () => {
      await paint(() => true);
      return text();
    })
    .toBe("live 1:a");
  return peer;
}

describe("useLiveRows", () => {
  test("StrictMode makes one connection and one subscription", async () => {
    const peer = await listed();
    peer.send({ type: "pong" });
    expect(peer.messages).toEqual([
      { type: "hello" },
      { type: "subscribe", id: 1, table: "public.t", columns: ["id", "v"] },
    ]);
    expect(server.accepted).toBe(1);
  });

  test("two components with the same query are one subscription, whatever object says it", async () => {
    await render(
      <>
        <List />
        <List />
      </>,
    );
    const peer = await greeted();
    expect(await peer.next()).toMatchObject({ id: 1 });
    expect(client.counters.subscribes).toBe(1);
  });

  test("all changes until the next paint are one render", async () => {
    const peer = await listed();
    const before = renders;
    for (let tx = 1; tx <= 100; tx++) peer.send(changes("s", tx, [update(1, `v${tx}`)]));
    await applied(100);
    expect(text()).toBe("live 1:v100");
    // StrictMode renders twice.
    expect(renders - before).toBe(2);
  });

  test("rows that don't change keep their identity", async () => {
    const seen: Item[][] = [];
    function Spy(): ReactNode {
      const { rows } = useLiveRows<Item>("public.t");
      seen.push([...rows]);
      return null;
    }
    await render(<Spy />);
    const peer = await greeted();
    await peer.next();
    peer.send(
      subscribed(1, "s"),
      { type: "snapshot", shape: "s", rows: [{ id: 1, v: "a" }] },
      live("s", "c"),
    );
    peer.send(changes("s", 1, [insert(2, "b")]));
    await applied(1);
    peer.send(changes("s", 2, [update(2, "B")]));
    await applied(2);
    const [before, after] = [seen.at(-3), seen.at(-1)];
    expect(after?.[0]).toBe(before?.[0]);
    expect(after?.[1]).toEqual({ id: 2, v: "B" });
  });

  test("unmounting ends the subscription, and remounting at once does not", async () => {
    const peer = await listed();
    await render(null);
    await render(<List />);
    expect(text()).toBe("live 1:a");
    await render(null);
    expect(await peer.next()).toEqual({ type: "unsubscribe", id: 1 });
  });

  test("a resync is not seen as a flash of nothing", async () => {
    const peer = await listed();
    const texts = new Set<string | null>();
    const observer = new MutationObserver(() => texts.add(text()));
    observer.observe(page, { subtree: true, childList: true, characterData: true });
    peer.send({ type: "resync", shape: "s", reason: "lagged" }, subscribed(1, "t"));
    await paint(() => client.counters.resyncs === 1);
    peer.send({ type: "snapshot", shape: "t", rows: [{ id: 1, v: "a" }] }, live("t", "c"));
    peer.send(changes("t", 1, [insert(2, "b")]));
    await applied(1);
    expect(text()).toBe("live 1:a 2:b");
    observer.disconnect();
    for (const each of texts) expect(each).toContain("1:a");
  });

  test("concurrent rendering: a transition in progress sees no torn state", async () => {
    let go = () => {};
    const torn: string[] = [];
    function Half(): ReactNode {
      const { rows } = useLiveRows<Item>("public.t", { columns: ["id", "v"] });
      return <b>{rows.map(({ v }) => v).join()}</b>;
    }
    function Both(): ReactNode {
      const [n, set] = useState(0);
      go = () => startTransition(() => set((old) => old + 1));
      return [<Half key="a" />, <i key="i">{n}</i>, <Half key="b" />];
    }
    await render(<Both />);
    const peer = await greeted();
    await peer.next();
    const observer = new MutationObserver(() => {
      const [left, right] = [
        page.querySelectorAll("b")[0]?.textContent,
        page.querySelectorAll("b")[1]?.textContent,
      ];
      if (left !== right) torn.push(`${left}|${right}`);
    });
    observer.observe(page, { subtree: true, childList: true, characterData: true });
    peer.send(
      subscribed(1, "s"),
      { type: "snapshot", shape: "s", rows: [{ id: 1, v: "0" }] },
      live("s", "c"),
    );
    for (let tx = 1; tx <= 20; tx++) {
      peer.send(changes("s", tx, [update(1, `${tx}`)]));
      await act(async () => go());
      await applied(tx);
    }
    expect(text()).toBe("202020");
    expect(torn).toEqual([]);
    observer.disconnect();
  });
});

test("useLiveRow renders for its own row alone", async () => {
  let count = 0;
  function One(): ReactNode {
    const { row, status } = useLiveRow<Item>("public.t", 2);
    count += 1;
    return `${status} ${row?.v ?? "none"}`;
  }
  await render(<One />);
  const peer = await greeted();
  await peer.next();
  peer.send(subscribed(1, "s"), { type: "snapshot", shape: "s", rows: [{ id: 2, v: "b" }] }, live("s", "c"));
  peer.send(changes("s", 1, [insert(1, "a")]));
  await applied(1);
  expect(text()).toBe("live b");
  const before = count;
  peer.send(changes("s", 2, [update(1, "A"), insert(3, "c")]));
  await applied(2);
  expect(count).toBe(before);
  peer.send(changes("s", 3, [remove(2)]));
  await applied(3);
  expect(text()).toBe("live none");
});

test("useConnection tells how the connection stands", async () => {
  function State(): ReactNode {
    const { status, role } = useConnection();
    return `${status} ${role ?? ""}`;
  }
  await render(<State />);
  const peer = await greeted();
  const stands = (want: string) =>
    act(async () => {
      await expect.poll(() => client.connection.getSnapshot().status).toBe(want);
    });
  await stands("open");
  expect(text()).toBe("open anon");
  peer.socket.close(4400, "no");
  await stands("failed");
  expect(text()).toBe("failed anon");
});

test("useChanges hands transactions over, to the handler of the last render", async () => {
  const heard: string[] = [];
  function Log({ name }: { name: string }): ReactNode {
    useChanges("public.t", { transaction: ({ tx }) => heard.push(`${name}${tx}`) });
    return null;
  }
  await render(<Log name="a" />);
  const peer = await greeted();
  expect(await peer.next()).toMatchObject({ snapshot: false });
  peer.send(subscribed(1, "s"), live("s", "c"), changes("s", 1, [insert(1, "a")]));
  await applied(1);
  await render(<Log name="b" />);
  peer.send(changes("s", 2, [insert(2, "b")]));
  await applied(2);
  expect(heard).toEqual(["a1", "b2"]);
  expect(client.counters.subscribes).toBe(1);
});

test("the provider's own client: one connection in StrictMode, a new token goes over it", async () => {
  const jwt = (sig: string) => `x.${btoa(JSON.stringify({ sub: "ada" }))}.${sig}`;
  const show = (token: string) =>
    act(() => {
      root.render(
        <StrictMode>
          <RelayProvider url={server.url} token={token} options={{ socket, linger: 5 }}>
            {null}
          </RelayProvider>
        </StrictMode>,
      );
    });
  await show(jwt("a"));
  const peer = await server.accept();
  expect(await peer.greet()).toMatchObject({ type: "hello", token: jwt("a") });
  peer.send({ type: "pong" });
  await show(jwt("b"));
  expect(await peer.next()).toEqual({ type: "token", token: jwt("b") });
  expect(server.accepted).toBe(1);
});

test("the provider's token as a function written inline: renders ask nothing, and the latest one is asked when one is due", async () => {
  const asked: string[] = [];
  const show = (name: string) =>
    act(() => {
      const token = () => {
        asked.push(name);
        return name;
      };
      root.render(
        <StrictMode>
          <RelayProvider url={server.url} token={token} options={{ socket, linger: 5, backoff: { base: 2 } }}>
            {null}
          </RelayProvider>
        </StrictMode>,
      );
    });
  await show("a");
  const peer = await server.accept();
  expect(await peer.greet()).toEqual({ type: "hello", token: "a" });
  await show("b");
  await show("c");
  peer.socket.close(4408, "");
  expect(await (await server.accept()).greet()).toEqual({ type: "hello", token: "c" });
  expect(asked).toEqual(["a", "c"]);
  expect(peer.messages).toEqual([{ type: "hello", token: "a" }]);
});

describe("the page's own life", () => {
  const tell = (target: EventTarget, name: string) => act(async () => target.dispatchEvent(new Event(name)));

  test("online and visible: a backoff is cut short", async () => {
    client = new RelayClient({
      url: server.url,
      socket,
      linger: 5,
      backoff: { base: 60_000, cap: 60_000 },
      random: () => 1,
    });
    await render(null);
    for (const [target, name] of [
      [window, "online"],
      [document, "visibilitychange"],
      [window, "pageshow"],
    ] as const) {
      const peer = await greeted();
      await expect.poll(() => client.connection.getSnapshot().status).toBe("open");
      await act(async () => peer.socket.close(4409, ""));
      await expect.poll(() => client.connection.getSnapshot().status).toBe("backoff");
      await tell(target, name);
    }
    await greeted();
  });

  test("offline: an open connection is asked for a sign of life", async () => {
    await render(null);
    const peer = await greeted();
    await expect.poll(() => client.connection.getSnapshot().status).toBe("open");
    await tell(window, "offline");
    expect(await peer.next()).toMatchObject({ type: "ping" });
  });
});

test("without a provider there is a clear error", async () => {
  const lone = createRoot(document.createElement("div"));
  const rendered = act(async () => lone.render(<List />));
  await expect(rendered).rejects.toThrow("<RelayProvider>");
});
