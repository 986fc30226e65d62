/**
 * Taking an attempt back: what is there of it is looked at first, and then its DID is tombstoned, its half-made account
 * removed. Nothing that is in use is touched, and nothing that the caller's own key has changed.
 */
import {
  type AnyPlcOperation,
  cidOfOperation,
  plcStateOf,
  type Signer,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { PlcRefusedError } from "../identity/mod.ts";
import { buildTombstone, cidOfStored, lastOf, stands, type Tombstone } from "./plc_operations.ts";
import { accountOf, hostOf, type StepContext } from "./steps/step_context.ts";

/** How long the directory lets the first rotation key take a tombstone back. */
const UNDO_HOURS = 72;

export interface TakeBackPlan {
  /** To be sent; its CID is stored first. */
  readonly tombstone?: Tombstone;
  /** Of one that stands already. */
  readonly tombstoneCid: string | null;
  readonly removeAccount: boolean;
  /** What was found, and what is to be done about it, in words. */
  readonly words: readonly string[];
}

export interface TakenBack {
  readonly tombstoneCid: string | null;
  readonly words: readonly string[];
}

/**
 * Changes nothing. Throws KithError invalid_request where the community is active, or may be: it is to be gone on with.
 * Also what the directory and, where it matters, the host throw.
 */
export async function planTakeBack(context: StepContext): Promise<TakeBackPlan> {
  const { attempt, plc } = context;
  const { did, kind } = attempt;
  const nothing = { tombstoneCid: null, removeAccount: false };
  if (did === null || attempt.genesis === null) {
    return { ...nothing, words: ["nothing permanent was made"] };
  }
  const log = await plc.auditLog(did);
  const last = lastOf(log);
  if (last === undefined) return { ...nothing, words: [`the DID "${did}" was never registered`] };
  if (kind === "mint") {
    return { ...nothing, words: [`the identity "${did}" is its owner's, whose key alone rules it`] };
  }
  if (attempt.tombstoneCid !== null && stands(log, attempt.tombstoneCid)) {
    const words = [`the DID "${did}" has its tombstone`, ...wordsOfUndo()];
    return { tombstoneCid: attempt.tombstoneCid, removeAccount: true, words };
  }
  const isOurs = ownCids(context).includes(cidOfOperation(last));
  if (!isOurs) {
    const leadsThere = leadsTo(last, attempt.pdsEndpoint);
    if (leadsThere) refuseActive(context, await found(context, { mustKnow: false }));
    const words = [`the DID "${did}" was changed by another of its keys, and is left as it is`];
    // Where it still leads to the account, its owner may want that: by e-mail they can get into it.
    return { ...nothing, removeAccount: !leadsThere, words };
  }
  const mayBeActive = kind === "native" || cidOfOperation(last) !== cidOfStored(attempt.genesis);
  const there = await found(context, { mustKnow: mayBeActive });
  refuseActive(context, there);
  if (there === "taken over") {
    const words = [`the account of "${did}" is active with another password: both are left as they are`];
    return { ...nothing, words };
  }
  const signer = subordinateOf(context, last);
  if (signer === undefined) {
    return {
      ...nothing,
      removeAccount: true,
      words: [`the DID "${did}" has no key of ours, and is left as it is`],
    };
  }
  const words = [`the DID "${did}" gets a tombstone`, ...wordsOfUndo(), "the half-made account is removed"];
  return { tombstone: buildTombstone(last, signer), tombstoneCid: null, removeAccount: true, words };
}

/** Throws what the directory throws; of the account as much is removed as its host allows, of one here all, or it is tried again. */
export async function takeBack(context: StepContext, plan: TakeBackPlan): Promise<TakenBack> {
  const sent =
    plan.tombstone === undefined ? plan.tombstoneCid : await sendTombstone(context, plan.tombstone);
  const words =
    sent === null && plan.tombstone ? ["the DID was changed meanwhile by its owner's key"] : plan.words;
  const removed = plan.removeAccount ? [await removeAccount(context)] : [];
  return { tombstoneCid: sent, words: [...words, ...removed] };
}

/** Its CID; null where the owner's key was faster. */
async function sendTombstone(
  { attempt, plc }: StepContext,
  { operation, cid }: Tombstone,
): Promise<string | null> {
  const did = attempt.did ?? "";
  try {
    await plc.submit(did, operation);
    return cid;
  } catch (error) {
    if (!(error instanceof PlcRefusedError)) throw error;
    const last = lastOf(await plc.auditLog(did));
    if (last === undefined || cidOfOperation(last) === operation.prev) throw error;
    return cidOfOperation(last) === cid ? cid : null;
  }
}

async function removeAccount(context: StepContext): Promise<string> {
  try {
    return await hostOf(context).removeHalfMade(accountOf(context));
  } catch (error) {
    if (!(error instanceof KithError) || context.attempt.kind === "native") throw error;
    return `what there is of the account could not be removed: ${error.message}`;
  }
}

/**
 * What there is of the account. `taken over`: it is active, and its password is not ours any more, so nobody can go on with the
 * attempt, and somebody uses the account.
 */
async function found(
  context: StepContext,
  { mustKnow }: { mustKnow: boolean },
): Promise<"none" | "inactive" | "active" | "foreign" | "taken over" | "unknown"> {
  const host = hostOf(context);
  const account = accountOf(context);
  try {
    const state = await host.hasAccount(account);
    if (state !== "foreign") return state;
    return (await host.hasAccount({ did: account.did })) === "active" ? "taken over" : state;
  } catch (error) {
    if (mustKnow || !(error instanceof KithError)) throw error;
    return "unknown";
  }
}

function refuseActive(context: StepContext, there: Awaited<ReturnType<typeof found>>): void {
  if (there !== "active") return;
  throw new KithError(
    "invalid_request",
    `The community "${context.attempt.did}" is active at "${hostOf(context).endpoint}": resume it, by its caller's idempotency key`,
  );
}

function leadsTo(last: AnyPlcOperation, endpoint: string | null): boolean {
  const named = plcStateOf(last)?.services.atproto_pds?.endpoint;
  return named !== undefined && URL.parse(named)?.origin === endpoint;
}

function ownCids({ attempt: { genesis, update } }: StepContext): string[] {
  return [genesis, update].filter((bytes) => bytes !== null).map(cidOfStored);
}

/** Our key in the DID, if it has one. */
function subordinateOf(context: StepContext, last: AnyPlcOperation): Signer | undefined {
  const { attempt, secrets, rotationSigner } = context;
  const stock = secrets.subordinateKey;
  const signer = attempt.kind === "native" ? rotationSigner : stock && signerFromPrivateKey("p256", stock);
  const keys = plcStateOf(last)?.rotationKeys ?? [];
  return signer && keys.includes(signer.didKey) ? signer : undefined;
}

function wordsOfUndo(): string[] {
  return [`its owner's rotation key can take that back for ${UNDO_HOURS} hours`];
}
