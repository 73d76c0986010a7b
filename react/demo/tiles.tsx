import { type ReactNode, useSyncExternalStore } from "react";
import { useRelay } from "../src/react/index.js";
import type { Demo } from "./client.js";
import type { Point } from "./meter.js";
import { number } from "./story.js";

/** What is measured: latency, changes, and what befell the connection. */
export function Tiles({ demo }: { demo: Demo }): ReactNode {
  const reading = useSyncExternalStore(demo.meter.subscribe, demo.meter.getSnapshot);
  const { counters } = useRelay();
  return (
    <>
      <section className="tile" data-testid="latency">
        <h2>Commit to paint</h2>
        <div className="figures">
          <Figure value={milliseconds(reading.p50)} unit="ms" name="p50" testid="p50" big />
          <Figure value={milliseconds(reading.p99)} unit="ms" name="p99" testid="p99" />
        </div>
        <Spark trail={reading.trail} of={({ p50 }) => p50} under={({ p99 }) => p99} />
      </section>
      <section className="tile" data-testid="throughput">
        <h2>Changes</h2>
        <div className="figures">
          <Figure
            value={number(reading.changesPerSecond)}
            unit="/s"
            name="rows"
            testid="changes-per-second"
            big
          />
          <Figure value={number(reading.transactionsPerSecond)} unit="/s" name="tx" testid="transactions" />
        </div>
        <Spark trail={reading.trail} of={({ changes }) => changes} />
      </section>
      <section className="tile" data-testid="counters">
        <h2>Since the page opened</h2>
        <dl className="counters">
          <Count name="changes" value={counters.changes} />
          <Count name="resumes" value={counters.resumes} />
          <Count name="caught up" value={counters.caughtUp} />
          <Count name="resyncs" value={counters.resyncs} />
          <Count name="loaded" value={counters.snapshots} />
          <Count name="mismatches" value={counters.anomalies} />
        </dl>
      </section>
    </>
  );
}

interface FigureProps {
  value: string;
  unit: string;
  name: string;
  testid: string;
  big?: boolean;
}

function Figure({ value, unit, name, testid, big }: FigureProps): ReactNode {
  return (
    <div className={big ? "figure big" : "figure"}>
      <span className="value" data-testid={testid}>
        {value}
      </span>
      <span className="unit">{unit}</span>
      <span className="name">{name}</span>
    </div>
  );
}

function Count({ name, value }: { name: string; value: number }): ReactNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd data-testid={`count-${name.replace(" ", "-")}`}>{number(value)}</dd>
    </div>
  );
}

interface SparkProps {
  trail: readonly Point[];
  of: (point: Point) => number | undefined;
  under?: (point: Point) => number | undefined;
}

const [WIDTH, HEIGHT] = [240, 40];

/** The last minute as a line; a second one, if there is one, as a fainter line. */
function Spark({ trail, of, under }: SparkProps): ReactNode {
  const top = Math.max(1, ...trail.map((point) => Math.max(of(point) ?? 0, under?.(point) ?? 0))) * 1.08;
  const line = (value: (point: Point) => number | undefined) => {
    const points: string[] = [];
    trail.forEach((point, i) => {
      const y = value(point);
      if (y === undefined) return;
      points.push(
        `${((i / (trail.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - (y / top) * HEIGHT).toFixed(1)}`,
      );
    });
    return points;
  };
  const main = line(of);
  const first = main[0]?.split(" ")[0];
  const last = main.at(-1)?.split(" ")[0];
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      {under !== undefined && <path className="second" d={path(line(under))} />}
      {main.length > 1 && (
        <path className="area" d={`${path(main)} L${last} ${HEIGHT} L${first} ${HEIGHT} Z`} />
      )}
      <path className="first" d={path(main)} />
    </svg>
  );
}

function path(points: readonly string[]): string {
  return points.length < 2 ? "" : `M${points.join(" L")}`;
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return "–";
  return value < 100 ? value.toFixed(1) : number(value);
}
