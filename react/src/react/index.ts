export { type Sql, type SqlValue, sql } from "../sql.js";
export { RelayProvider, type RelayProviderProps, useRelay } from "./context.js";
export { useChanges } from "./use-changes.js";
export { useConnection } from "./use-connection.js";
export { useLiveRow } from "./use-live-row.js";
export { type LiveRowsOptions, useLiveRows } from "./use-live-rows.js";
