import {
  buildDidDocument,
  createUpdate,
  type DidDocument,
  handleOf,
  type KeyType,
  normalizeHandle,
  type PlcState,
  pdsEndpointOf,
  plcStateOf,
  type Signer,
  signingKeyOf,
  withHandle,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { type PlcDirectory, PlcRefusedError } from "../identity/mod.ts";
import type { Logger } from "../logger.ts";
import { checkDidKey } from "./_did_keys.ts";
import { DidLocks } from "./_did_locks.ts";
import { type Account, type AccountLookup, type Awaitable, isPresent } from "./account.ts";
import type { HandleClaim, HandleRules } from "./handle_rules.ts";
import { checkOwnHandle, type HandleLookup, type ReservedKey, type ReservedKeyRows } from "./move_in.ts";

/** Between two looks at changes that wait for the directory or for room, in milliseconds. */
export const SETTLE_INTERVAL_MS = 30_000;

/** A change that was begun: either of the two is set. */
export interface BegunChange {
  readonly did: string;
  readonly handle: string | null;
  readonly didKey: string | null;
}

/** Where a change lies from its first step to its end. Each step is durable when its promise resolves. */
export interface IdentityChangeRows {
  /** Throws KithError handle_not_available where the handle is an account's, or reserved for one. */
  begin(change: {
    did: string;
    handle?: string | undefined;
    signingKey?: { didKey: string; type: KeyType; privateKey: Uint8Array } | undefined;
    now: number;
  }): Promise<unknown>;
  find(did: string): Awaitable<BegunChange | undefined>;
  all(): Awaitable<readonly BegunChange[]>;
  abandon(did: string): Promise<unknown>;
}

/** What changes in one go. */
interface Target {
  readonly handle?: string | undefined;
  /** A did:key. */
  readonly signingKey?: string | undefined;
}

export interface IdentityRepos {
  /**
   * Commits the change in the account's file, with its events, and ends what `begin` began; `before` runs while every
   * write of the repo waits.
   */
  changeIdentity(did: string, change: Target & { before?: () => Promise<void> }): Promise<unknown>;
}

export interface IdentityChangesOptions {
  readonly accounts: AccountLookup & { signer(did: string): { readonly didKey: string } };
  readonly rows: IdentityChangeRows;
  readonly repos: IdentityRepos;
  readonly plc: Pick<PlcDirectory, "lastOperation" | "submit">;
  readonly documents: {
    resolve(did: string, options: { fresh: boolean }): Promise<DidDocument>;
    forget(did: string): void;
  };
  readonly handles: HandleRules;
  readonly handleResolver: HandleLookup;
  readonly reservedKeys: Pick<ReservedKeyRows, "find">;
  /** The server's PLC rotation key. */
  readonly rotationSigner: Signer;
  /** The server's public URL, an origin without a slash at its end. */
  readonly publicUrl: string;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The directory may have the operation, and could not be asked. */
class OutcomeUnknown extends KithError {}

/**
 * Changes of handle and of signing key, in an order that a crash cannot hurt: the name reserved, or the key kept; the
 * directory; the account's file with its events, which decides; the accounts. What is found half-way is looked up at the
 * directory: what it has is finished, what it has not is dropped. Never guessed: where it does not answer, the change waits.
 *
 * What was dropped may still come in late, where the directory was slow beyond its time-outs. The DID document is then
 * ahead of the account, and the same change asked for again finds it there and finishes.
 */
export class IdentityChanges {
  readonly #options: IdentityChangesOptions;
  readonly #locks = new DidLocks();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run: Promise<void> | undefined;
  #stopped = false;

  constructor(options: IdentityChangesOptions) {
    this.#options = options;
  }

  /**
   * Gives an account another handle: one of this server's, by its rules, or one that points to the DID. The same one again
   * is told to the network again. Throws KithError account_not_found, invalid_handle, handle_not_available,
   * unsupported_domain, invalid_request (the DID cannot be changed from here), upstream_failure, timeout, busy.
   */
  updateHandle(did: string, text: string, claim: HandleClaim): Promise<void> {
    return this.exclusively(did, async () => {
      const account = await this.#settledAccount(did);
      const { accounts, handles, handleResolver: resolver } = this.#options;
      const isSame = normalizeHandle(text) === account.handle;
      const handle = isSame ? account.handle : await checkOwnHandle(text, { did, claim, handles, resolver });
      const holder = await accounts.accountByHandle(handle);
      if (holder && holder.did !== did) {
        throw new KithError("handle_not_available", `Handle already taken: ${handle}`);
      }
      const begin = isSame ? undefined : { handle };
      await this.#change(account, { target: { handle }, begin });
    });
  }

  /**
   * Gives an account another signing key, which must be one that this server holds: reserved for the DID, or for nobody.
   * Writes of the repo wait meanwhile, so that no commit meets a DID document with another key. The same key again makes
   * sure of all of it. Throws KithErrors as `updateHandle`, and invalid_request for a key that is not held here.
   */
  updateSigningKey(did: string, didKey: string): Promise<void> {
    return this.exclusively(did, async () => {
      const account = await this.#settledAccount(did);
      const isSame = this.#options.accounts.signer(did).didKey === didKey;
      const key = isSame ? undefined : await this.#heldKey(did, didKey);
      await this.#change(account, { target: { signingKey: didKey }, begin: key && { signingKey: key } });
    });
  }

  /** Runs `task` while nothing else changes the identity of the DID. KithError busy where too many wait. */
  exclusively<T>(did: string, task: () => Promise<T>): Promise<T> {
    return this.#locks.run(did, task);
  }

  /** Throws nothing: one look at everything that was begun and not ended: at the start, and again until nothing waits. */
  settleAll(): Promise<void> {
    this.#run ??= this.#settleAll()
      .catch((error: unknown) => {
        this.#options.logger.error("Could not look at changes of identity that were begun", { error });
      })
      .finally(() => {
        this.#run = undefined;
      });
    return this.#run;
  }

  /** Ends it; resolves when a look that is on its way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#run;
  }

  async #settledAccount(did: string): Promise<Account> {
    const begun = await this.#options.rows.find(did);
    if (begun) await this.#settle(begun);
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw new KithError("account_not_found", `Account not found: ${did}`);
    return account;
  }

  async #heldKey(did: string, didKey: string): Promise<ReservedKey> {
    const { reservedKeys } = this.#options;
    checkDidKey(didKey, "Could not sign with");
    const forDid = await reservedKeys.find(did);
    const key = forDid?.didKey === didKey ? forDid : await reservedKeys.find(didKey);
    if (key) return key;
    const why = "this server does not hold it. com.atproto.server.reserveSigningKey makes one";
    throw new KithError("invalid_request", `Could not sign with "${didKey}": ${why}`);
  }

  async #change(
    account: Account,
    { target, begin }: { target: Target; begin: { handle?: string; signingKey?: ReservedKey } | undefined },
  ): Promise<void> {
    const { rows, repos, now = Date.now } = this.#options;
    const { did } = account;
    if (begin) await rows.begin({ did, ...begin, now: now() });
    // Whether the directory may have the change, so that it is not for us to drop.
    let isOpen = false;
    let isOver = false;
    const before = async (): Promise<void> => {
      if (isOver) throw new KithError("timeout", `The change of "${did}" has been given up meanwhile`);
      isOpen = true;
      await this.#point(account, target).catch((error: unknown) => {
        isOpen = error instanceof OutcomeUnknown;
        throw error;
      });
    };
    try {
      // Only a key makes writes wait: a handle is in no commit.
      if (target.signingKey === undefined) await before();
      await repos.changeIdentity(did, target.signingKey === undefined ? target : { ...target, before });
    } catch (error) {
      isOver = true;
      if (isOpen) this.#later();
      else if (begin) await rows.abandon(did).catch(() => this.#later());
      throw error;
    }
  }

  /** Makes the DID say it. Throws OutcomeUnknown where it may say so now; any other error: it does not. */
  async #point(account: Account, target: Target): Promise<void> {
    const { documents } = this.#options;
    if (account.did.startsWith("did:plc:")) await this.#pointPlc(account, target);
    else {
      const document = await documents.resolve(account.did, { fresh: true });
      if (!isInEffect(document, target)) {
        throw refusal(account.did, `its DID document does not name ${nameOf(target)} yet`);
      }
    }
    documents.forget(account.did);
  }

  async #pointPlc({ did, state }: Account, target: Target): Promise<void> {
    const { plc, rotationSigner, publicUrl } = this.#options;
    const last = await plc.lastOperation(did);
    const present = plcStateOf(last);
    if (present === null || last.type === "plc_tombstone") throw refusal(did, "its DID has been given up");
    const document = buildDidDocument(did, present);
    if (isInEffect(document, target)) return;
    if (!present.rotationKeys.includes(rotationSigner.didKey)) {
      throw refusal(did, "its PLC data does not have this server's rotation key");
    }
    // Who has moved away, or has not arrived, changes the DID where it leads.
    const endpoint = pdsEndpointOf(document, { allowHttp: publicUrl.startsWith("http:") });
    if (state !== "active" && endpoint !== publicUrl) {
      throw refusal(did, `its DID document names "${endpoint ?? "no server"}" as its PDS`);
    }
    const change = (before: PlcState) => applied(before, target);
    const operation = createUpdate(last, { signer: rotationSigner, change });
    try {
      await plc.submit(did, operation);
    } catch (error) {
      await this.#lookUp(did, { target, error });
    }
  }

  /** After an answer that was lost, or none: returns where the directory has the change. */
  async #lookUp(did: string, { target, error }: { target: Target; error: unknown }): Promise<void> {
    if (error instanceof PlcRefusedError) {
      throw refusal(did, `the PLC directory refused the operation: ${error.reason}`, error);
    }
    const action = `Could not change the identity of "${did}": the PLC directory could not be reached`;
    let document: DidDocument | undefined;
    try {
      document = await this.#documentNow(did);
    } catch (cause) {
      const message = `${action}. The change is completed as soon as it can be, or dropped; look again later`;
      throw new OutcomeUnknown("upstream_failure", message, { cause });
    }
    if (document && isInEffect(document, target)) return;
    throw new KithError("upstream_failure", `${action}. Nothing has changed; try again later`, {
      cause: error,
    });
  }

  /** Undefined where there is none any more. */
  async #documentNow(did: string): Promise<DidDocument | undefined> {
    const { plc, documents } = this.#options;
    try {
      if (!did.startsWith("did:plc:")) return await documents.resolve(did, { fresh: true });
      const state = plcStateOf(await plc.lastOperation(did));
      return state === null ? undefined : buildDidDocument(did, state);
    } catch (error) {
      if (isKithError(error, "did_not_found") || isKithError(error, "did_deactivated")) return undefined;
      throw error;
    }
  }

  /** Finishes what the directory has, drops what it has not. Throws where it does not answer, or there is no room. */
  async #settle({ did, handle, didKey }: BegunChange): Promise<void> {
    const { accounts, rows, repos, documents, logger } = this.#options;
    const target = { handle: handle ?? undefined, signingKey: didKey ?? undefined };
    const isHere = isPresent(await accounts.account(did));
    const document = isHere ? await this.#documentNow(did) : undefined;
    if (document && isInEffect(document, target)) {
      documents.forget(did);
      await repos.changeIdentity(did, target);
      logger.info("Completed a change of identity that was cut off", { did, ...target });
      return;
    }
    await rows.abandon(did);
    logger.info("Dropped a change of identity that its DID document does not have", { did, ...target });
  }

  async #settleAll(): Promise<void> {
    const { rows, logger } = this.#options;
    for (const { did } of await rows.all()) {
      if (this.#stopped) return;
      const settle = async (): Promise<void> => {
        const begun = await rows.find(did);
        if (begun) await this.#settle(begun);
      };
      await this.exclusively(did, settle).catch((error: unknown) => {
        logger.warn("A change of identity waits to be completed", { did, error });
        this.#later();
      });
    }
  }

  #later(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.settleAll();
    }, SETTLE_INTERVAL_MS);
    // Waiting for another server must not keep the process from ending.
    this.#timer.unref?.();
  }
}

function isInEffect(document: DidDocument, { handle, signingKey }: Target): boolean {
  const hasHandle = handle === undefined || handleOf(document) === handle;
  return hasHandle && (signingKey === undefined || signingKeyOf(document) === signingKey);
}

function applied(state: PlcState, { handle, signingKey }: Target): PlcState {
  const named = handle === undefined ? state : withHandle(state, handle);
  if (signingKey === undefined) return named;
  return { ...named, verificationMethods: { ...named.verificationMethods, atproto: signingKey } };
}

function nameOf({ handle, signingKey }: Target): string {
  return signingKey === undefined ? `the handle "${handle}"` : `the signing key "${signingKey}"`;
}

function refusal(did: string, why: string, cause?: unknown): KithError {
  return new KithError("invalid_request", `Could not change the identity of "${did}": ${why}`, { cause });
}
