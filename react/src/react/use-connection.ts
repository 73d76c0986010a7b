import type { ConnectionState } from "../connection.js";
import { useRelay } from "./context.js";
import { useObservable } from "./use-live-rows.js";

const IDLE: ConnectionState = { status: "idle", attempt: 0 };

/** How the page's connection to the relay stands. */
export function useConnection(): ConnectionState {
  return useObservable(useRelay().connection, IDLE);
}
