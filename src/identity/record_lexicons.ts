/** What judges the records of a type: a bundled schema, or the lexicon that the network has for it. */
import {
  isBundledLexicon,
  knownRecordLexicon,
  type LexiconDoc,
  type LexiconRef,
  lexiconReferences,
  parseLexiconDoc,
  type RecordLexicon,
  recordLexiconOf,
  recordToJson,
} from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import type { LexiconSource } from "./lexicon_cache.ts";

/** A lexicon, or why there is none to judge by. */
export type FoundLexicon = { readonly lexicon: RecordLexicon } | { readonly problem: string };

export interface RecordLexiconsOptions {
  /** Undefined where the network is not asked. */
  readonly source: LexiconSource | undefined;
  /** Age from which a lexicon is looked at again. */
  readonly freshMs: number;
  /** Told of what nobody has foreseen in a lexicon. */
  readonly onDefect?: (nsid: string, error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** For tests: in the place of LEXICON_WAIT_MS and LEXICON_PATIENT_WAIT_MS. */
  readonly waitMs?: number;
  readonly patientWaitMs?: number;
}

/** How long a write waits for a lexicon that nobody has asked for yet, and one that is to be validated in any case. */
export const LEXICON_WAIT_MS = 1_000;
export const LEXICON_PATIENT_WAIT_MS = 10_000;
/** Documents that one record type takes, and how far the last may be from the first. */
export const LEXICON_DOCUMENTS_MAX = 32;
export const LEXICON_DEPTH_MAX = 8;
/** How long what was made of the documents is used without a look at them. */
const LOOK_MS = 60_000;
/** Record types in memory, and those being made. */
const KNOWN_MAX = 512;
const MAKING_MAX = 64;

interface Known {
  readonly found: FoundLexicon;
  readonly until: number;
}

export class RecordLexicons {
  readonly #options: RecordLexiconsOptions;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();
  readonly #making = new Map<string, Promise<FoundLexicon>>();

  constructor(options: RecordLexiconsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * The lexicon of a record type; never rejects. With `patient` it waits for the network for some seconds, otherwise a moment, and
   * not at all where the network had no answer before: that is asked again in the background.
   */
  async find(nsid: string, { patient }: { patient: boolean }): Promise<FoundLexicon> {
    const lexicon = knownRecordLexicon(nsid);
    if (lexicon) return { lexicon };
    if (isBundledLexicon(nsid)) return { problem: `the lexicon "${nsid}" is not of a record type` };
    const { source, waitMs = LEXICON_WAIT_MS, patientWaitMs = LEXICON_PATIENT_WAIT_MS } = this.#options;
    if (source === undefined) return { problem: `the lexicon "${nsid}" is not known here` };
    const known = this.#known.get(nsid);
    if (known && this.#now() < known.until) return known.found;
    const making = this.#make(nsid, source);
    if (known && (!patient || "lexicon" in known.found)) return known.found;
    const found = await inTime(making, patient ? patientWaitMs : waitMs);
    if (found) return found;
    const late = { problem: `the lexicon "${nsid}" could not be resolved in time` };
    // Writes after this one wait no more; what is being made takes its place when it comes.
    if (!this.#known.has(nsid)) this.#remember(nsid, late, this.#now());
    return late;
  }

  #make(nsid: string, source: LexiconSource): Promise<FoundLexicon> {
    const running = this.#making.get(nsid);
    if (running) return running;
    if (this.#making.size >= MAKING_MAX) {
      return Promise.resolve({ problem: `the lexicon "${nsid}" could not be asked for: too many are` });
    }
    const making = makeLexicon(nsid, source)
      .catch((error: unknown) => {
        this.#options.onDefect?.(nsid, error);
        return { problem: `the lexicon "${nsid}" could not be used` };
      })
      .then((found) => this.#remember(nsid, found, this.#now() + Math.min(LOOK_MS, this.#options.freshMs)))
      .finally(() => this.#making.delete(nsid));
    this.#making.set(nsid, making);
    return making;
  }

  #remember(nsid: string, found: FoundLexicon, until: number): FoundLexicon {
    this.#known.delete(nsid);
    this.#known.set(nsid, { found, until });
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > KNOWN_MAX && oldest !== undefined) this.#known.delete(oldest);
    return found;
  }
}

/** Undefined where the time is up. */
async function inTime(making: Promise<FoundLexicon>, waitMs: number): Promise<FoundLexicon | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), waitMs);
  try {
    return await Promise.race([making, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function makeLexicon(nsid: string, source: LexiconSource): Promise<FoundLexicon> {
  const { docs, problems } = await collect(nsid, source);
  if (!docs.has(nsid)) return { problem: problems.get(nsid) ?? `there is no lexicon "${nsid}"` };
  try {
    return { lexicon: recordLexiconOf(nsid, docs) };
  } catch (error) {
    if (!isKithError(error)) throw error;
    return { problem: [error.message, ...problems.values()].slice(0, 2).join(": ") };
  }
}

interface Collected {
  readonly docs: Map<string, LexiconDoc>;
  /** Of documents that are not there or of no use. */
  readonly problems: Map<string, string>;
}

/** The document of a record type, and those that its definitions refer to, level by level. */
async function collect(nsid: string, source: LexiconSource): Promise<Collected> {
  const docs = new Map<string, LexiconDoc>();
  const problems = new Map<string, string>();
  const seen = new Set<string>();
  let level: LexiconRef[] = [{ nsid, name: "main" }];
  for (let depth = 0; level.length > 0; depth++) {
    const names = new Set(level.map((ref) => ref.nsid).filter((name) => !docs.has(name)));
    const wanted = [...names].filter((name) => !problems.has(name));
    const room = depth > LEXICON_DEPTH_MAX ? 0 : LEXICON_DOCUMENTS_MAX - docs.size - problems.size;
    for (const name of wanted.slice(Math.max(room, 0)))
      problems.set(name, `"${name}" is one document too many`);
    await Promise.all(
      wanted.slice(0, Math.max(room, 0)).map(async (name) => {
        const doc = await load(name, source);
        if (typeof doc === "string") problems.set(name, doc);
        else docs.set(name, doc);
      }),
    );
    const next = level.flatMap(({ nsid, name }) => {
      const doc = docs.get(nsid);
      return doc ? lexiconReferences(doc, name) : [];
    });
    level = next.filter(({ nsid, name }) => {
      const id = `${nsid}#${name}`;
      return !seen.has(id) && seen.add(id);
    });
  }
  return { docs, problems };
}

/** A document, or what is wrong with it. */
async function load(nsid: string, source: LexiconSource): Promise<LexiconDoc | string> {
  try {
    const { bytes } = await source.find(nsid);
    return parseLexiconDoc(recordToJson(bytes), { nsid });
  } catch (error) {
    if (isKithError(error)) return error.message;
    throw error;
  }
}
