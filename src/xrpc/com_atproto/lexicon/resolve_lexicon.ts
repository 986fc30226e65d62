/** com.atproto.lexicon.resolveLexicon, for any lexicon of the network. */
import { ComAtprotoLexiconResolveLexicon } from "@atcute/atproto";
import { recordToJson } from "../../../atproto/mod.ts";
import { type ErrorCode, isKithError, KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";

/** What keeps this server from looking. */
const OURS: ReadonlySet<ErrorCode> = new Set(["busy", "shutting_down"]);

export interface LexiconMethodsOptions {
  /** Without it the method is not served here. */
  readonly source:
    | { find(nsid: string): Promise<{ uri: string; cid: string; bytes: Uint8Array }> }
    | undefined;
}

/** resolveLexicon. Whatever keeps a lexicon from being found is LexiconNotFound, with the reason. */
export function lexiconMethods({ source }: LexiconMethodsOptions): Method[] {
  if (source === undefined) return [];
  return [
    method(ComAtprotoLexiconResolveLexicon.mainSchema, {
      auth: "none",
      handler: async ({ params }) => {
        const { uri, cid, bytes } = await source.find(params.nsid).catch((error: unknown) => {
          if (!isKithError(error) || OURS.has(error.code)) throw error;
          throw new KithError("lexicon_not_found", error.message, { cause: error });
        });
        return { uri, cid, schema: recordToJson(bytes) };
      },
    }),
  ];
}
