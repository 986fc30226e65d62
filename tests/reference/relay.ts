/** The consumer of relay_process.ts, and what it is to have seen: every answered write once, in order. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isReferenceInstalled, nodeCommand } from "../../tools/reference.ts";
import type { Writer } from "../crash/workload.ts";
import type { PlcDirectory } from "../plc_directory.ts";
import { waitFor, within } from "../wait.ts";

/** What one event said: an operation on a record, or news of an account. */
export interface Told {
  readonly kind: "create" | "update" | "delete" | "identity" | "account" | "sync";
  readonly did: string;
  readonly path?: string;
  /** Null where the record is gone. */
  readonly cid?: string | null;
  readonly rev?: string;
  readonly active?: boolean;
}

export interface Seen {
  readonly seq: number;
  readonly did: string;
  readonly told: readonly Told[];
}

export class Relay implements AsyncDisposable {
  /** Everything, since it was made: over all connections and processes. */
  readonly seen: Seen[] = [];
  readonly problems: string[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), "kith-relay-"));
  readonly #plc: Pick<PlcDirectory, "url">;
  #process: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;
  #pump: Promise<void> = Promise.resolve();

  constructor(plc: Pick<PlcDirectory, "url">) {
    if (!isReferenceInstalled()) throw new Error('Install the reference PDS first: "bun tools/reference.ts"');
    this.#plc = plc;
  }

  /** Follows a server from where it was. */
  follow(url: string): void {
    const script = join(import.meta.dir, "relay_process.ts");
    const command = nodeCommand(script, url, this.#plc.url, join(this.#folder, "cursor"));
    const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    this.#process = child;
    this.#pump = this.#take(child.stdout);
  }

  /** Ends its process; the cursor stays. */
  async stop(): Promise<void> {
    this.#process?.kill("SIGTERM");
    if (this.#process) await within("the relay to end", this.#process.exited);
    await this.#pump;
    this.#process = undefined;
  }

  get lastSeq(): number {
    return this.seen.at(-1)?.seq ?? 0;
  }

  /** Waits until it has handled this event, and throws where anything was not as it should be. */
  async reach(seq: number): Promise<void> {
    await waitFor(`the relay to reach ${seq}`, () => this.problems.length > 0 || this.lastSeq >= seq, 60_000);
    this.assertClean();
  }

  /** No problem, and each seq above the one before. */
  assertClean(): void {
    if (this.problems.length > 0) throw new Error(this.problems.slice(0, 5).join("\n"));
    for (const [at, { seq }] of this.seen.entries()) {
      const before = this.seen[at - 1]?.seq ?? 0;
      if (seq <= before) throw new Error(`The relay has seen ${seq} after ${before}`);
    }
  }

  /** What was told of each record, in order: its CIDs, and null where it was deleted. */
  #records(except: ReadonlySet<Seen>): ReadonlyMap<string, readonly (string | null)[]> {
    const records = new Map<string, (string | null)[]>();
    for (const { told } of this.seen.filter((event) => !except.has(event))) {
      for (const { did, path, cid = null } of told) {
        if (path === undefined) continue;
        const name = `${did}/${path}`;
        const all = records.get(name) ?? [];
        all.push(cid);
        records.set(name, all);
      }
    }
    return records;
  }

  /**
   * Holds what it was told against what these writers were answered: all of it, once, in order, and nothing else of theirs. `except`: events
   * that a #sync has taken back.
   */
  judge(writers: readonly Writer[], { except = [] }: { except?: readonly Seen[] } = {}): void {
    const expected = new Map<string, (string | null)[]>();
    for (const { account, history } of writers) {
      for (const [path, cid] of history) {
        const name = `${account.did}/${path}`;
        expected.set(name, [...(expected.get(name) ?? []), cid]);
      }
    }
    const isTheirs = (name: string): boolean =>
      writers.some((writer) => {
        const { did } = writer.account;
        return name.startsWith(`${did}/`) && writer.owns(name.slice(did.length + 1));
      });
    const actual = this.#records(new Set(except));
    const names = new Set([...expected.keys(), ...[...actual.keys()].filter(isTheirs)]);
    const wrong = [...names].filter(
      (name) => (expected.get(name) ?? []).join() !== (actual.get(name) ?? []).join(),
    );
    if (wrong.length === 0) return;
    const lines = wrong
      .slice(0, 5)
      .map((name) => `${name}: answered ${expected.get(name)?.join()}, told ${actual.get(name)?.join()}`);
    throw new Error(
      `Of ${names.size} records the relay was told ${wrong.length} wrong:\n${lines.join("\n")}`,
    );
  }

  async #take(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of stream) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#note(JSON.parse(line));
    }
  }

  #note(line: Seen | { problem: string } | { cutOff: string }): void {
    if ("seq" in line) this.seen.push(line);
    else if ("problem" in line) this.problems.push(line.problem);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
