import { isKithError, KithError } from "../errors.ts";
import type { LexiconResolver, ResolvedLexicon } from "./lexicon_resolver.ts";

/** A lexicon as it was found. */
export interface LexiconRow extends ResolvedLexicon {
  /** Milliseconds since 1970. */
  readonly fetchedAt: number;
}

/** Where lexicons are kept over a restart. */
export interface LexiconRows {
  find(nsid: string): LexiconRow | undefined;
  /** Bounded: the one that was fetched longest ago goes first. */
  keep(row: LexiconRow): Promise<void>;
}

/** Finds the lexicon of any NSID: for records, and for whatever else is described by one. */
export interface LexiconSource {
  /** Throws KithError lexicon_not_found, upstream_failure, timeout, busy, shutting_down. */
  find(nsid: string): Promise<ResolvedLexicon>;
}

export interface LexiconCacheOptions {
  readonly resolver: LexiconResolver;
  readonly rows: LexiconRows;
  /** Age from which a lexicon is fetched again in the background. */
  readonly freshMs: number;
  /** Told where a lexicon could not be kept. */
  readonly onProblem?: (nsid: string, error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Older than this, a lexicon is used only where it cannot be fetched again. https://atproto.com/specs/permission#permission-sets */
export const LEXICON_STALE_MS = 24 * 3_600_000;
/** Older than this it is not used any more. */
export const LEXICON_KEPT_MS = 90 * 24 * 3_600_000;
/** How long it is not asked again for what was not there, or could not be asked. */
export const LEXICON_FAILED_MS = 60_000;
/** Look-ups at once, and those that wait for their turn. */
export const LEXICON_LOOKUPS_MAX = 6;
export const LEXICON_WAITING_MAX = 100;
const FAILURES_MAX = 10_000;

/** Lexicons of the network with a memory: each is looked up once at a time, and failures are not repeated at once. */
export class LexiconCache implements LexiconSource {
  readonly #options: LexiconCacheOptions;
  readonly #now: () => number;
  readonly #underWay = new Map<string, Promise<ResolvedLexicon>>();
  readonly #failures = new Map<string, { readonly error: KithError; readonly until: number }>();
  readonly #turns: (() => void)[] = [];
  readonly #keeping = new Set<Promise<void>>();
  #running = 0;
  #isStopped = false;

  constructor(options: LexiconCacheOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  async find(nsid: string): Promise<ResolvedLexicon> {
    if (this.#isStopped) throw new KithError("shutting_down", `Could not resolve the lexicon "${nsid}"`);
    const row = this.#options.rows.find(nsid);
    const age = row === undefined ? Number.POSITIVE_INFINITY : this.#now() - row.fetchedAt;
    if (row !== undefined && age < this.#options.freshMs) return row;
    const loading = this.#load(nsid);
    if (row === undefined || age >= LEXICON_KEPT_MS) return await loading;
    if (age >= LEXICON_STALE_MS) return await loading.catch(() => row);
    // The old one still serves.
    loading.catch(() => undefined);
    return row;
  }

  /** Keeps nothing any more, and resolves when what is being kept is there. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#keeping);
  }

  #load(nsid: string): Promise<ResolvedLexicon> {
    const running = this.#underWay.get(nsid);
    if (running) return running;
    const failure = this.#failures.get(nsid);
    if (failure && this.#now() < failure.until) return Promise.reject(failure.error);
    if (this.#turns.length >= LEXICON_WAITING_MAX) {
      const why = `${LEXICON_WAITING_MAX} look-ups wait already`;
      return Promise.reject(new KithError("busy", `Could not resolve the lexicon "${nsid}": ${why}`));
    }
    const loading = this.#loadInTurn(nsid).finally(() => this.#underWay.delete(nsid));
    this.#underWay.set(nsid, loading);
    return loading;
  }

  async #loadInTurn(nsid: string): Promise<ResolvedLexicon> {
    if (this.#running >= LEXICON_LOOKUPS_MAX) await new Promise<void>((go) => this.#turns.push(go));
    else this.#running += 1;
    try {
      const found = await this.#options.resolver.resolve(nsid);
      this.#failures.delete(nsid);
      this.#keep(found);
      return found;
    } catch (error) {
      if (isKithError(error)) this.#noteFailure(nsid, error);
      throw error;
    } finally {
      const next = this.#turns.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }

  #keep(found: ResolvedLexicon): void {
    if (this.#isStopped) return;
    const keeping = this.#options.rows
      .keep({ ...found, fetchedAt: this.#now() })
      .catch((error: unknown) => this.#options.onProblem?.(found.nsid, error))
      .finally(() => this.#keeping.delete(keeping));
    this.#keeping.add(keeping);
  }

  #noteFailure(nsid: string, error: KithError): void {
    this.#failures.delete(nsid);
    this.#failures.set(nsid, { error, until: this.#now() + LEXICON_FAILED_MS });
    const oldest = this.#failures.keys().next().value;
    if (this.#failures.size > FAILURES_MAX && oldest !== undefined) this.#failures.delete(oldest);
  }
}
