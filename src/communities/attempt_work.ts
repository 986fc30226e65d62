/** The work on one attempt while its lease is held: what its machine has done, and what is stored of it. */
import type { ProvisionStep, ProvisionWork } from "../actors/mod.ts";
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type {
  Attempt,
  AttemptArchive,
  AttemptError,
  AttemptState,
  AttemptStore,
  CommunityAuditEntry,
  NewCommunity,
} from "../storage/mod.ts";
import type { SealedRequest } from "./provision_request.ts";
import { required, type StepChange, type StepContext, type StepParts } from "./steps/step_context.ts";
import { performStep } from "./steps/steps.ts";
import { planTakeBack, type TakeBackPlan, type TakenBack, takeBack } from "./take_back.ts";

/** Longer than a run may take; a start ends those of the process before. */
export const ATTEMPT_LEASE_MS = 600_000;

export interface AttemptWorkOptions {
  readonly parts: StepParts;
  readonly store: Pick<AttemptStore, "secrets" | "keep" | "graduate" | "noteError" | "release">;
  readonly archive: Pick<AttemptArchive, "archive">;
  readonly logger: Logger;
  readonly attempt: Attempt;
  readonly fence: number;
  /** Who has it done: a DID, or "admin" with a name. */
  readonly actor: string;
}

export class AttemptWork implements ProvisionWork {
  readonly #options: AttemptWorkOptions;
  #attempt: Attempt;

  constructor(options: AttemptWorkOptions) {
    this.#options = options;
    this.#attempt = options.attempt;
  }

  perform(step: ProvisionStep): Promise<StepChange> {
    return performStep(step, this.#context());
  }

  async keep(
    state: AttemptState,
    { outcome, refusal }: { outcome: unknown; refusal: unknown },
  ): Promise<void> {
    const { store, fence, parts } = this.#options;
    const { id } = this.#attempt;
    const now = parts.now();
    if (state === "graduated") {
      const audit = [this.#audit(state, { did: this.#attempt.did, community: this.#attempt.did })];
      this.#attempt = await store.graduate(id, fence, { community: this.#community(), audit, now });
      return;
    }
    const change = state === "reaping" ? tombstoneOf(outcome) : ((outcome ?? {}) as StepChange);
    const did = change.did ?? this.#attempt.did;
    this.#attempt = await store.keep(id, fence, {
      ...change,
      ...(refusal === undefined ? {} : { lastError: this.#errorOf(refusal) }),
      ...(refusal === undefined && state === "reaping" ? { lastError: this.#attempt.lastError } : {}),
      state,
      audit: [this.#audit(state, did === null ? {} : { did })],
      now,
      leaseMs: ATTEMPT_LEASE_MS,
    });
  }

  planReaping(): Promise<TakeBackPlan> {
    return planTakeBack(this.#context());
  }

  takeBack(outcome: unknown): Promise<TakenBack> {
    return takeBack(this.#context(), outcome as TakeBackPlan);
  }

  async archive({ outcome, refusal }: { outcome: unknown; refusal: unknown }): Promise<void> {
    const { archive, fence, parts } = this.#options;
    const { id, did } = this.#attempt;
    const { tombstoneCid, words } = (outcome ?? {
      tombstoneCid: null,
      words: ["it was refused before anything permanent was made"],
    }) as TakenBack;
    const why = refusal === undefined ? [] : [`refused: ${this.#errorOf(refusal).message}`];
    const note = [...why, ...words].join("; ");
    const detail = { note, tombstoneCid, ...(did === null ? {} : { did }) };
    await archive.archive(id, fence, {
      note,
      tombstoneCid,
      audit: [this.#audit("archived", detail)],
      now: parts.now(),
    });
  }

  /** Throws nothing: the run has come to its end. Why an attempt is taken back stays noted. */
  async close({ problem, refusal }: { problem: unknown; refusal: unknown }): Promise<void> {
    const { store, fence, logger, parts } = this.#options;
    const { id, state, lastError } = this.#attempt;
    try {
      if (problem !== undefined && (state !== "reaping" || lastError === null)) {
        const { at: _, ...error } = this.#errorOf(refusal ?? problem);
        await store.noteError(id, fence, { ...error, now: parts.now() });
      }
      await store.release(id, fence);
    } catch (error) {
      if (!isKithError(error, "lease_lost")) {
        logger.error("Could not close an attempt at a community", { attempt: id, error });
      }
    }
  }

  #context(): StepContext {
    const secrets = this.#options.store.secrets(this.#attempt.id);
    const request = (secrets.request ?? {}) as SealedRequest;
    return { ...this.#options.parts, attempt: this.#attempt, secrets, request };
  }

  #community(): NewCommunity {
    const { did, kind, handle, pdsEndpoint, pdsDid, rotationKey, caller } = this.#attempt;
    return {
      did: required(did, "DID"),
      mode: kind === "mint" ? "minted" : "provisioned",
      kind: kind === "mint" ? null : kind,
      handle,
      pdsEndpoint,
      pdsDid,
      rotationKey,
      createdBy: caller,
    };
  }

  /** Of a defect of ours nothing is told but that it happened; it is logged where it is answered. */
  #errorOf(thrown: unknown): AttemptError {
    const at = this.#options.parts.now();
    const step = this.#attempt.state;
    if (isKithError(thrown)) return { step, code: thrown.code, message: thrown.message, at };
    return { step, code: "internal", message: "Internal Server Error", at };
  }

  #audit(
    state: AttemptState,
    detail: Record<string, unknown> & { community?: string | null },
  ): CommunityAuditEntry {
    const { community = null, ...rest } = detail;
    const { actor, parts, attempt } = this.#options;
    return {
      community,
      attempt: attempt.id,
      actor,
      action: `attempt.${state}`,
      detail: rest,
      at: parts.now(),
    };
  }
}

function tombstoneOf(outcome: unknown): StepChange {
  const { tombstone } = outcome as TakeBackPlan;
  return tombstone === undefined ? {} : { tombstoneCid: tombstone.cid };
}
