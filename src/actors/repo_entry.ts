import type { RepoActor } from "./repo_actor.ts";
import type { RepoBlobs } from "./repo_blobs.ts";

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
  readonly blobs: RepoBlobs<unknown>;
}
