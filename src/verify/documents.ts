/** DID documents as the network has them, asked for ahead of their use, a few at a time. */
import type { DidDocument } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import type { VerifyOptions } from "./sources.ts";

const AT_ONCE = 8;
/** After so many failures one after the other nobody is asked any more. */
const FAILURES_MAX = 5;

/** `gone`: the DID cannot be resolved any more, in words. Neither: it was not asked, or could not be. */
export type DocumentAnswer =
  | { readonly document: DidDocument }
  | { readonly gone: string }
  | { readonly unread: string };

export class Documents {
  readonly #document: VerifyOptions["document"];
  readonly #waiting: (() => void)[] = [];
  #asking = 0;
  #failures = 0;
  /** Documents that could not be read, with the last reason. */
  unread = 0;
  reason = "";

  constructor(document: VerifyOptions["document"]) {
    this.#document = document;
  }

  /** Never rejects. */
  async of(did: string): Promise<DocumentAnswer> {
    const document = this.#document;
    if (!document) return { unread: "not asked" };
    if (this.#asking >= AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#asking += 1;
    try {
      if (this.#failures >= FAILURES_MAX) throw new Error(this.reason);
      const answer = { document: await document(did) };
      this.#failures = 0;
      return answer;
    } catch (error) {
      const { message } = error as Error;
      if (isKithError(error, "did_not_found") || isKithError(error, "did_deactivated"))
        return { gone: message };
      this.#failures += 1;
      this.unread += 1;
      this.reason = message;
      return { unread: message };
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#asking -= 1;
    }
  }
}
