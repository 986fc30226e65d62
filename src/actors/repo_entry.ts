import type { RepoActor } from "./repo_actor.ts";

/** An open repo, as the registry keeps it. */
export interface Entry {
  readonly actor: RepoActor;
  /** Uses that must not lose the file: exports, uploads. */
  pins: number;
  closing: boolean;
  /** Resolves when it has left the registry: its file is closed, its open row taken back. */
  readonly gone: PromiseWithResolvers<void>;
  marked: boolean;
  usedAt: number;
  /** Uploads whose file is in place and whose row is not yet durable, by CID. */
  readonly uploads: Map<string, number>;
  /** Uploads on their way into the account's folder. */
  readonly moves: Set<Promise<void>>;
  /** Blobs whose row is gone and whose file is being removed, by CID. */
  readonly dying: Map<string, Promise<void>>;
}
