/**
 * Making communities. A caller and an idempotency key own an attempt: the call that is repeated goes on with it, whatever
 * stopped the one before, and two at once do the work once. What happens in which order: actors/provision_machine.ts.
 */
import { randomBytes } from "node:crypto";
import { toBase32 } from "@atcute/multibase";
import type { ProvisionActors, ProvisionEnd } from "../actors/mod.ts";
import { type ErrorCode, isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Attempt, AttemptArchive, AttemptQuotas, AttemptStore, CommunityStore } from "../storage/mod.ts";
import { type Abilities, abilitiesOf } from "./abilities.ts";
import { ATTEMPT_LEASE_MS, AttemptWork } from "./attempt_work.ts";
import type { HostKind } from "./hosts/host.ts";
import {
  type MintRequest,
  type PlannedRequest,
  type ProvisionRequest,
  planMint,
  planProvision,
} from "./provision_request.ts";
import type { StepParts } from "./steps/step_context.ts";

const ID_BYTES = 16;
const RECOVERY_HINT =
  "This password is told once, and was forgotten here with this answer: sign in at the account's server and change it. If it is lost, reset it there by the account's e-mail address, or move the community away with your rotation key.";

export interface AttemptsOptions {
  readonly store: AttemptStore;
  readonly archive: AttemptArchive;
  readonly communities: Pick<CommunityStore, "find">;
  readonly actors: ProvisionActors;
  readonly parts: StepParts;
  readonly quotas: AttemptQuotas;
  /** Where a request leads. Throws KithErrors invalid_request, host_not_allowed. */
  readonly chooseHost: (request: Pick<ProvisionRequest, "hosting" | "pdsEndpoint">) => {
    kind: HostKind;
    endpoint: string;
  };
  /** Throws where the caller may make no (more) communities; asked before an attempt is begun, not when it is gone on with. */
  readonly checkCreator: (caller: string) => void | Promise<void>;
  /** did:keys of this server, which are nobody's rotation key. */
  readonly ownKeys: readonly string[];
  readonly logger: Logger;
}

export interface MintAnswer extends Abilities {
  readonly attemptId: string;
  readonly communityDid: string;
}

export interface ProvisionAnswer extends MintAnswer {
  readonly status: "activated";
  readonly handle: string;
  readonly pdsEndpoint: string;
  /** Of a stock account, in the first answer that tells of its end. */
  readonly rootCredentials?: {
    readonly handle: string;
    readonly password: string;
    readonly recoveryHint: string;
  };
}

export class Attempts {
  readonly #options: AttemptsOptions;

  constructor(options: AttemptsOptions) {
    this.#options = options;
  }

  /** Ends the leases of a process that is no more. Nothing is gone on with before somebody asks. */
  async start(): Promise<void> {
    await this.#options.store.releaseAll();
  }

  /**
   * Makes a community, or goes on with one. Throws KithError invalid_request, invalid_handle, handle_not_available,
   * unsupported_domain, invalid_invite_code, invalid_email, idempotency_conflict, community_quota, host_not_allowed,
   * communities_disabled, lease_lost, upstream_failure (nothing is left behind), provisioning_failed (to be called again).
   */
  async provision(caller: string, request: ProvisionRequest): Promise<ProvisionAnswer> {
    const { chooseHost, ownKeys } = this.#options;
    const planned = planProvision(request, { host: chooseHost(request), ownKeys });
    return await this.#provisioned(await this.#carryOut(caller, planned));
  }

