import { randomBytes } from "node:crypto";
import {
  createGenesis,
  encodeCbor,
  generatePrivateKey,
  type KeyType,
  type PlcOperation,
  type Signer,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { PlcRefusedError } from "../identity/mod.ts";
import { checkDidKey } from "./_did_keys.ts";
import type { Account, Awaitable } from "./account.ts";
import { type BirthRows, Births, isRegistered, type PlcClient, type RepoBirths } from "./births.ts";
import { abandonCommunity, bearCommunity, type CommunityAccount } from "./community_birth.ts";
import { checkEmail } from "./email_address.ts";
import type { HandleClaim, HandleRules } from "./handle_rules.ts";
import { INVITE_CODE_CHARS_MAX } from "./invites.ts";
import {
  checkDid,
  checkOwnHandle,
  checkProof,
  type HandleLookup,
  newKey,
  type ReservedKeyRows,
} from "./move_in.ts";
import { checkNewPassword, type Passwords } from "./passwords.ts";

/** Asks about an invite code, before anything is spent on the sign-up. */
export interface InviteLookup {
  inviteIsUsable(code: string): Awaitable<boolean>;
}

export interface AccountCreatorOptions {
  readonly accounts: BirthRows;
  readonly invites: InviteLookup;
  readonly plc: PlcClient;
  readonly repos: RepoBirths;
  readonly passwords: Passwords;
  readonly handles: HandleRules;
  /** For handles of their own, of accounts that move in. */
  readonly handleResolver: HandleLookup;
  readonly reservedKeys: ReservedKeyRows;
  /** The server's PLC rotation key. */
  readonly rotationSigner: Signer;
  /** PDS_RECOVERY_DID_KEY, a did:key. */
  readonly recoveryKey?: string | undefined;
  /** The server's public URL, an origin without a slash at its end. */
  readonly publicUrl: string;
  readonly keyType: KeyType;
  readonly inviteRequired: boolean;
  /** Called with the DID of an account that could not be completed and must be looked at again. */
  readonly onUnfinished?: (did: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** What a caller of createAccount sends. */
export interface NewAccount {
  readonly handle: string;
  readonly email?: string | undefined;
  readonly password?: string | undefined;
  readonly inviteCode?: string | undefined;
  /** A did:key of the caller's own, which goes before the server's rotation keys. */
  readonly recoveryKey?: string | undefined;
  /** A DID that is there already, whose account moves in. */
  readonly did?: string | undefined;
  readonly plcOp?: unknown;
}

/** Who asks. `did`: whose key has signed the service token that came along. */
export interface AccountClaimant {
  readonly admin: boolean;
  readonly did?: string | undefined;
}

/** What a member does about an account that could not be completed at once. */
const NEXT = "sign in";

/** A request that passed every check. */
interface Checked {
  readonly handle: string;
  readonly email: string;
  readonly password: string;
  readonly inviteCode?: string;
  readonly recoveryKey?: string;
}

/**
 * The birth of an account, in an order that a crash cannot hurt: a "creating" row; the DID in the PLC directory; the
 * repo file, which decides; the row "active". What is found half-way is finished or removed by `finishCreations`.
 */
export class AccountCreator {
  readonly #options: AccountCreatorOptions;
  readonly #births: Births;

  constructor(options: AccountCreatorOptions) {
    this.#options = options;
    this.#births = new Births(options);
  }

  /** True while an account of the DID is being made here. */
  isInFlight(did: string): boolean {
    return this.#births.isInFlight(did);
  }

  /**
   * Creates an account with a new did:plc and an empty repo, durable and announced.
   *
   * Throws KithError invalid_request, invalid_password, invalid_handle, unsupported_domain, handle_not_available,
   * invalid_invite_code, upstream_failure (the directory did not answer; nothing is left behind), busy, storage_full.
   * With a DID that is there already the account moves in: an empty repo, deactivated and told to nobody until it is
   * activated. Then also auth_required, already_exists.
   */
  async create(request: NewAccount, caller: AccountClaimant): Promise<Account> {
    if (request.did !== undefined) return await this.#moveIn(request.did, request, caller);
    const checked = await this.#check(request, caller);
    const passwordHash = await this.#options.passwords.hash(checked.password);
    const { accounts, keyType, rotationSigner, publicUrl } = this.#options;
    const privateKey = generatePrivateKey(keyType, randomBytes(32));
    const { did, operation } = createGenesis({
      signingKey: signerFromPrivateKey(keyType, privateKey).didKey,
      rotationKeys: this.#rotationKeys(checked.recoveryKey),
      handle: checked.handle,
      pdsEndpoint: publicUrl,
      signer: rotationSigner,
    });
    return await this.#births.during(did, async () => {
      await accounts.beginAccount({
        did,
        handle: checked.handle,
        email: checked.email,
        passwordHash,
        signingKey: { type: keyType, privateKey },
        genesisOperation: encodeCbor(operation),
        ...(checked.inviteCode === undefined ? {} : { inviteCode: checked.inviteCode }),
        ...(checked.recoveryKey === undefined ? {} : { recoveryKey: checked.recoveryKey }),
        now: (this.#options.now ?? Date.now)(),
      });
      await this.#register(checked.handle, did, operation);
      return await this.#births.complete(did, { handle: checked.handle, state: "active", next: NEXT });
    });
  }

  /**
   * The account of a community, active, without password and e-mail address: nobody signs in to it. Its DID is in the PLC
   * directory already. Repeatable: what is half-made is completed, what is there is answered. Throws KithError invalid_request,
   * invalid_handle, unsupported_domain, handle_not_available, already_exists, upstream_failure, timeout, busy, storage_full.
   */
  createForCommunity(community: CommunityAccount): Promise<Account> {
    return bearCommunity(community, { ...this.#options, births: this.#births });
  }

  /**
   * Takes a half-made account of a community back, where its repo is not decided; `there`: it is, and can be deleted as every
   * account. Throws KithError busy.
   */
  abandonForCommunity(did: string): Promise<"none" | "abandoned" | "there"> {
    return abandonCommunity(did, { ...this.#options, births: this.#births });
  }

  async #moveIn(did: string, request: NewAccount, caller: AccountClaimant): Promise<Account> {
    const { accounts, reservedKeys, keyType, passwords } = this.#options;
    checkDid(did);
    if (request.recoveryKey) {
      const why = "a recovery key is named in the PLC operation of the move";
      throw new KithError("invalid_request", `Unsupported input: "recoveryKey": ${why}`);
    }
    const known = caller.did === did ? await accounts.account(did) : undefined;
    if (known !== undefined && known.state !== "deleted") {
      throw new KithError("already_exists", `Could not create the account "${did}": it exists already`);
    }
    const checked = await this.#check(request, caller);
    // As late as in the reference: who has no proof yet learns whether the rest would do, and need not begin in vain.
    checkProof(did, caller.did);
    const passwordHash = await passwords.hash(checked.password);
    const { handle, email, inviteCode } = checked;
    const reserved = await reservedKeys.find(did);
    const { type, privateKey } = reserved ?? newKey(keyType);
    return await this.#births.during(did, async () => {
      await accounts.beginAccount({
        did,
        handle,
        email,
        passwordHash,
        signingKey: { type, privateKey },
        genesisOperation: null,
        ...(inviteCode === undefined ? {} : { inviteCode }),
        now: (this.#options.now ?? Date.now)(),
      });
      const account = await this.#births.complete(did, { handle, state: "deactivated", next: NEXT });
      if (reserved) await reservedKeys.forget(did);
      return account;
    });
  }

  /** Everything that can be refused before anything is spent or stored. */
  async #check(request: NewAccount, caller: AccountClaimant): Promise<Checked> {
    const { accounts, inviteRequired, invites } = this.#options;
    if (request.plcOp !== undefined) throw new KithError("invalid_request", 'Unsupported input: "plcOp"');
    const { password } = request;
    if (password === undefined) throw new KithError("invalid_request", "Password is required");
    checkNewPassword(password);
    // Forms send an empty field for what was not filled in.
    const inviteCode = request.inviteCode || undefined;
    if (inviteRequired && inviteCode === undefined && !caller.admin) {
      throw new KithError("invalid_invite_code", "No invite code provided");
    }
    const email = checkEmail(request.email);
    const claim = caller.admin ? "admin" : inviteCode === undefined ? "open" : "invited";
    const handle = await this.#checkHandle(request, claim);
    const recoveryKey = request.recoveryKey || undefined;
    if (recoveryKey !== undefined) checkDidKey(recoveryKey, "Could not use the recovery key");
    if (inviteCode !== undefined && !(await isUsable(invites, inviteCode))) {
      throw new KithError("invalid_invite_code", "Provided invite code not available");
    }
    if ((await accounts.accountByHandle(handle)) !== undefined) {
      throw new KithError("handle_not_available", `Handle already taken: ${handle}`);
    }
    if ((await accounts.accountByEmail(email)) !== undefined) {
      throw new KithError("invalid_request", `Email already taken: ${email}`);
    }
    return {
      handle,
      email,
      password,
      ...(inviteCode === undefined ? {} : { inviteCode }),
      ...(recoveryKey === undefined ? {} : { recoveryKey }),
    };
  }

  async #checkHandle({ handle, did }: NewAccount, claim: HandleClaim): Promise<string> {
    const { handles, handleResolver: resolver } = this.#options;
    if (did === undefined) return handles.check(handle, claim);
    return await checkOwnHandle(handle, { did, claim, handles, resolver });
  }

  /** Highest authority first: the caller's own key, the operator's recovery key, the server's. */
  #rotationKeys(callersKey: string | undefined): string[] {
    const keys = [callersKey, this.#options.recoveryKey, this.#options.rotationSigner.didKey];
    return [...new Set(keys.filter((key) => key !== undefined))];
  }

  /** Submits the genesis operation. Where it did not land, nothing of the account is left. */
  async #register(handle: string, did: string, operation: PlcOperation): Promise<void> {
    const { accounts, plc } = this.#options;
    try {
      await plc.submit(did, { ...operation });
    } catch (error) {
      // Where it is not a refusal, only the answer may have been lost; the operation itself is there then.
      const isOpen = !(error instanceof PlcRefusedError);
      if (isOpen && (await isRegistered(plc, did).catch(() => false))) return;
      await accounts.abandonAccount(did).catch(() => this.#options.onUnfinished?.(did));
      throw registrationError(handle, error);
    }
  }
}

async function isUsable(invites: InviteLookup, code: string): Promise<boolean> {
  return code.length <= INVITE_CODE_CHARS_MAX && (await invites.inviteIsUsable(code));
}

function registrationError(handle: string, error: unknown): unknown {
  if (!(error instanceof KithError)) return error;
  const action = `Could not create the account "${handle}"`;
  if (error instanceof PlcRefusedError) {
    const message = `${action}: the PLC directory refused its operation: ${error.reason}`;
    return new KithError("invalid_request", message, { cause: error });
  }
  const message = `${action}: the PLC directory could not be reached. Nothing was created; try again later`;
  return new KithError("upstream_failure", message, { cause: error });
}
