/**
 * A JWT, or a function that gives one; it is asked before each connection and before the token expires, never twice at a
 * time. Undefined is nobody: the connection is `anon`'s, and rows that somebody saw are dropped.
 */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

/** How long before its expiry a token is renewed at most, in milliseconds; as much again is jitter. */
const AHEAD = 30_000;
/** No token is renewed sooner than that, in milliseconds: what clocks say of it may be nonsense. */
const SOONEST = 1_000;

/**
 * Milliseconds until a token that the server has just taken should be renewed; undefined where it never expires.
 * `random`, from 0 to 1, spreads clients whose tokens are of one age.
 */
export function renewal(
  token: string | undefined,
  expires: string | undefined,
  now: number,
  random: number,
): number | undefined {
  if (expires === undefined) return undefined;
  const left = remaining(token, expires, now);
  return Math.max(SOONEST, left - Math.min(AHEAD, left / 10) * (1 + random));
}

/**
 * How long the token is good, in milliseconds. Its issuer's own clock has said how long it lives (`exp` less `iat`, RFC 7519,
 * section 4.1); the client's clock says how much of that is over, and where it says what can't be (not issued yet, or expired
 * though the server takes it) it is wrong and the token counts as new. Without `iat` there is only the client's clock.
 */
function remaining(token: string | undefined, expires: string, now: number): number {
  const { iat, exp } = claims(token);
  if (typeof iat === "number" && typeof exp === "number" && exp > iat) {
    const [life, age] = [(exp - iat) * 1_000, now - iat * 1_000];
    return age >= 0 && age < life ? life - age : life;
  }
  const left = Date.parse(expires) - now;
  return left > 0 ? left : AHEAD;
}

/** Whom a token speaks for, unverified; it decides whether a new one continues the same person's connection. */
export function person(token: string | undefined): string {
  if (token === undefined) return "anon";
  const { sub } = claims(token);
  return typeof sub === "string" ? `sub ${sub}` : "somebody";
}

/** The token's payload, unverified; empty where it can't be read. */
function claims(token: string | undefined): { readonly [name: string]: unknown } {
  const payload = token?.split(".")[1];
  if (payload === undefined) return {};
  try {
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
      c.charCodeAt(0),
    );
    const read: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof read === "object" && read !== null ? { ...read } : {};
  } catch {
    return {};
  }
}