  async #provisioned(attempt: Attempt): Promise<ProvisionAnswer> {
    const password = await this.#options.store.takePassword(attempt.id);
    const handle = attempt.handle ?? "";
    return {
      status: "activated",
      ...answerOf(attempt),
      handle,
      pdsEndpoint: attempt.pdsEndpoint ?? "",
      ...(password === null ? {} : { rootCredentials: { handle, password, recoveryHint: RECOVERY_HINT } }),
    };
  }

  /** Makes an identity alone, or goes on with it. Throws as `provision`. */
  async mint(caller: string, request: MintRequest): Promise<MintAnswer> {
    const planned = planMint(request, { ownKeys: this.#options.ownKeys });
    return answerOf(await this.#carryOut(caller, planned));
  }

  /** The caller's attempts that were begun and are not over, or whose end nobody was told. */
  open(caller: string): Attempt[] {
    return this.#options.store.openOf(caller);
  }

  /** Goes on with one of these, as it was asked for. Throws as `provision`, and KithError invalid_request where it is none of the caller's. */
  async resume(caller: string, id: string): Promise<ProvisionAnswer | MintAnswer> {
    const { store } = this.#options;
    const attempt = store.find(id);
    if (attempt?.caller !== caller) {
      throw new KithError("invalid_request", `You have no attempt "${id.slice(0, 100)}" that is open`);
    }
    const { idempotencyKey, kind, handle, pdsEndpoint, rotationKey, requestDigest: digest } = attempt;
    const request = (store.secrets(id).request ?? {}) as PlannedRequest["request"];
    const planned = { idempotencyKey, kind, handle, pdsEndpoint, rotationKey, request, digest };
    const graduated = await this.#carryOut(caller, planned);
    return kind === "mint" ? answerOf(graduated) : await this.#provisioned(graduated);
  }

  /** The attempt, graduated. */
  async #carryOut(caller: string, planned: PlannedRequest): Promise<Attempt> {
    const { store } = this.#options;
    const attempt = await this.#begin(caller, planned);
    if (attempt.state === "graduated") return this.#stillThere(attempt);
    // A crash has left it between its refusal and its end: that comes first, then it is tried anew.
    const isOver = attempt.state === "failed";
    const end = await this.#run(attempt, caller);
    if (isOver && end.at === "archived") return await this.#carryOut(caller, planned);
    const now = store.find(attempt.id);
    if (end.at === "graduated" && now) return now;
    throw this.#problemOf(now ?? attempt, end);
  }

  #stillThere(attempt: Attempt): Attempt {
    const { did, idempotencyKey } = attempt;
    if (did !== null && this.#options.communities.find(did)) return attempt;
    throw new KithError(
      "idempotency_conflict",
      `The community "${did}", which was made by the idempotency key "${idempotencyKey}", has been deleted: choose a new key for another one`,
    );
  }

  async #begin(caller: string, planned: PlannedRequest): Promise<Attempt> {
    const { store, checkCreator, quotas, parts } = this.#options;
    const { idempotencyKey, kind, handle, pdsEndpoint, rotationKey, request, digest } = planned;
    const known = store.byKey(caller, idempotencyKey);
    if (!known) await checkCreator(caller);
    const id = newAttemptId();
    const now = parts.now();
    const attempt =
      known ??
      (await store.begin({
        ...{ id, caller, idempotencyKey, requestDigest: digest, kind, handle, pdsEndpoint, rotationKey },
        ...{ request, quotas, now },
        audit: [
          {
            attempt: id,
            actor: caller,
            action: "attempt.planned",
            detail: { kind, handle, pdsEndpoint },
            at: now,
          },
        ],
      }));
    if (attempt.requestDigest === digest) return attempt;
    throw new KithError(
      "idempotency_conflict",
      `The idempotency key "${idempotencyKey}" was used for another request: choose a new one for another community`,
    );
  }

  async #run(attempt: Attempt, caller: string): Promise<ProvisionEnd> {
    const { actors } = this.#options;
    try {
      return await actors.run(attempt.id, () => this.#lease(attempt.id, caller));
    } catch (error) {
      if (!isKithError(error, "timeout")) throw error;
      throw new KithError(
        "provisioning_failed",
        "The community is still being made: call again with the same idempotency key to have the answer",
        { cause: error },
      );
    }
  }

  async #lease(id: string, caller: string) {
    const { store, archive, parts, logger } = this.#options;
    const fence = await store.lease(id, { now: parts.now(), leaseMs: ATTEMPT_LEASE_MS });
    const attempt = store.find(id);
    if (fence === undefined || !attempt) {
      throw new KithError(
        "lease_lost",
        `The attempt "${id}" is being worked on by another call: try again later`,
      );
    }
    const work = new AttemptWork({ parts, store, archive, logger, attempt, fence, actor: caller });
    return { kind: attempt.kind, state: attempt.state, work };
  }

  /** What the caller is told of an end without a community. */
  #problemOf(attempt: Attempt, { at, problem, refusal }: ProvisionEnd): unknown {
    const name = attempt.handle ?? attempt.did ?? attempt.id;
    const { lastError } = attempt;
    if (at === "archived") {
      if (refusal !== undefined) return refusal;
      if (lastError) return new KithError(lastError.code as ErrorCode, lastError.message);
      return new KithError("provisioning_failed", `The attempt at the community "${name}" was taken back`);
    }
    const isOwn = !isKithError(problem) || problem.code === "lease_lost" || problem.code === "shutting_down";
    if (isOwn || attempt.did === null) return problem;
    const action = `Could not make the community "${name}"`;
    const message =
      refusal === undefined
        ? `${action} yet, in the step after "${attempt.state}": ${problem.message}. Call again with the same idempotency key to go on`
        : `${action}: ${messageOf(refusal)}. What was made of it could not be taken back yet: ${problem.message}. Call again with the same idempotency key`;
    return new KithError("provisioning_failed", message, {
      cause: problem,
      ...(problem.retryAfterS === undefined ? {} : { retryAfterS: problem.retryAfterS }),
    });
  }
}

function messageOf(error: unknown): string {
  return isKithError(error) ? error.message : "Internal Server Error";
}

function answerOf(attempt: Attempt): MintAnswer {
  const { id, did, kind, lastError } = attempt;
  const isMint = kind === "mint";
  const { canDo, cannotDo } = abilitiesOf({
    mode: isMint ? "minted" : "provisioned",
    kind: isMint ? null : kind,
  });
  return {
    attemptId: id,
    communityDid: did ?? "",
    canDo,
    cannotDo: lastError?.step === "declared" ? [...cannotDo, lastError.message] : cannotDo,
  };
}

/** 26 characters that nobody guesses. */
function newAttemptId(): string {
  return toBase32(randomBytes(ID_BYTES));
}
