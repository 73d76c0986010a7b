import type { Change, ClientMessage, Row, ServerMessage, Subscribe } from "../src/wire.js";
import { AT, columns } from "./harness.js";

/** Numbers from a seed (mulberry32). */
export function numbers(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

type Item = { readonly id: number; readonly v: string; readonly long: string };
type Op = { readonly old?: Item; readonly new?: Item; readonly truncate?: true };

/** Which rows a shape has, and whether it has a key. */
export interface Kind {
  readonly bag: boolean;
  readonly sees: (row: Item) => boolean;
}

const all = [...columns, { name: "long", type: "text" }];

interface ServerStream {
  readonly name: string;
  readonly table: string;
  readonly resumed: boolean;
  /** Frames still to be sent, of what was begun: a snapshot or a transaction. */
  due: ServerMessage[];
  /** The last transaction that was taken up. */
  at: number;
  /** The log's end when the stream began: it isn't live before that. */
  readonly end: number;
  live: boolean;
  readonly ids: Set<number>;
}

interface ServerID {
  readonly subscribe: Subscribe;
  stream?: ServerStream;
  /** Where the protocol says that it continues: the last cursor that counts, or its since. */
  last?: string | undefined;
  state: "attached" | "restarting" | "unavailable" | "not_found";
}

/**
 * A relay as the protocol describes it, over one table in memory, with a connection to one client.
 * It chooses among what it may do; every state that the table had is kept.
 */
export class Model {
  readonly history: Item[][] = [[]];
  readonly log: Op[][] = [[]];
  readonly out: ServerMessage[] = [];
  readonly #random: (below: number) => number;
  readonly #kinds: ReadonlyMap<string, Kind>;
  #ids = new Map<number, ServerID>();
  #streams = new Map<string, ServerStream>();
  #names = 0;
  #nextID = 0;
  /** The journal's first transaction, and its continuity. */
  #window = 0;
  #epoch = 0;

  constructor(random: (below: number) => number, kinds: ReadonlyMap<string, Kind>) {
    this.#random = random;
    this.#kinds = kinds;
  }

  get last(): number {
    return this.log.length - 1;
  }

  connect(): void {
    this.#ids = new Map();
    this.#streams = new Map();
    this.out.length = 0;
  }

  /** What the table's shape held after transaction `at`, as sorted lines. */
  state(table: string, at: number): string {
    return lines((this.history[at] ?? []).filter((row) => this.#kind(table).sees(row)));
  }

  /** A transaction of a few statements. */
  commit(): void {
    const rows = [...(this.history[this.last] ?? [])];
    const ops: Op[] = [];
    for (let i = 1 + this.#random(4); i > 0; i--) ops.push(this.#statement(rows));
    this.history.push(rows);
    this.log.push(ops);
  }

  trim(): void {
    this.#window = this.last;
  }

  take(message: ClientMessage): void {
    if (message.type === "subscribe") {
      const id: ServerID = { subscribe: message, last: message.since, state: "restarting" };
      this.#ids.set(message.id, id);
      this.#answer(message.id, id, message.since);
    } else if (message.type === "unsubscribe") {
      const id = this.#ids.get(message.id);
      if (id === undefined) return;
      this.#detach(message.id, id);
      this.#ids.delete(message.id);
      this.out.push({ type: "closed", id: message.id, code: "unsubscribed", message: "" });
    }
  }

  /** One step of the server's own. */
  step(): void {
    const streams = [...this.#streams.values()];
    const stream = streams[this.#random(streams.length || 1)];
    const waiting = [...this.#ids].filter(([, { state }]) => state !== "attached");
    const again = waiting[this.#random(waiting.length || 1)];
    if (again !== undefined && this.#random(3) === 0) return this.#again(...again);
    if (stream === undefined) return;
    const dice = this.#random(60);
    if (dice === 0) this.#resync(stream);
    else if (dice === 1) this.#wait(stream, "unavailable");
    else if (dice === 2) this.#wait(stream, "not_found");
    else if (dice === 3) this.#limit(stream);
    else this.#advance(stream);
  }

  /** Lets everything come to rest: all that waits is answered, all streams are live and at the end. */
  settle(): void {
    for (const [number, id] of this.#ids) if (id.state !== "attached") this.#again(number, id, true);
    for (const stream of this.#streams.values()) {
      while (stream.due.length > 0 || stream.at < this.last || !stream.live) this.#advance(stream);
    }
  }

  #kind(table: string): Kind {
    const kind = this.#kinds.get(table);
    if (kind === undefined) throw new Error(`no table ${table}`);
    return kind;
  }

  #statement(rows: Item[]): Op {
    const item = (id: number, long = `${this.#random(99)}`): Item => ({ id, v: `${this.#random(5)}`, long });
    const dice = this.#random(40);
    const at = this.#random(rows.length || 1);
    const old = rows[at];
    if (dice === 0) {
      rows.length = 0;
      return { truncate: true };
    }
    if (old === undefined || dice < 16) {
      const made = item(++this.#nextID);
      rows.push(made);
      return { new: made };
    }
    if (dice < 24) {
      rows.splice(at, 1);
      return { old };
    }
    const made = item(dice < 30 ? ++this.#nextID : old.id, dice % 2 === 0 ? old.long : undefined);
    rows[at] = made;
    return { old, new: made };
  }

  #changes(table: string, op: Op): Change[] {
    const { sees, bag } = this.#kind(table);
    if (op.truncate) return [{ op: "truncate" }];
    const key = (row: Item): Row => (bag ? { ...row } : { id: row.id });
    const before = op.old !== undefined && sees(op.old) ? op.old : undefined;
    const after = op.new !== undefined && sees(op.new) ? op.new : undefined;
    if (before === undefined) return after === undefined ? [] : [{ op: "insert", row: { ...after } }];
    if (after === undefined) return [{ op: "delete", key: key(before) }];
    if (bag) return [{ op: "update", row: { ...after }, key: key(before) }];
    const { long, ...short } = after;
    const row: Row = long === before.long && this.#random(2) === 0 ? short : { ...short, long };
    return [before.id === after.id ? { op: "update", row } : { op: "update", row, key: key(before) }];
  }

  #cursor(stream: ServerStream): string {
    return `${this.#epoch}/${stream.table}/${stream.at}`;
  }

  #resumable(table: string, cursor: string | undefined): number | undefined {
    const [epoch, of, at] = cursor?.split("/") ?? [];
    if (Number(epoch) !== this.#epoch || of !== table || Number(at) < this.#window) return undefined;
    return Number(at);
  }

  #answer(number: number, id: ServerID, since: string | undefined): void {
    const { table } = id.subscribe;
    const open = [...this.#streams.values()].find((stream) => stream.table === table);
    const at = this.#resumable(table, since);
    const kind = this.#kind(table);
    const message: ServerMessage = {
      type: "subscribed",
      id: number,
      shape: open?.name ?? `s${this.#random(2) === 0 ? table : ++this.#names}`,
      table,
      server: "local",
      capture: "logical",
      key: kind.bag ? [] : ["id"],
      ...(kind.bag ? { bag: true } : {}),
      columns: all,
      resumed: open !== undefined || at !== undefined,
      ...(open === undefined ? {} : { shared: true }),
    };
    this.out.push(message);
    id.state = "attached";
    id.stream = open ?? this.#start(message.shape, table, at);
    id.stream.ids.add(number);
  }

  #start(name: string, table: string, at: number | undefined): ServerStream {
    const stream: ServerStream = {
      name,
      table,
      resumed: at !== undefined,
      due: [],
      at: at ?? this.last,
      end: this.last,
      live: false,
      ids: new Set(),
    };
    this.#streams.set(name, stream);
    if (at !== undefined) return stream;
    const rows = (this.history[this.last] ?? []).filter((row) => this.#kind(table).sees(row));
    for (let i = 0; i < rows.length; i += 3) {
      stream.due.push({ type: "snapshot", shape: name, rows: rows.slice(i, i + 3) });
    }
    return stream;
  }

  #advance(stream: ServerStream): void {
    const next = stream.due.shift();
    if (next !== undefined) {
      this.out.push(next);
      if (next.type === "changes" && next.cursor !== undefined) this.#counted(stream, next.cursor);
      return;
    }
    if (!stream.live && stream.at >= stream.end && (stream.at === this.last || this.#random(3) === 0)) {
      stream.live = true;
      const cursor = this.#cursor(stream);
      this.out.push({ type: "live", shape: stream.name, cursor });
      return this.#counted(stream, cursor);
    }
    if (stream.at < this.last) return this.#begin(stream);
    const cursor = this.#cursor(stream);
    this.out.push({ type: "cursor", shape: stream.name, cursor });
    this.#counted(stream, cursor);
  }

  /** Takes up the next transaction; what concerns the shape goes out in one or several frames. */
  #begin(stream: ServerStream): void {
    stream.at += 1;
    const list = (this.log[stream.at] ?? []).flatMap((op) => this.#changes(stream.table, op));
    if (list.length === 0) return;
    const head = { type: "changes", shape: stream.name, at: AT, tx: String(stream.at) } as const;
    const cursor = this.#cursor(stream);
    if (this.#random(2) === 0) {
      stream.due.push({ ...head, changes: list, cursor });
    } else {
      list.forEach((change, part) => {
        stream.due.push({ ...head, part, changes: [change], more: true });
      });
      stream.due.push({ ...head, part: list.length, changes: [], cursor });
    }
  }

  #counted(stream: ServerStream, cursor: string): void {
    if (!stream.live && !stream.resumed) return;
    for (const number of stream.ids) {
      const id = this.#ids.get(number);
      if (id !== undefined) id.last = cursor;
    }
  }

  #detach(number: number, id: ServerID): void {
    const { stream } = id;
    delete id.stream;
    if (stream === undefined) return;
    stream.ids.delete(number);
    if (stream.ids.size === 0) this.#streams.delete(stream.name);
  }

  #each(stream: ServerStream, run: (number: number, id: ServerID) => void): void {
    for (const number of [...stream.ids]) {
      const id = this.#ids.get(number);
      if (id === undefined) continue;
      this.#detach(number, id);
      run(number, id);
    }
  }

  #resync(stream: ServerStream): void {
    const reasons = ["lagged", "rule_changed", "table_changed", "journal_gap"] as const;
    const reason = reasons[this.#random(4)] ?? "lagged";
    if (reason === "journal_gap") this.#epoch += 1;
    this.out.push({ type: "resync", shape: stream.name, reason });
    this.#each(stream, (_, id) => {
      id.state = "restarting";
    });
  }

  #wait(stream: ServerStream, reason: "unavailable" | "not_found"): void {
    this.#each(stream, (number, id) => {
      id.state = reason;
      if (reason === "not_found") id.last = undefined;
      this.out.push({ type: "waiting", id: number, reason, message: "" });
    });
  }

  #limit(stream: ServerStream): void {
    this.#each(stream, (number) => {
      this.#ids.delete(number);
      this.out.push({ type: "closed", id: number, code: "limit", message: "" });
    });
  }

  #again(number: number, id: ServerID, surely = false): void {
    if (id.state === "restarting" && !surely && this.#random(6) === 0) {
      id.state = "unavailable";
      this.out.push({ type: "waiting", id: number, reason: "unavailable", message: "" });
      return;
    }
    this.#answer(number, id, id.state === "unavailable" && this.#random(4) > 0 ? id.last : undefined);
  }
}

/** Rows as sorted lines, to compare what has no order. */
export function lines(rows: readonly object[]): string {
  return rows
    .map((row) => JSON.stringify(Object.entries(row).sort()))
    .sort()
    .join("\n");
}
