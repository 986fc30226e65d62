import {
  type AnyPlcOperation,
  createUpdate,
  type PlcOperation,
  type PlcState,
  parsePlcOperation,
  type Signer,
  validateOperation,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PlcDirectory } from "../identity/mod.ts";
import { type Account, type AccountLookup, isPresent } from "./account.ts";
import type { AccountMail, MailWish } from "./account_mail.ts";
import type { EmailTokens } from "./email_tokens.ts";

export interface PlcSigningOptions {
  readonly accounts: Pick<AccountLookup, "account">;
  readonly mail: Pick<AccountMail, "sendCode">;
  readonly tokens: Pick<EmailTokens, "check" | "take">;
  readonly plc: Pick<PlcDirectory, "auditLog">;
  /** The server's PLC rotation key. */
  readonly rotationSigner: Signer;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** What an owner wants the DID to say; what is absent stays as it is. Values as they came. */
export interface WantedPlcState {
  readonly token?: string | undefined;
  readonly rotationKeys?: readonly string[] | undefined;
  readonly alsoKnownAs?: readonly string[] | undefined;
  readonly verificationMethods?: unknown;
  readonly services?: unknown;
}

/** Signs PLC operations for the owner of an account, who shows a mailed code: with one an account moves away. */
export class PlcSigning {
  readonly #options: PlcSigningOptions;

  constructor(options: PlcSigningOptions) {
    this.#options = options;
  }

  /** Mails the code. Throws KithError invalid_request (no mail set up, no address, not a did:plc), rate_limited. */
  async requestCode(did: string, wish: MailWish = {}): Promise<void> {
    await this.#options.mail.sendCode(await this.#account(did), "plc_operation", wish);
  }

  /**
   * The signed operation that follows the present one; it is not handed in. The code is used up only where the directory
   * would take the operation. Throws KithError invalid_request, invalid_token, expired_token, upstream_failure, timeout.
   */
  async sign(did: string, wanted: WantedPlcState): Promise<PlcOperation> {
    const { tokens, plc, rotationSigner: signer, now = Date.now } = this.#options;
    await this.#account(did);
    const { token } = wanted;
    if (!token) {
      throw new KithError("invalid_request", "email confirmation token required to sign PLC operations");
    }
    await tokens.check(did, "plc_operation", token);
    const log = await plc.auditLog(did);
    const last = log.findLast(({ nullified }) => !nullified)?.operation;
    if (last === undefined) throw refusal(`"${did}" is not in the PLC directory`);
    if (last.type === "plc_tombstone") throw refusal(`"${did}" has been given up`);
    const change = (state: PlcState) => checkedState(last, changed(state, wanted));
    const operation = createUpdate(last, { signer, change });
    validateOperation(log, operation, { did, nowMs: now() });
    await tokens.take(did, "plc_operation", token);
    return operation;
  }

  async #account(did: string): Promise<Account> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw new KithError("account_not_found", "Account not found");
    if (!did.startsWith("did:plc:")) throw refusal(`"${did}" is not in the PLC directory`);
    return account;
  }
}

function changed(state: PlcState, wanted: WantedPlcState): Record<keyof PlcState, unknown> {
  return {
    rotationKeys: wanted.rotationKeys ?? state.rotationKeys,
    alsoKnownAs: wanted.alsoKnownAs ?? state.alsoKnownAs,
    verificationMethods: wanted.verificationMethods ?? state.verificationMethods,
    services: wanted.services ?? state.services,
  };
}

/** The shape is looked at before anything is signed. */
function checkedState(last: AnyPlcOperation, state: Record<keyof PlcState, unknown>): PlcState {
  parsePlcOperation({ type: "plc_operation", ...state, prev: last.prev, sig: "" });
  return state as unknown as PlcState;
}

function refusal(why: string): KithError {
  return new KithError("invalid_request", `Could not sign a PLC operation: ${why}`);
}
