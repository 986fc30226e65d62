import { buildDidDocument, type DidDocument, pdsEndpointOf, signingKeyOf } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PlcDirectory } from "../identity/mod.ts";
import { type Account, type AccountLookup, isPresent } from "./account.ts";

/** What a change of status needs of the accounts store. */
export interface StatusRows extends Pick<AccountLookup, "account"> {
  signer(did: string): { readonly didKey: string };
  /** Durable when it resolves; nothing where the account is not deactivated any more. */
  setDeleteAfter(did: string, at: number | null): Promise<unknown>;
}

type Status = "active" | "deactivated";
type DownStatus = "takendown" | "suspended";

/** What a change of status needs of the repo registry. */
export interface StatusRepos {
  /** Throws account_takendown, account_suspended where the status is none of `from` in the repo's turn. */
  setStatus(
    did: string,
    status: Status | DownStatus,
    options: { from: readonly (Status | DownStatus)[]; ownerStatus?: Status },
  ): Promise<unknown>;
}

export interface AccountStatusOptions {
  readonly accounts: StatusRows;
  readonly repos: StatusRepos;
  readonly plc: Pick<PlcDirectory, "data">;
  /** `resolve` is asked for DIDs that are not in the PLC directory. `forget` drops what is cached of a document. */
  readonly documents: {
    resolve(did: string, options: { fresh: boolean }): Promise<DidDocument>;
    forget(did: string): void;
  };
  /** The server's public URL, an origin without a slash at its end. */
  readonly publicUrl: string;
  /** The did:key of the server's PLC rotation key. */
  readonly rotationKey: string;
  /** Called when an account has got a time to be deleted at. */
  readonly onDeleteAfter?: () => void;
}

/** What the owner may make of an account: a takedown is not among it, and is not undone by any of it. */
const OWNERS_STATUSES: readonly Status[] = ["active", "deactivated"];

/** Turns accounts on and off, as their owners ask, and says whether their DID leads here. */
export class AccountStatus {
  readonly #options: AccountStatusOptions;

  constructor(options: AccountStatusOptions) {
    this.#options = options;
  }

  /**
   * Makes an account active, once its DID names this server and the key that it signs with here, and a did:plc lets this
   * server sign its operations. Of an active account it
   * tells the network again. Throws KithError invalid_request (the DID does not lead here), account_not_found,
   * account_takendown, account_suspended, upstream_failure, timeout.
   */
  async activate(did: string): Promise<void> {
    await this.#account(did);
    const problem = await this.#problemNow(did);
    if (problem !== undefined) {
      throw new KithError("invalid_request", `Could not activate the account "${did}": ${problem}`);
    }
    // What is cached may still name the server that the account has left.
    this.#options.documents.forget(did);
    await this.#options.repos.setStatus(did, "active", { from: OWNERS_STATUSES });
  }

  /**
   * Makes an account inactive until it is activated again, or deleted at `deleteAfter` (milliseconds since 1970). One that
   * is taken down stays so, and is found deactivated when that is lifted; the time of its deletion counts from then on.
   * Throws KithError account_not_found; account_takendown, account_suspended where that comes at the same moment.
   */
  async deactivate(did: string, { deleteAfter }: { deleteAfter?: number } = {}): Promise<void> {
    const { state } = await this.#account(did);
    const { repos } = this.#options;
    if (state === "takendown" || state === "suspended") {
      await repos.setStatus(did, state, { from: [state], ownerStatus: "deactivated" });
    } else await repos.setStatus(did, "deactivated", { from: OWNERS_STATUSES });
    await this.#options.accounts.setDeleteAfter(did, deleteAfter ?? null);
    if (deleteAfter !== undefined) this.#options.onDeleteAfter?.();
  }

  /** Whether `activate` would find the DID in order; false also where nobody could be asked. */
  async isDidValid(did: string): Promise<boolean> {
    try {
      return (await this.#problemNow(did)) === undefined;
    } catch (error) {
      if (error instanceof KithError) return false;
      throw error;
    }
  }

  async #account(did: string): Promise<Account> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw new KithError("account_not_found", "Account not found");
    return account;
  }

  /** Fresh: the change that this waits for has been made a moment ago. */
  async #problemNow(did: string): Promise<string | undefined> {
    const { plc, documents, rotationKey } = this.#options;
    if (!did.startsWith("did:plc:"))
      return this.#problemOf(did, await documents.resolve(did, { fresh: true }));
    const data = await plc.data(did);
    // As the reference: without it this server could change no handle, and sign no move away again. An owner who wants
    // the last word has a key before it, and may take it out later: what is active stays so.
    if (!data.rotationKeys.includes(rotationKey)) {
      return `its PLC data does not have this server's rotation key "${rotationKey}"`;
    }
    return this.#problemOf(did, buildDidDocument(did, data));
  }

  #problemOf(did: string, document: DidDocument): string | undefined {
    const { accounts, publicUrl } = this.#options;
    const endpoint = pdsEndpointOf(document, { allowHttp: publicUrl.startsWith("http:") });
    if (endpoint !== publicUrl) {
      const named = endpoint === undefined ? "no server" : `"${endpoint}"`;
      return `its DID document names ${named} as its PDS, not "${publicUrl}"`;
    }
    const { didKey } = accounts.signer(did);
    const key = signingKeyOf(document);
    if (key !== didKey) return `its DID document has the signing key "${key ?? "none"}", not "${didKey}"`;
    return undefined;
  }
}

/** Reads `deleteAfter` of a request: milliseconds since 1970. Throws KithError invalid_request. */
export function parseDeleteAfter(text: string): number {
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new KithError("invalid_request", `Not a time: "${text.slice(0, 100)}"`);
  return at;
}
