/** Wires the lexicons of the network: how they are found, where they are kept, and what judges records by them. */
import type { Config } from "./config/mod.ts";
import { type StartContext, safeFetchOf } from "./engine.ts";
import {
  createLexiconResolver,
  LexiconCache,
  type LexiconResolverOptions,
  type LexiconSource,
  RecordLexicons,
} from "./identity/mod.ts";
import type { LexiconStore } from "./storage/mod.ts";

export interface LexiconFeatures {
  /** Any lexicon by its NSID; undefined where the network is not to be asked. */
  readonly source: LexiconSource | undefined;
  readonly records: RecordLexicons;
}

export function startLexicons(
  { log, onClose }: StartContext,
  parts: { config: Config; rows: LexiconStore; dids: LexiconResolverOptions["dids"] },
): LexiconFeatures {
  const { config, rows, dids } = parts;
  const { lexiconFreshMs: freshMs, resolverTimeoutMs: timeoutMs, backupNameservers } = config;
  const onDefect = (nsid: string, error: unknown): void => {
    log.error("A lexicon could not be used, for a reason that nobody has foreseen", { nsid, error });
  };
  if (!config.lexiconResolution) {
    return { source: undefined, records: new RecordLexicons({ source: undefined, freshMs, onDefect }) };
  }
  const resolver = createLexiconResolver({
    dids,
    safeFetch: safeFetchOf(config),
    timeoutMs,
    backupNameservers,
    authorityDid: config.lexiconAuthorityDid,
    devMode: config.mode === "dev",
    allowHttp: config.allowPrivateNetwork,
  });
  const source = new LexiconCache({
    resolver,
    rows,
    freshMs,
    onProblem: (nsid, error) => log.warn("Could not keep a lexicon", { nsid, error }),
  });
  onClose(() => source.stop());
  return { source, records: new RecordLexicons({ source, freshMs, onDefect }) };
}
