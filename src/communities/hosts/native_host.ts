/** This server as the host: its accounts, without a password and without a call. */
import {
  type Account,
  type AccountCreator,
  type AccountLookup,
  type HandleRules,
  isPresent,
} from "../../accounts/mod.ts";
import { KithError } from "../../errors.ts";
import type {
  AccountAccess,
  HostClient,
  HostDescription,
  HostSession,
  NewHostAccount,
  RecommendedCredentials,
} from "./host.ts";

/** What a native host needs of the accounts store. */
export interface NativeAccounts extends Pick<AccountLookup, "account" | "accountByHandle"> {
  signer(did: string): { readonly didKey: string };
}

export interface NativeHostOptions {
  readonly accounts: NativeAccounts;
  readonly births: Pick<AccountCreator, "createForCommunity" | "abandonForCommunity">;
  readonly repos: {
    /** Resolves once the deletion is decided. */
    deleteRepo(did: string): Promise<unknown>;
  };
  readonly handles: HandleRules;
  readonly serviceDid: string;
  /** An origin without a slash at its end. */
  readonly publicUrl: string;
  /** As PDS_SERVICE_HANDLE_DOMAINS. */
  readonly handleDomains: readonly string[];
  /** The did:key of the server's PLC rotation key. */
  readonly rotationKey: string;
}

export class NativeHost implements HostClient {
  readonly kind = "native";
  readonly endpoint: string;
  readonly #options: NativeHostOptions;

  constructor(options: NativeHostOptions) {
    this.#options = options;
    this.endpoint = options.publicUrl;
  }

  async describe(): Promise<HostDescription> {
    const { serviceDid: did, handleDomains: domains, publicUrl } = this.#options;
    return { did, domains, inviteRequired: false, phoneRequired: false, publicUrl };
  }

  /** An address and an invite code are of no use here, and ignored: the same request serves any host. */
  async preflight({ handle }: { handle: string; email?: string; inviteCode?: string }): Promise<void> {
    const { handles, accounts } = this.#options;
    const name = handles.check(handle, "open");
    if ((await accounts.accountByHandle(name)) !== undefined)
      throw new KithError("handle_not_available", `Handle already taken: ${name}`);
  }

  async createAccount({ did, handle, native }: NewHostAccount): Promise<void> {
    if (native === undefined)
      throw new Error(`The account "${did}" of this server needs its key and its first operation`);
    await this.#options.births.createForCommunity({ did, handle, ...native });
  }

  async hasAccount({ did }: AccountAccess): Promise<"none" | "inactive" | "active" | "foreign"> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) return "none";
    return account.state === "active" ? "active" : "inactive";
  }

  async recommended({ did }: AccountAccess): Promise<RecommendedCredentials> {
    const { accounts, publicUrl, rotationKey } = this.#options;
    const { handle } = await this.#account(did);
    return {
      rotationKeys: [rotationKey],
      alsoKnownAs: [`at://${handle}`],
      verificationMethods: { atproto: accounts.signer(did).didKey },
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: publicUrl } },
    };
  }

  /** It is born active. */
  async activate({ did }: AccountAccess): Promise<void> {
    const { state } = await this.#account(did);
    if (state !== "active")
      throw new KithError("invalid_request", `Could not activate the account "${did}": it is ${state}`);
  }

  createAppPassword({ did }: AccountAccess & { name: string }): Promise<string> {
    return Promise.reject(withoutPassword(did));
  }

  createSession({ identifier }: { identifier: string; password: string }): Promise<HostSession> {
    return Promise.reject(withoutPassword(identifier));
  }

  /** There is none. */
  async endSession(): Promise<void> {}

  async removeHalfMade({ did }: AccountAccess): Promise<string> {
    const { births } = this.#options;
    const became = await births.abandonForCommunity(did);
    if (became === "none") return "there is no account on this server";
    if (became === "there") await this.deleteAccount(did);
    return "the account on this server is deleted";
  }

  /** For good, with its repo and blobs; the DID stays its owner's. Resolves once it is decided; nothing where there is none. */
  async deleteAccount(did: string): Promise<void> {
    const { accounts, repos } = this.#options;
    if (isPresent(await accounts.account(did))) await repos.deleteRepo(did);
  }

  async #account(did: string): Promise<Account> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw new KithError("account_not_found", "Account not found");
    return account;
  }
}

function withoutPassword(name: string): KithError {
  const message = `The account "${name.slice(0, 300)}" of this server has no password, and needs none`;
  return new KithError("not_supported", message);
}
