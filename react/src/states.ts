/**
 * The connection's states:
 *
 *     idle ──want──► authorizing ──authorized──► connecting ──opened──► greeting ──welcomed──► open
 *                        ▲  ▲                        │                     │                    │
 *                      retry └──────── backoff ◄─────┴────── lost ─────────┴────────────────────┤
 *                        │                                                                      │
 *            denied, failed, paused ◄──────────── deny, fail, pause ────────────────────────────┘
 *
 * `release` leads back to idle from everywhere.
 */
export type ConnectionStatus =
  /** Nobody wants a connection. */
  | "idle"
  /** Waiting for the application's token. */
  | "authorizing"
  | "connecting"
  /** `hello` is sent. */
  | "greeting"
  | "open"
  /** Lost; the next attempt is timed. */
  | "backoff"
  /** The token was refused and there is no other. */
  | "denied"
  /** The server refused what this client says; it would again. */
  | "failed"
  /** Closed by the application, until it resumes. */
  | "paused";

export type ConnectionEvent =
  | "want"
  | "authorized"
  | "opened"
  | "welcomed"
  | "lost"
  | "deny"
  | "fail"
  | "retry"
  | "pause"
  | "release";

type Table = { readonly [S in ConnectionStatus]: { readonly [E in ConnectionEvent]?: ConnectionStatus } };

const gone = { lost: "backoff", deny: "denied", fail: "failed", pause: "paused", release: "idle" } as const;
const resting = { retry: "authorizing", pause: "paused", release: "idle" } as const;

const table: Table = {
  idle: { want: "authorizing" },
  authorizing: { ...gone, authorized: "connecting" },
  connecting: { ...gone, opened: "greeting" },
  greeting: { ...gone, welcomed: "open" },
  open: gone,
  backoff: resting,
  denied: resting,
  failed: resting,
  paused: { retry: "authorizing", release: "idle" },
};

/** The state after the event; undefined where the event means nothing in that state. */
export function next(status: ConnectionStatus, event: ConnectionEvent): ConnectionStatus | undefined {
  return table[status][event];
}
