/** Types of src/atproto that storage speaks; to be imported from there once the repo part has landed. */
import type { Cid } from "../atproto/mod.ts";

export interface Head {
  readonly commit: Cid;
  readonly rev: string;
  readonly data: Cid;
}

export type EventKind = "commit" | "sync" | "identity" | "account";
