import { CloseCode } from "./wire.js";

export interface Backoff {
  /** The first delay's upper bound in milliseconds; it doubles with each attempt. Default 500. */
  readonly base?: number;
  /** No delay is longer, in milliseconds. Default 30,000. */
  readonly cap?: number;
}

/** Milliseconds over which clients spread when a server goes away. */
const SPREAD = 1_000;
/** Milliseconds that a client stays away at least after it went past a limit. */
const PENANCE = 5_000;

/**
 * Milliseconds to wait before attempt number `attempt` (from 0): full jitter, so that clients which lost
 * their connection in the same moment don't return in the same moment.
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function delay(
  attempt: number,
  code: number,
  random: () => number,
  { base = 500, cap = 30_000 }: Backoff = {},
): number {
  const ceiling = Math.min(cap, base * 2 ** Math.min(attempt, 30));
  if (code === CloseCode.goingAway) return random() * Math.min(cap, Math.max(SPREAD, ceiling));
  if (code === CloseCode.limitExceeded) return Math.min(cap, PENANCE + random() * ceiling);
  return random() * ceiling;
}

/** What a close code asks of the client. */
export type Verdict = "again" | "token" | "stop";

/**
 * After 4400 and its kin the same messages would be refused again: the client stops until the application says otherwise.
 * After 4401 it needs a new token. Everything else, also a connection that never opened, is tried again.
 */
export function verdict(code: number): Verdict {
  switch (code) {
    case CloseCode.unauthorized:
      return "token";
    case CloseCode.badMessage:
    case CloseCode.protocol:
    case CloseCode.unsupported:
    case CloseCode.invalidUTF8:
    case CloseCode.tooLarge:
      return "stop";
    default:
      return "again";
  }
}
