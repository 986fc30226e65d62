/** Writers that know what must be there after a crash, and a creator of accounts that knows which of them were answered. */
import { encode } from "@atproto/lex-cbor";
import { cidForCbor, type LexValue } from "@atproto/lex-data";
import { type Account, PASSWORD, xrpc } from "../client.ts";

/** A writer deletes rather than creates once its part of the repo is this large. */
const RECORDS_MAX = 40;
const COLLECTION = "dev.kith.test.crash";
const APPLY = "com.atproto.repo.applyWrites";

/** Path to record CID; null where the record is gone. */
type Change = ReadonlyMap<string, string | null>;

interface Step {
  readonly nsid: string;
  readonly body: Record<string, unknown>;
  readonly change: Change;
}

async function cidOf(record: LexValue): Promise<string> {
  return (await cidForCbor(encode(record))).toString();
}

/** Writes one request after the other under keys of its own. What was answered is certain, the last one may be open. */
export class Writer {
  readonly account: Account;
  readonly #prefix: string;
  readonly #random: () => number;
  readonly #certain = new Map<string, string>();
  /** Every change that is certain, in order. */
  readonly history: [path: string, cid: string | null][] = [];
  #open: Change | undefined;
  #count = 0;
  answered = 0;
  /** Answers 503: of these nothing may be there. */
  refused = 0;

  constructor(account: Account, options: { prefix: string; random: () => number }) {
    this.account = account;
    this.#prefix = options.prefix;
    this.#random = options.random;
  }

  /** Writes until the server is gone. Throws on any answer but 200, and 503 where the disk `mayRefuse`. */
  async run(server: string, { mayRefuse = false }: { mayRefuse?: boolean } = {}): Promise<void> {
    for (;;) {
      const step = await this.#next();
      this.#open = step.change;
      const call = {
        token: this.account.accessJwt,
        body: { repo: this.account.did, ...step.body },
        alone: true,
      };
      const answer = await xrpc(server, step.nsid, call).catch(() => undefined);
      if (!answer) return;
      if (mayRefuse && answer.status === 503) {
        this.#open = undefined;
        this.refused += 1;
        continue;
      }
      if (answer.status !== 200)
        throw new Error(`${step.nsid} answers ${answer.status} ${JSON.stringify(answer.json)}`);
      this.#settle(step.change);
    }
  }

  /** Whether a path is this writer's. */
  owns(path: string): boolean {
    return path.startsWith(`${COLLECTION}/${this.#prefix}-`);
  }

  /**
   * Compares with what is there after the restart: all that was answered, and of what was not answered all or nothing.
   * `actual` holds this writer's paths only.
   */
  check(actual: ReadonlyMap<string, string>): void {
    const without = new Map(this.#certain);
    const with_ = new Map(this.#certain);
    for (const [path, cid] of this.#open ?? []) {
      if (cid === null) with_.delete(path);
      else with_.set(path, cid);
    }
    const open = this.#open;
    this.#open = undefined;
    if (same(actual, without)) return;
    if (open && same(actual, with_)) {
      this.#settle(open);
      return;
    }
    const lost = [...without].filter(([path, cid]) => actual.get(path) !== cid).map(([path]) => path);
    const extra = [...actual].filter(([path, cid]) => without.get(path) !== cid).map(([path]) => path);
    throw new Error(`"${this.account.did}" lost ${lost.join(" ")}, shows ${extra.join(" ")}`);
  }

  #settle(change: Change): void {
    for (const [path, cid] of change) {
      if (cid === null) this.#certain.delete(path);
      else this.#certain.set(path, cid);
      this.history.push([path, cid]);
    }
    this.#open = undefined;
    this.answered += 1;
  }

  #pick(): string | undefined {
    const paths = [...this.#certain.keys()];
    return paths[Math.floor(this.#random() * paths.length)];
  }

  async #next(): Promise<Step> {
    const existing = this.#pick();
    const dice = this.#random();
    if (dice < 0.25) return this.#applyWrites();
    if (existing && (dice < 0.4 || this.#certain.size > RECORDS_MAX)) return this.#delete(existing);
    if (existing && dice < 0.6) return this.#put(existing.split("/")[1] ?? "");
    return dice < 0.8 ? this.#put(this.#fresh()) : this.#create();
  }

  #fresh(): string {
    this.#count += 1;
    return `${this.#prefix}-${this.#count}`;
  }

  #record(): { $type: string; text: string; number: number } {
    const length = Math.floor(this.#random() ** 4 * 20_000);
    return { $type: COLLECTION, text: "x".repeat(length), number: Math.floor(this.#random() * 1e9) };
  }

  async #create(): Promise<Step> {
    const [rkey, record] = [this.#fresh(), this.#record()];
    const change = new Map([[`${COLLECTION}/${rkey}`, await cidOf(record)]]);
    return { nsid: "com.atproto.repo.createRecord", body: { collection: COLLECTION, rkey, record }, change };
  }

  async #put(rkey: string): Promise<Step> {
    const record = this.#record();
    const change = new Map([[`${COLLECTION}/${rkey}`, await cidOf(record)]]);
    return { nsid: "com.atproto.repo.putRecord", body: { collection: COLLECTION, rkey, record }, change };
  }

  #delete(path: string): Step {
    const rkey = path.split("/")[1] ?? "";
    const change = new Map([[path, null]]);
    return { nsid: "com.atproto.repo.deleteRecord", body: { collection: COLLECTION, rkey }, change };
  }

  async #applyWrites(): Promise<Step> {
    const change = new Map<string, string | null>();
    const writes: Record<string, unknown>[] = [];
    const existing = this.#pick();
    if (existing) {
      change.set(existing, null);
      writes.push({ $type: `${APPLY}#delete`, collection: COLLECTION, rkey: existing.split("/")[1] });
    }
    const creates = 1 + Math.floor(this.#random() * 8);
    for (let i = 0; i < creates; i += 1) {
      const [rkey, value] = [this.#fresh(), this.#record()];
      change.set(`${COLLECTION}/${rkey}`, await cidOf(value));
      writes.push({ $type: `${APPLY}#create`, collection: COLLECTION, rkey, value });
    }
    return { nsid: APPLY, body: { writes }, change };
  }
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([path, cid]) => b.get(path) === cid);
}

export interface Signup {
  readonly handle: string;
  readonly email: string;
}

/** Creates accounts one after the other until the server is gone. */
export class Creator {
  readonly #prefix: string;
  #count = 0;
  /** The DIDs of those that were answered. */
  readonly answered = new Map<string, Signup>();
  /** The one whose answer never came. */
  open: Signup | undefined;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** A refusal, where the disk `mayRefuse`, is as if no answer had come. */
  async run(server: string, { mayRefuse = false }: { mayRefuse?: boolean } = {}): Promise<void> {
    for (;;) {
      this.#count += 1;
      const name = `${this.#prefix}${this.#count}`;
      this.open = { handle: `${name}.test`, email: `${name}@example.com` };
      const answer = await signUp(server, this.open).catch(() => undefined);
      if (!answer || (mayRefuse && answer.status === 503)) return;
      if (answer.status !== 200)
        throw new Error(`createAccount answers ${answer.status} ${JSON.stringify(answer.json)}`);
      this.answered.set(String(answer.json.did), this.open);
      this.open = undefined;
    }
  }
}

export function signUp(server: string, { handle, email }: Signup) {
  const body = { handle, email, password: PASSWORD };
  return xrpc(server, "com.atproto.server.createAccount", { body, alone: true });
}
