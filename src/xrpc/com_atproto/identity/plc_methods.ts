/** com.atproto.identity: what the DID of an account that lives here should say, and the PLC operation that says it. */
import {
  ComAtprotoIdentityGetRecommendedDidCredentials,
  ComAtprotoIdentitySubmitPlcOperation,
} from "@atcute/atproto";
import {
  type AnyPlcOperation,
  cidOfOperation,
  type PlcOperation,
  parsePlcOperation,
} from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { PlcRefusedError } from "../../../identity/mod.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsIdentity } from "../../oauth_rules.ts";
import { type Accounts, type AccountView, findAccount } from "../repo_access.ts";

type Awaitable<T> = T | Promise<T>;

const PDS_TYPE = "AtprotoPersonalDataServer";

export interface PlcMethodsOptions {
  readonly accounts: Accounts & {
    /** The account's signing key. */
    signer(did: string): { readonly didKey: string };
    account(did: string): Awaitable<{ readonly recoveryKey: string | null } | undefined>;
  };
  readonly plc: {
    submit(did: string, operation: AnyPlcOperation): Promise<void>;
    lastOperation(did: string): Promise<AnyPlcOperation>;
  };
  readonly dids: {
    /** Drops what is cached of a DID. */
    forget(did: string): void;
  };
  readonly repos: {
    /** Resolves once the #identity event is durable. */
    announceIdentity(did: string): Promise<void>;
  };
  readonly changes: {
    /** Runs a task while nothing else changes the identity of the DID. */
    exclusively<T>(did: string, task: () => Promise<T>): Promise<T>;
  };
  /** did:keys in falling order of authority; the last is the server's own, which must be among those of an account. */
  readonly rotationKeys: readonly string[];
  readonly publicUrl: string;
}

export function plcMethods(options: PlcMethodsOptions): Method[] {
  return [getRecommendedDidCredentials(options), submitPlcOperation(options)];
}

function getRecommendedDidCredentials(options: PlcMethodsOptions): Method {
  return method(ComAtprotoIdentityGetRecommendedDidCredentials.mainSchema, {
    auth: "access",
    oauth: "any",
    handler: async (call) => {
      const { did, handle } = await accountOf(options, callerDid(call));
      return {
        // A did:web has none.
        ...(did.startsWith("did:plc:") ? await rotationKeysOf(did, options) : {}),
        alsoKnownAs: [`at://${handle}`],
        verificationMethods: { atproto: options.accounts.signer(did).didKey },
        services: { atproto_pds: { type: PDS_TYPE, endpoint: options.publicUrl } },
      };
    },
  });
}

function submitPlcOperation(options: PlcMethodsOptions): Method {
  return method(ComAtprotoIdentitySubmitPlcOperation.mainSchema, {
    auth: "full",
    oauth: needsIdentity("*"),
    handler: (call) => {
      const did = callerDid(call);
      return options.changes.exclusively(did, () => handIn(did, { json: call.input.operation, options }));
    },
  });
}

async function handIn(
  did: string,
  { json, options }: { json: unknown; options: PlcMethodsOptions },
): Promise<void> {
  const account = await accountOf(options, did);
  if (!did.startsWith("did:plc:")) throw refusal(`"${did}" is not in the PLC directory`);
  const operation = parsePlcOperation(json);
  if (operation.type !== "plc_operation") throw refusal(`its type is "${operation.type}"`);
  checkOperation(operation, { account, options });
  await submit(did, { operation, plc: options.plc });
  options.dids.forget(did);
  await options.repos.announceIdentity(did);
}

/**
 * The owner's own key from sign-up comes first, so that who follows the recommendation does not lose it. It is also told
 * apart, beyond the lexicon: who moves away takes the others out of the DID, and must not take this one for the server's.
 */
async function rotationKeysOf(
  did: string,
  { accounts, rotationKeys }: PlcMethodsOptions,
): Promise<{ rotationKeys: readonly string[]; recoveryKey?: string }> {
  const recoveryKey = (await accounts.account(did))?.recoveryKey;
  if (!recoveryKey || rotationKeys.includes(recoveryKey)) return { rotationKeys };
  return { rotationKeys: [recoveryKey, ...rotationKeys], recoveryKey };
}

async function accountOf({ accounts }: PlcMethodsOptions, did: string): Promise<AccountView> {
  const account = await findAccount(accounts, did);
  if (!account) throw new KithError("account_not_found", "Account not found");
  return account;
}

/** An operation with which the account would not work here is refused: its owner could hardly mend it. */
function checkOperation(
  operation: PlcOperation,
  { account, options }: { account: AccountView; options: PlcMethodsOptions },
): void {
  const { rotationKeys, services, verificationMethods, alsoKnownAs } = operation;
  const own = options.rotationKeys.at(-1) ?? "";
  if (!rotationKeys.includes(own)) throw refusal("Rotation keys do not include server's rotation key");
  if (services.atproto_pds?.type !== PDS_TYPE) throw refusal("Incorrect type on atproto_pds service");
  if (services.atproto_pds.endpoint !== options.publicUrl) {
    throw refusal("Incorrect endpoint on atproto_pds service");
  }
  if (verificationMethods.atproto !== options.accounts.signer(account.did).didKey) {
    throw refusal("Incorrect signing key");
  }
  if (alsoKnownAs[0] !== `at://${account.handle}`) throw refusal("Incorrect handle in alsoKnownAs");
}

/** Where the answer was lost, the directory is asked whether the operation is there. */
async function submit(
  did: string,
  { operation, plc }: { operation: PlcOperation; plc: PlcMethodsOptions["plc"] },
): Promise<void> {
  try {
    await plc.submit(did, operation);
  } catch (error) {
    if (error instanceof PlcRefusedError) throw error;
    const last = await plc.lastOperation(did).catch(() => undefined);
    if (last === undefined || cidOfOperation(last) !== cidOfOperation(operation)) throw error;
  }
}

function refusal(why: string): KithError {
  return new KithError("invalid_request", `Could not submit the PLC operation: ${why}`);
}
