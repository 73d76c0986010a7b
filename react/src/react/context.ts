import { createContext, createElement, type ReactNode, useContext, useEffect, useRef, useState } from "react";
import { RelayClient, type RelayOptions } from "../client.js";
import type { TokenSource } from "../token.js";

const RelayContext = createContext<RelayClient | undefined>(undefined);

export interface RelayProviderProps {
  /** Where the relay's WebSocket is, absolute or relative to the page. Default `/v1/ws`. */
  readonly url?: string;
  /** A JWT, or a function that gives one: asked before each connection, and again before the token expires. */
  readonly token?: TokenSource;
  /** What else the client takes; read once. */
  readonly options?: Omit<RelayOptions, "url" | "token">;
  /** A client made elsewhere, for several roots on one page; `url`, `token` and `options` are ignored then. */
  readonly client?: RelayClient;
  readonly children?: ReactNode;
}

/** Gives the components below it one connection to the relay. */
export function RelayProvider({ client, children, ...own }: RelayProviderProps): ReactNode {
  if (client !== undefined) return createElement(Held, { client }, children);
  // Another address is another client.
  return createElement(Owner, { key: own.url ?? "", ...own }, children);
}

function Owner({ url, token, options, children }: Omit<RelayProviderProps, "client">): ReactNode {
  const latest = useRef(token);
  // Written inline, a function is another one at each render and no other token: the latest is asked when one is due.
  const [ask] = useState(
    () => () => (typeof latest.current === "function" ? latest.current() : latest.current),
  );
  const source = typeof token === "function" ? ask : token;
  const [client] = useState(() => new RelayClient({ ...options, url, token: source }));
  const given = useRef(source);
  useEffect(() => {
    latest.current = token;
  }, [token]);
  useEffect(() => {
    if (source === given.current) return;
    given.current = source;
    client.setToken(source);
  }, [client, source]);
  return createElement(Held, { client }, children);
}

function Held({ client, children }: { client: RelayClient; children?: ReactNode }): ReactNode {
  useEffect(() => client.retain(), [client]);
  return createElement(RelayContext.Provider, { value: client }, children);
}

/** The client of the nearest `<RelayProvider>`. */
export function useRelay(): RelayClient {
  const client = useContext(RelayContext);
  if (client === undefined) throw new Error("pgrelay: there is no <RelayProvider> above this component");
  return client;
}
