/** A JWT, or a function that gives one; it is asked before each connection and before the token expires. */
export type TokenSource = string | (() => string | undefined | Promise<string | undefined>);

/** How long before its expiry a token is renewed, in milliseconds. */
const AHEAD = 30_000;
/** The longest that a timer takes. https://developer.mozilla.org/docs/Web/API/Window/setTimeout#maximum_delay_value */
const LONGEST = 2 ** 31 - 1;

/** Milliseconds until the token with this expiry (RFC 3339) should be renewed; undefined where it can't be said. */
export function renewal(expires: string | undefined, now: number): number | undefined {
  if (expires === undefined) return undefined;
  const left = Date.parse(expires) - now;
  if (Number.isNaN(left)) return undefined;
  return Math.min(LONGEST, Math.max(0, left - Math.min(AHEAD, left / 10)));
}

/** The token's `sub`, unverified: it decides whether a new token continues the same person's connection. */
export function subject(token: string | undefined): string | undefined {
  const payload = token?.split(".")[1];
  if (payload === undefined) return undefined;
  try {
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
      c.charCodeAt(0),
    );
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== "object" || claims === null || !("sub" in claims)) return undefined;
    return typeof claims.sub === "string" ? claims.sub : undefined;
  } catch {
    return undefined;
  }
}
