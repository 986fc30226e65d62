/** What a restore asks of others: how far the relays are, and where the accounts' DIDs lead. Each is bounded, and none is needed. */
import type { DidDocument } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import type { RelayAnswer } from "./restore_report.ts";

/** What a relay has seen may be so much ahead of what it says: it writes its cursors down from time to time. */
const RELAY_LAG_SEQS = 1_000_000;
/** Seqs above it leave no room for those to come. */
const SEQ_MAX = Number.MAX_SAFE_INTEGER - 10 ** 12;
/** After so many DIDs in a row that could not be resolved nobody is asked any more. */
const FAILURES_MAX = 5;
const TRIES = 2;

export interface RelayClient {
  readonly relays: readonly string[];
  /** The seq that the relay has of this server, from com.atproto.sync.getHostStatus; undefined where it knows none. Bounded in time. */
  seqOf(relay: string): Promise<number | undefined>;
}

/** Asks all relays at once. */
export async function askRelays({ relays, seqOf }: RelayClient): Promise<RelayAnswer[]> {
  return await Promise.all(relays.map((relay) => askRelay(relay, seqOf)));
}

async function askRelay(relay: string, seqOf: RelayClient["seqOf"]): Promise<RelayAnswer> {
  let problem = "";
  for (let tries = 0; tries < TRIES; tries += 1) {
    try {
      const seq = await seqOf(relay);
      if (seq === undefined) return { relay };
      if (Number.isSafeInteger(seq) && seq >= 0 && seq <= SEQ_MAX) return { relay, seq };
      return { relay, problem: `it says that it is at ${seq}, which is no seq that could be continued` };
    } catch (error) {
      if (!isKithError(error)) throw error;
      problem = error.message;
    }
  }
  return { relay, problem };
}

/** Above everything that the network may have seen. */
export function nextSeqAfter(seen: {
  seqs: readonly number[];
  relays: readonly RelayAnswer[];
  /** Unix milliseconds. */
  now: number;
}): number {
  const told = seen.relays.map(({ seq = 0 }) => (seq === 0 ? 0 : seq + RELAY_LAG_SEQS));
  return Math.max(...seen.seqs.map((seq) => seq + 1), ...told.map((seq) => seq + 1), seen.now * 1000);
}

/** Resolves DIDs until it is plain that nobody answers. */
export class Documents {
  readonly #resolve: (did: string) => Promise<DidDocument>;
  #failures = 0;

  constructor(resolve: (did: string) => Promise<DidDocument>) {
    this.#resolve = resolve;
  }

  /** Why nobody is asked any more; undefined as long as answers come. */
  problem: string | undefined;

  /** Undefined where nobody is asked any more. Throws KithError where the DID cannot be resolved. */
  async document(did: string): Promise<DidDocument | undefined> {
    if (this.problem !== undefined) return undefined;
    try {
      const document = await this.#resolve(did);
      this.#failures = 0;
      return document;
    } catch (error) {
      if (!isKithError(error)) throw error;
      const isSilence = error.code === "upstream_failure" || error.code === "timeout";
      this.#failures = isSilence ? this.#failures + 1 : 0;
      if (this.#failures >= FAILURES_MAX) this.problem = error.message;
      throw error;
    }
  }
}
