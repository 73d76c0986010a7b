import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { person, renewal } from "../src/token.js";
import { Tokens } from "../src/tokens.js";

const NOW = Date.UTC(2026, 2, 1, 12);
const MINUTE = 60_000;

function jwt(claims: object): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `header.${payload}.signature`;
}

/** A token that was issued `age` ago, by a clock that is `fast` of the client's. */
function issued(age: number, life: number, fast = 0): { token: string; expires: string } {
  const [iat, exp] = [(NOW + fast - age) / 1_000, (NOW + fast - age + life) / 1_000];
  return { token: jwt({ sub: "ada", iat, exp }), expires: new Date(exp * 1_000).toISOString() };
}

describe("when a token is renewed", () => {
  const at = ({ token, expires }: { token: string; expires: string }, random = 0) =>
    renewal(token, expires, NOW, random);

  test.each<[string, number, number, number]>([
    ["half a minute before it expires", 0, 60 * MINUTE, 59.5 * MINUTE],
    ["a short one, a tenth of its time before", 0, MINUTE, 0.9 * MINUTE],
    ["one that isn't new any more", 50 * MINUTE, 60 * MINUTE, 9.5 * MINUTE],
    ["no sooner than in a second", 59.99 * MINUTE, 60 * MINUTE, 1_000],
  ])("%s", (_, age, life, want) => {
    expect(at(issued(age, life))).toBeCloseTo(want, 3);
  });

  test("clients whose tokens are of one age spread over a margin", () => {
    expect(at(issued(0, 60 * MINUTE), 1)).toBeCloseTo(59 * MINUTE, 3);
    expect(at(issued(0, 60 * MINUTE), 0.5)).toBeCloseTo(59.25 * MINUTE, 3);
  });

  test.each<[string, number]>([
    ["behind", 60 * MINUTE],
    ["a little behind", 5_000],
    ["far ahead", -60 * MINUTE],
  ])("a client's clock that is %s doesn't count: the token's own life does", (_, fast) => {
    expect(at(issued(0, 10 * MINUTE, fast))).toBeCloseTo(9.5 * MINUTE, 3);
  });

  test("a clock that is somewhat ahead renews too early, never too late", () => {
    expect(at(issued(0, 10 * MINUTE, -4 * MINUTE))).toBeCloseTo(5.5 * MINUTE, 3);
  });

  test("without iat there is the client's clock alone; nonsense is asked about in half a minute", () => {
    const expires = (left: number) => new Date(NOW + left).toISOString();
    expect(renewal(jwt({}), expires(10 * MINUTE), NOW, 0)).toBe(9.5 * MINUTE);
    expect(renewal("opaque", expires(10 * MINUTE), NOW, 0)).toBe(9.5 * MINUTE);
    expect(renewal(jwt({ iat: "1", exp: null }), expires(-10 * MINUTE), NOW, 0)).toBe(27_000);
    expect(renewal(undefined, "soon", NOW, 0)).toBe(27_000);
  });

  test("one that doesn't expire isn't", () => {
    expect(renewal(jwt({}), undefined, NOW, 0)).toBeUndefined();
  });
});

test("whom a token speaks for", () => {
  expect(person(undefined)).toBe("anon");
  expect(person(jwt({ sub: "Åda 👋" }))).toBe("sub Åda 👋");
  for (const token of [jwt({}), jwt({ sub: 7 }), "opaque", "a.%.b", jwt([]), "a.bnVsbA.b"]) {
    expect(person(token)).toBe("somebody");
  }
});

