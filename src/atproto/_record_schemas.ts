/** The schemas of record types, found by looking through @atcute/bluesky and @atcute/atproto. */
import * as atproto from "@atcute/atproto";
import * as bluesky from "@atcute/bluesky";
import type { BaseSchema } from "@atcute/lexicons/validations";

/** What judges the records of one type. */
export interface RecordLexicon extends BaseSchema {
  readonly type: "record";
  readonly key: BaseSchema;
  readonly object: { readonly shape: { readonly $type: { readonly expected: string } } };
}

/** By the NSID of the record type. */
export const RECORD_SCHEMAS: ReadonlyMap<string, RecordLexicon> = new Map(
  [...Object.values(atproto), ...Object.values(bluesky)].flatMap((module) => {
    const { mainSchema } = module as { mainSchema?: RecordLexicon };
    return mainSchema?.type === "record"
      ? [[mainSchema.object.shape.$type.expected, mainSchema] as const]
      : [];
  }),
);
