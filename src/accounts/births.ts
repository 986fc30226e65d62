/** What all births of accounts have in common: what they need, which are under way, and their last part. */
import type { KeyType } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { PlcDirectory } from "../identity/mod.ts";
import { type Account, type AccountLookup, type Awaitable, isPresent } from "./account.ts";

/** What the birth of an account needs of the accounts store. Every change is durable when its promise resolves. */
export interface BirthRows extends AccountLookup {
  /**
   * A row in state "creating": reserved names, the sealed key, the genesis operation, the use of the invite code and the
   * open-repo row, in one transaction. Throws KithError handle_not_available, already_exists (the DID), invalid_request
   * (e-mail address taken), invalid_invite_code.
   */
  beginAccount(account: {
    did: string;
    handle: string;
    email: string | null;
    /** Empty where there is no password. */
    passwordHash: string;
    signingKey: { type: KeyType; privateKey: Uint8Array };
    /** Null where the DID is there already. */
    genesisOperation: Uint8Array | null;
    inviteCode?: string;
    /** A did:key: the PLC rotation key of the owner's own. */
    recoveryKey?: string;
    now: number;
  }): Promise<unknown>;
  /** Removes a "creating" row and gives its names and its invite use back. */
  abandonAccount(did: string): Promise<unknown>;
  finishCreation(did: string, state: "active" | "deactivated"): Promise<unknown>;
}

/** What the birth of an account needs of the PLC directory. */
export type PlcClient = Pick<PlcDirectory, "submit" | "data">;

/** What the birth of an account needs of the repo registry. */
export interface RepoBirths {
  /**
   * Writes the file with the genesis commit and its events, durable, and hands the events to the sequencer; of an account
   * that moves in it is deactivated, and without events. Repeatable: what is there already stays, and only what is missing
   * is done.
   */
  createRepo(did: string): Promise<unknown>;
  /** True where the account's file is there, be it without a commit: it is made only once the DID is registered. */
  hasRepo(did: string): Awaitable<boolean>;
}

export interface BirthsOptions {
  readonly accounts: Pick<BirthRows, "account" | "finishCreation">;
  readonly repos: RepoBirths;
  readonly onUnfinished?: (did: string) => void;
}

/** The births that are under way, and their last part, which is the same for all of them. */
export class Births {
  readonly #options: BirthsOptions;
  readonly #inFlight = new Set<string>();

  constructor(options: BirthsOptions) {
    this.#options = options;
  }

  isInFlight(did: string): boolean {
    return this.#inFlight.has(did);
  }

  async during<T>(did: string, work: () => Promise<T>): Promise<T> {
    this.#inFlight.add(did);
    try {
      return await work();
    } finally {
      this.#inFlight.delete(did);
    }
  }

  /** The repo file, which decides, and the row. `next`: what its owner does once that could not be done at once. */
  async complete(
    did: string,
    { handle, state, next }: { handle: string; state: "active" | "deactivated"; next: string },
  ): Promise<Account> {
    const { accounts, repos, onUnfinished } = this.#options;
    try {
      await repos.createRepo(did);
      await accounts.finishCreation(did, state);
    } catch (error) {
      // The DID is public and its file may be decided: it is completed later, never taken back.
      onUnfinished?.(did);
      if (!(error instanceof KithError)) throw error;
      const why = `${error.message}. It is completed as soon as the server can: ${next} then`;
      throw new KithError(error.code, `Could not complete the account "${handle}" yet: ${why}`, {
        cause: error,
      });
    }
    const account = await accounts.account(did);
    if (!isPresent(account)) throw new Error(`The account ${did} is absent right after its creation`);
    return account;
  }
}

/** True where the PLC directory knows the DID. Throws where the directory does not answer. */
export async function isRegistered(plc: Pick<PlcClient, "data">, did: string): Promise<boolean> {
  try {
    await plc.data(did);
    return true;
  } catch (error) {
    if (isKithError(error, "did_not_found") || isKithError(error, "did_deactivated")) return false;
    throw error;
  }
}
