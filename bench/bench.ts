/** What rows are measured with: the servers, their accounts, the load generator, and the counting of CPU. */
import { rmSync } from "node:fs";
import { PlcDirectory } from "../tests/plc_directory.ts";
import { type BenchAccount, createAccount, createAccounts, fillRepo } from "./calls.ts";
import { LoadGenerator } from "./load/mod.ts";
import { freshFolder, Peer, type PeerName } from "./peers.ts";
import { cpuMs } from "./proc.ts";
import type { RowInfo, Sample, Samples } from "./rows.ts";

export const USERS = 16;
/** What the issue calls a large repo. */
export const LIBRARY_RECORDS = 10_000;

export interface RowSet {
  readonly rows: readonly RowInfo[];
  /** Whom it is measured of; both unless it says otherwise. */
  readonly peers?: readonly PeerName[];
  /** What takes long and varies little is measured so often at most. */
  readonly roundsMax?: number;
  /** Takes long to set: a quick run leaves it out unless it is asked for by name. */
  readonly isLarge?: boolean;
  /** False: measured cold from the first round on. */
  readonly warms?: boolean;
  measure(bench: Bench, peer: PeerName): Promise<Samples>;
}

export interface BenchOptions {
  readonly kithCommand: readonly string[];
  readonly endsGently: boolean;
  /** Fewer and smaller: to see that everything runs. */
  readonly quick: boolean;
  readonly seconds: number;
  readonly tmp: string;
}

export interface Usage<T> {
  readonly result: T;
  readonly wallMs: number;
  readonly serverMs: number;
  readonly clientMs: number;
}

export class Bench implements AsyncDisposable {
  readonly quick: boolean;
  readonly tmp: string;
  readonly plc: PlcDirectory;
  readonly load = new LoadGenerator();
  /** Subscribers while the other one writes. */
  readonly subscribers = new LoadGenerator();
  /** How long one measurement lasts. */
  seconds: number;
  readonly #kith: Pick<BenchOptions, "kithCommand" | "endsGently">;
  readonly #resources = new AsyncDisposableStack();
  readonly #once = new Map<string, Promise<unknown>>();

  private constructor(plc: PlcDirectory, options: BenchOptions) {
    this.plc = this.#resources.use(plc);
    this.#resources.use(this.load);
    this.#resources.use(this.subscribers);
    this.#kith = { kithCommand: options.kithCommand, endsGently: options.endsGently };
    this.quick = options.quick;
    this.seconds = options.seconds;
    this.tmp = options.tmp;
  }

  static async open(options: BenchOptions): Promise<Bench> {
    return new Bench(await PlcDirectory.start(), options);
  }

  /** A count at the present size. */
  scaled(full: number, quick: number): number {
    return this.quick ? quick : full;
  }

  /** Made when it is first asked for, and the same from then on. */
  once<T>(key: string, make: () => Promise<T>): Promise<T> {
    const made = (this.#once.get(key) as Promise<T> | undefined) ?? make();
    this.#once.set(key, made);
    return made;
  }

  /** The server that most rows share. */
  peer(name: PeerName): Promise<Peer> {
    return this.once(`peer ${name}`, () => this.launchUntilEnd(name));
  }

  /** A server of the caller's own, on a fresh folder unless one is given. */
  launch(name: PeerName, options: { folder?: string; env?: Record<string, string> } = {}): Promise<Peer> {
    const { tmp } = this;
    return Peer.launch({ name, ...this.#kith, tmp, plcUrl: this.plc.url, ...options });
  }

  /** As launch(), for a row that needs it in every round. */
  async launchUntilEnd(name: PeerName, options: { folder?: string; env?: Record<string, string> } = {}) {
    return this.#resources.use(await this.launch(name, options));
  }

  /** Called when everything was measured; what was registered last comes first. */
  atEnd(close: () => void): void {
    this.#resources.defer(close);
  }

  /** A folder that is removed at the end. */
  folder(name: string): string {
    const folder = freshFolder(this.tmp, name);
    this.atEnd(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  }

  /** The users who are at work at once. */
  users(name: PeerName): Promise<BenchAccount[]> {
    return this.once(`users ${name}`, async () => createAccounts((await this.peer(name)).url, "user", USERS));
  }

  /** An account with a large repo: "library" is read, "grown" is written to. */
  large(name: PeerName, handle: "library" | "grown"): Promise<BenchAccount> {
    return this.once(`${handle} ${name}`, async () => {
      const { url } = await this.peer(name);
      // Plain words are reserved as handles.
      const account = await createAccount(url, `large-${handle}`);
      await fillRepo(url, account, LIBRARY_RECORDS);
      return account;
    });
  }

  /** Does something and counts the CPU of server and load generators meanwhile. */
  async using<T>(peer: { readonly pid: number }, action: () => Promise<T>): Promise<Usage<T>> {
    const clients = () => {
      const { user, system } = process.cpuUsage();
      return cpuMs(this.load.pid) + cpuMs(this.subscribers.pid) + (user + system) / 1000;
    };
    const [serverBefore, clientBefore, began] = [cpuMs(peer.pid), clients(), performance.now()];
    const result = await action();
    return {
      result,
      wallMs: performance.now() - began,
      serverMs: cpuMs(peer.pid) - serverBefore,
      clientMs: clients() - clientBefore,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]();
  }
}

/** A figure with what it cost for each of `operations`. */
export function sampleOf(value: number, operations: number, usage: Usage<unknown>): Sample {
  const { wallMs, serverMs, clientMs } = usage;
  return {
    value,
    cpuMs: serverMs / operations,
    serverCores: serverMs / wallMs,
    clientCores: clientMs / wallMs,
  };
}
