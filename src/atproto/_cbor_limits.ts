/** Containers within containers; beyond what any record may have (`data_model.ts`), far below the stack's end. */
export const CBOR_DEPTH_MAX = 256;

/** The only tag of DRISL: a CID. */
export const TAG_CID = 42;

/**
 * A map of exactly one text entry `$link` or `$bytes` is how JSON spells a CID or bytes. As a CBOR map it would turn
 * into something else on its way through JSON, so neither side of the codec lets it through.
 */
export function looksLikeWrapper(key: string, value: unknown): boolean {
  return (key === "$link" || key === "$bytes") && typeof value === "string";
}
