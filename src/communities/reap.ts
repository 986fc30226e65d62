/** Attempts that nobody goes on with: which they are, what would be done about them, and doing it. */
import type { ProvisionActors } from "../actors/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Attempt, AttemptArchive, AttemptStore } from "../storage/mod.ts";
import { ATTEMPT_LEASE_MS, AttemptWork } from "./attempt_work.ts";
import type { StepParts } from "./steps/step_context.ts";
import { planTakeBack } from "./take_back.ts";

/** An attempt that somebody may still go on with is left alone for so long. */
export const REAP_IDLE_MS = 30 * 60_000;

export interface ReaperOptions {
  readonly store: AttemptStore;
  readonly archive: AttemptArchive;
  readonly actors: ProvisionActors;
  readonly parts: StepParts;
  readonly logger: Logger;
}

export interface ReapVerdict {
  readonly attempt: Attempt;
  readonly reaped: boolean;
  /** What would be done, or was done, or why nothing is. */
  readonly verdict: string;
}

export class Reaper {
  readonly #options: ReaperOptions;

  constructor(options: ReaperOptions) {
    this.#options = options;
  }

  /** Attempts that nobody works on and that nothing happened to for so long, oldest first. */
  list({ idleMs }: { idleMs: number }): Attempt[] {
    const { store, actors, parts } = this.#options;
    return store.stuck({ now: parts.now(), idleMs }).filter(({ id }) => !actors.isRunning(id));
  }

  /** Says what would be done; nothing is. Throws KithError attempt_not_found, lease_lost. */
  async judge(id: string, { idleMs }: { idleMs: number }): Promise<ReapVerdict> {
    const attempt = this.#stuck(id, idleMs);
    if ("verdict" in attempt) return attempt;
    const { store, parts } = this.#options;
    const secrets = store.secrets(id);
    try {
      const { words } = await planTakeBack({ ...parts, attempt, secrets, request: {} });
      return { attempt, reaped: false, verdict: `would be archived: ${words.join("; ")}` };
    } catch (error) {
      if (!isKithError(error)) throw error;
      return { attempt, reaped: false, verdict: error.message };
    }
  }

  /** Takes it back. What stands against it is the verdict. Throws KithError attempt_not_found, lease_lost, busy. */
  async reap(id: string, { idleMs, operator }: { idleMs: number; operator: string }): Promise<ReapVerdict> {
    const attempt = this.#stuck(id, idleMs);
    if ("verdict" in attempt) return attempt;
    const { actors, archive } = this.#options;
    const actor = operator === "" ? "admin" : `admin:${operator}`;
    const end = await actors.run(id, () => this.#lease(id, actor));
    if (end.at === "archived") {
      return { attempt, reaped: true, verdict: `archived: ${archive.find(id)?.note ?? "it is gone"}` };
    }
    if (!isKithError(end.problem)) throw end.problem;
    return { attempt, reaped: false, verdict: end.problem.message };
  }

  #stuck(id: string, idleMs: number): Attempt | ReapVerdict {
    const { store, actors, parts } = this.#options;
    const attempt = store.find(id);
    if (!attempt) throw new KithError("attempt_not_found", `There is no attempt "${id.slice(0, 100)}"`);
    if (actors.isRunning(id)) throw workedOn(id);
    if (attempt.state === "graduated") {
      return { attempt, reaped: false, verdict: `it has become the community "${attempt.did}"` };
    }
    const now = parts.now();
    if (store.stuck({ now, idleMs: 0, id }).length === 0) throw workedOn(id);
    if (store.stuck({ now, idleMs, id }).length > 0) return attempt;
    const minutes = Math.floor((now - attempt.updatedAt) / 60_000);
    return {
      attempt,
      reaped: false,
      verdict: `it went on ${minutes} minutes ago: somebody may go on with it`,
    };
  }

  async #lease(id: string, actor: string) {
    const { store, archive, parts, logger } = this.#options;
    const fence = await store.lease(id, { now: parts.now(), leaseMs: ATTEMPT_LEASE_MS });
    const attempt = store.find(id);
    if (fence === undefined || !attempt) throw workedOn(id);
    const work = new AttemptWork({ parts, store, archive, logger, attempt, fence, actor });
    return { kind: attempt.kind, state: "reaping" as const, work };
  }
}

function workedOn(id: string): KithError {
  return new KithError("lease_lost", `The attempt "${id}" is being worked on by another call`);
}
