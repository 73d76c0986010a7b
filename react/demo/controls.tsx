import { type ReactNode, useEffect, useState, useSyncExternalStore } from "react";
import type { ConnectionStatus } from "../src/index.js";
import { useConnection } from "../src/react/index.js";
import type { Demo } from "./client.js";
import { number } from "./story.js";

const WORDS: { readonly [S in ConnectionStatus]: readonly [word: string, tone: string] } = {
  idle: ["resting", "calm"],
  authorizing: ["connecting", "busy"],
  connecting: ["connecting", "busy"],
  greeting: ["connecting", "busy"],
  open: ["live", "live"],
  backoff: ["reconnecting", "busy"],
  denied: ["not admitted", "lost"],
  failed: ["gave up", "lost"],
  paused: ["cut", "lost"],
};

export function ConnectionPill(): ReactNode {
  const { status, version } = useConnection();
  const [word, tone] = WORDS[status];
  return (
    <div className={`pill ${tone}`} data-testid="connection" data-status={status} role="status">
      <i />
      <b>{word}</b>
      {status === "open" && <span>relay {version}</span>}
    </div>
  );
}

/** Whom the relay takes the page for, and what that means. */
export function Identity(): ReactNode {
  const { role, sub } = useConnection();
  if (role === undefined) return <p className="identity">&nbsp;</p>;
  return (
    <p className="identity" data-testid="identity">
      You are <b>{sub === undefined ? role : `${sub}, ${role}`}</b>: these are the rows and columns that the
      rules show you. Edit <code>web_socket_event_system_events.rules</code>, and look here.
    </p>
  );
}

/** The rate of the traffic, the two ways to break the connection, and what came of them. */
export function Controls({ demo }: { demo: Demo }): ReactNode {
  return (
    <section className="tile wide">
      <div className="controls">
        <Rate />
        <Breakers demo={demo} />
      </div>
      <Chapters demo={demo} />
    </section>
  );
}

const STEPS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000] as const;

function Rate(): ReactNode {
  const [rate, setRate] = useState<number>();
  const [most = STEPS.at(-1) ?? 0, setMost] = useState<number>();
  const steps = STEPS.filter((step) => step <= most);
  useEffect(() => {
    const abort = new AbortController();
    fetch("demo/rate", { signal: abort.signal })
      .then((answer) => answer.json())
      .then((answer: { rate: number; max?: number }) => {
        setRate(answer.rate);
        setMost(answer.max);
      })
      .catch(() => {});
    return () => abort.abort();
  }, []);
  const change = (value: number) => {
    setRate(value);
    void fetch("demo/rate", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ rate: value }),
    }).catch(() => {});
  };
  return (
    <label className="rate">
      <span>
        Traffic
        <output data-testid="rate-value">{rate === undefined ? "–" : `${number(rate)} / s`}</output>
      </span>
      <input
        type="range"
        data-testid="rate"
        min={0}
        max={steps.length - 1}
        value={nearest(steps, rate ?? 0)}
        disabled={rate === undefined}
        onChange={({ target }) => change(steps[Number(target.value)] ?? 0)}
      />
    </label>
  );
}

function nearest(steps: readonly number[], rate: number): number {
  const above = steps.findIndex((step) => step >= rate);
  return above === -1 ? steps.length - 1 : above;
}

function Breakers({ demo }: { demo: Demo }): ReactNode {
  const { status } = useConnection();
  const [restarting, setRestarting] = useState(false);
  const cut = status === "paused";
  const restart = async () => {
    setRestarting(true);
    try {
      const answer = await fetch("demo/restart", { method: "POST" });
      if (answer.ok) demo.story.tell("Relay restarts", "As asked; its journal is decoded again.");
      else demo.story.tell("Not restarted", `The relay answered ${answer.status}.`);
    } catch {
      demo.story.tell("Not restarted", "The relay can't be reached.");
    } finally {
      setRestarting(false);
    }
  };
  return (
    <div className="breakers">
      <button
        type="button"
        data-testid="cut"
        className={cut ? "primary" : ""}
        onClick={() => (cut ? demo.client.resume() : demo.client.pause())}
      >
        {cut ? "Connect again" : "Cut the connection"}
      </button>
      <button
        type="button"
        data-testid="restart"
        disabled={restarting || status !== "open"}
        onClick={restart}
      >
        Restart the relay
      </button>
    </div>
  );
}

function Chapters({ demo }: { demo: Demo }): ReactNode {
  const chapters = useSyncExternalStore(demo.story.subscribe, demo.story.getSnapshot);
  return (
    <ol className="chapters" data-testid="story" aria-live="polite">
      {chapters.map(({ at, what, detail, tone }) => (
        <li key={`${at} ${what}`} className={tone}>
          <time>{new Date(at).toLocaleTimeString("en-GB")}</time>
          <b>{what}</b>
          <span>{detail}</span>
        </li>
      ))}
    </ol>
  );
}
