import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** `pgrelay demo` as a process of its own, on ports that are free. */
export class Relay {
  readonly #process: ChildProcess;
  readonly url: string;
  /** The system database, where the rules are; undefined where the demo doesn't tell. */
  readonly system: string | undefined;

  private constructor(process: ChildProcess, url: string, system: string | undefined) {
    this.#process = process;
    this.url = url;
    this.system = system;
  }

  /** Starts the binary (bin/pgrelay, or PGRELAY_BIN) and waits for the line that tells where the page is. */
  static async start(): Promise<Relay> {
    const binary = process.env.PGRELAY_BIN ?? `${root}/bin/pgrelay`;
    const child = spawn(binary, ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const said: string[] = [];
    const ended = new Promise<never>((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`pgrelay demo ended with ${code}:\n${said.join("\n")}`)));
    });
    ended.catch(() => {});
    const url = new Promise<string>((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        if (stream === null) continue;
        createInterface(stream).on("line", (line) => {
          said.push(line);
          const found = /http:\/\/127\.0\.0\.1:\d+/.exec(line);
          if (stream === child.stdout && found !== null) resolve(found[0]);
        });
      }
    });
    const page = await Promise.race([url, ended]);
    const system = /postgres:\/\/[^\s']+\/web_socket_event_system\b[^\s']*/.exec(said.join("\n"))?.[0];
    return new Relay(child, page, system);
  }

  /** Runs SQL in the system database. */
  async psql(sql: string): Promise<void> {
    if (this.system === undefined) throw new Error("pgrelay demo doesn't tell where the rules are");
    await promisify(execFile)("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, this.system]);
  }

  /** Sets the traffic's rate in actions a second; returns the highest possible one. */
  async rate(rate: number): Promise<number> {
    const answer = await fetch(`${this.url}/demo/rate`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ rate }),
    });
    if (!answer.ok) throw new Error(`set the rate: ${answer.status} ${await answer.text()}`);
    return ((await answer.json()) as { max?: number }).max ?? rate;
  }

  /** A table's rows as its database has them. */
  async rows(table: string): Promise<Record<string, unknown>[]> {
    const answer = await fetch(`${this.url}/demo/rows?table=${encodeURIComponent(table)}`);
    if (!answer.ok) throw new Error(`read ${table}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>[];
  }

  async stop(): Promise<void> {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null || signalCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGINT");
    await gone;
  }
}