describe("an open connection's tokens", () => {
  let offers: string[];
  let anothers: number;
  let troubles: (string | undefined)[];
  let tokens: Tokens;

  beforeEach(() => {
    vi.useFakeTimers({ now: NOW });
    offers = [];
    anothers = 0;
    troubles = [];
  });
  afterEach(() => vi.useRealTimers());

  function make(source: ConstructorParameters<typeof Tokens>[0]): Tokens {
    tokens = new Tokens(
      source,
      { backoff: { base: 1_000, cap: 8_000 }, random: () => 1, patience: 10_000 },
      {
        offer: (token) => offers.push(token),
        another: () => {
          anothers += 1;
        },
        troubled: () => troubles.push(tokens.problem?.code),
      },
    );
    return tokens;
  }

  /** Opens the connection with the source's token, good for ten minutes. */
  async function open(source: ConstructorParameters<typeof Tokens>[0]): Promise<void> {
    make(source);
    tokens.use(await tokens.next());
    tokens.welcomed(new Date(Date.now() + 10 * MINUTE).toISOString());
  }

  const life = (n: number) => jwt({ sub: "ada", n, iat: Date.now() / 1_000, exp: Date.now() / 1_000 + 600 });

  test("the next one is offered ahead of the expiry, and then the one after it", async () => {
    let n = 0;
    await open(() => life(++n));
    await vi.advanceTimersByTimeAsync(8.9 * MINUTE);
    expect(n).toBe(1);
    await vi.advanceTimersByTimeAsync(0.2 * MINUTE);
    expect(offers).toHaveLength(1);
    tokens.welcomed(new Date(Date.now() + 10 * MINUTE).toISOString());
    await vi.advanceTimersByTimeAsync(9.2 * MINUTE);
    expect(offers).toHaveLength(2);
    expect(n).toBe(3);
  });

  test("one that is good for longer than a timer runs isn't asked for before its time", async () => {
    const ask = vi.fn(() => jwt({ sub: "ada", iat: NOW / 1_000, exp: NOW / 1_000 + 60 * 86_400 }));
    make(ask);
    tokens.use(await tokens.next());
    tokens.welcomed(new Date(NOW + 60 * 86_400_000).toISOString());
    await vi.advanceTimersByTimeAsync(59 * 86_400_000);
    expect(ask).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(86_400_000 - 31_000);
    expect(ask.mock.calls.length).toBeGreaterThan(1);
  });

  test("a function that gives the same one is asked again, with backoff, and that is no problem", async () => {
    const first = life(1);
    const given = [first, first, first, life(2)];
    const ask = vi.fn(() => given.shift());
    await open(ask);
    await vi.advanceTimersByTimeAsync(9 * MINUTE);
    expect(ask).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(999);
    expect(ask).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(ask).toHaveBeenCalledTimes(3);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(offers).toHaveLength(1);
    expect(troubles).toEqual([]);
  });

  test("a function that fails is asked again, with backoff; the problem is told until it answers", async () => {
    let fails = 0;
    await open(async () => {
      if (Date.now() > NOW && fails < 3) {
        fails += 1;
        throw new Error("offline");
      }
      return life(fails);
    });
    await vi.advanceTimersByTimeAsync(9 * MINUTE);
    expect(tokens.problem).toEqual({ code: "no_token", message: "offline" });
    await vi.advanceTimersByTimeAsync(1_000 + 2_000);
    expect(offers).toEqual([]);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(fails).toBe(3);
    expect(offers).toHaveLength(1);
    expect(tokens.problem).toBeUndefined();
  });

  test("bad_token: the problem is told, and the source is asked with backoff until it has another", async () => {
    const bad = life(2);
    const given = [life(1), bad, bad, bad, life(3)];
    await open(() => given.shift());
    await vi.advanceTimersByTimeAsync(9 * MINUTE);
    expect(offers).toEqual([bad]);
    expect(tokens.refused({ message: "not valid", hint: "sign it" })).toBe(true);
    expect(tokens.problem).toEqual({ code: "bad_token", message: "not valid", hint: "sign it" });
    await vi.advanceTimersByTimeAsync(1_000 + 2_000);
    expect(offers).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(offers).toHaveLength(2);
    tokens.welcomed(new Date(Date.now() + 10 * MINUTE).toISOString());
    expect(tokens.problem).toBeUndefined();
  });

  test("a bad_token that answers no token of ours is somebody else's", async () => {
    await open(life(1));
    expect(tokens.refused({ message: "" })).toBe(false);
  });

  test("answers come in the order of the offers", async () => {
    await open(life(1));
    tokens.set(life(2));
    await tokens.renew();
    tokens.set(life(3));
    await tokens.renew();
    expect(offers).toHaveLength(2);
    tokens.refused({ message: "no" });
    expect(tokens.problem?.code).toBe("bad_token");
    tokens.welcomed(undefined);
    expect(tokens.problem).toBeUndefined();
    await tokens.renew();
    expect(offers).toHaveLength(2);
  });

  test("a function isn't called while it hasn't answered, whoever asks; its silence is a problem", async () => {
    let answer = (_: string) => {};
    const ask = vi.fn(() => new Promise<string>((resolve) => (answer = resolve)));
    make(ask);
    const both = [tokens.next(), tokens.next()];
    void tokens.renew();
    tokens.rest();
    const later = tokens.next();
    expect(ask).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(tokens.problem).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(tokens.problem).toEqual({
      code: "no_token",
      message: "the token's function has not answered for 10 s",
    });
    await vi.advanceTimersByTimeAsync(60 * MINUTE);
    expect(ask).toHaveBeenCalledTimes(1);
    answer("jwt");
    expect(await Promise.all([...both, later])).toEqual(["jwt", "jwt", "jwt"]);
    expect(tokens.problem).toBeUndefined();
    void tokens.next();
    expect(ask).toHaveBeenCalledTimes(2);
  });

  test("another source is asked though the one before hangs, and what that says later counts no more", async () => {
    let answer = (_: string) => {};
    const hanging = vi.fn(() => new Promise<string>((resolve) => (answer = resolve)));
    await open(life(1));
    tokens.set(hanging);
    void tokens.renew();
    const fresh = life(2);
    tokens.set(() => fresh);
    await tokens.renew();
    answer(life(3));
    await vi.advanceTimersByTimeAsync(0);
    expect(hanging).toHaveBeenCalledTimes(1);
    expect(offers).toEqual([fresh]);
  });

  test("another source with the token that is in use: it is asked again when that runs out", async () => {
    const first = life(1);
    await open(first);
    const ask = vi.fn(() => first);
    tokens.set(ask);
    await tokens.renew();
    await vi.advanceTimersByTimeAsync(8.9 * MINUTE);
    expect(ask).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(0.2 * MINUTE);
    expect(ask.mock.calls.length).toBeGreaterThan(1);
  });

  test.each([
    ["another sub", jwt({ sub: "bob" })],
    ["none", undefined],
  ])("another person's is not offered: %s", async (_, token) => {
    const given = [life(1), token];
    await open(() => given.shift());
    await vi.advanceTimersByTimeAsync(9 * MINUTE);
    expect(offers).toEqual([]);
    expect(anothers).toBe(1);
    tokens.rest();
    expect(tokens.use(token)).toBe(true);
    expect(anothers).toBe(2);
    expect(tokens.use(token)).toBe(true);
    expect(anothers).toBe(2);
  });

  test("nothing is left to do when the connection is over", async () => {
    await open(() => life(1));
    tokens.rest();
    expect(vi.getTimerCount()).toBe(0);
  });
});
