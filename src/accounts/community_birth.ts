import {
  decodeCbor,
  didOfGenesis,
  type KeyType,
  type PlcOperation,
  parsePlcOperation,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { type Account, isPresent } from "./account.ts";
import { type BirthRows, type Births, isRegistered, type PlcClient, type RepoBirths } from "./births.ts";
import type { HandleRules } from "./handle_rules.ts";

/** What the account of a community is made of: its DID is in the directory already. */
export interface CommunityAccount {
  readonly did: string;
  readonly handle: string;
  readonly signingKey: { readonly type: KeyType; readonly privateKey: Uint8Array };
  /** The signed operation, as DRISL. */
  readonly genesis: Uint8Array;
  /** A did:key: the first of the rotation keys, which is the community's own. */
  readonly rotationKey: string;
}

interface Parts {
  readonly accounts: BirthRows;
  readonly plc: Pick<PlcClient, "data">;
  readonly repos: RepoBirths;
  readonly handles: HandleRules;
  readonly publicUrl: string;
  readonly rotationSigner: { readonly didKey: string };
  readonly births: Births;
  readonly now?: () => number;
}

/** As `AccountCreator.createForCommunity`. */
export async function bearCommunity(community: CommunityAccount, parts: Parts): Promise<Account> {
  const { accounts, plc, births, handles, now = Date.now } = parts;
  const { did, signingKey, genesis, rotationKey } = community;
  const action = `Could not create the account "${did.slice(0, 100)}"`;
  const handle = handles.check(community.handle, "open");
  checkGenesis({ ...community, handle }, parts);
  if (births.isInFlight(did)) throw new KithError("busy", `${action}: it is being created`);
  return births.during(did, async () => {
    const known = await accounts.account(did);
    if (known !== undefined && known.state !== "creating") {
      if (isPresent(known)) return known;
      throw new KithError("already_exists", `${action}: it was deleted here`);
    }
    if (known === undefined) {
      if (!(await isRegistered(plc, did))) {
        throw new KithError("upstream_failure", `${action}: the PLC directory does not know the DID`);
      }
      const names = { did, handle, email: null, passwordHash: "", recoveryKey: rotationKey };
      await accounts.beginAccount({ ...names, signingKey, genesisOperation: genesis, now: now() });
    }
    return births.complete(did, { handle, state: "active", next: "try again" });
  });
}

/** As `AccountCreator.abandonForCommunity`. */
export async function abandonCommunity(
  did: string,
  { accounts, repos, births }: Parts,
): Promise<"none" | "abandoned" | "there"> {
  if (births.isInFlight(did)) {
    throw new KithError("busy", `Could not remove the account "${did}": it is being created`);
  }
  return births.during(did, async () => {
    const known = await accounts.account(did);
    if (known === undefined) return "none";
    if (known.state !== "creating") return isPresent(known) ? "there" : "none";
    if (!(await repos.hasRepo(did))) {
      await accounts.abandonAccount(did);
      return "abandoned";
    }
    // Its file is decided, and its events may be in the log: it ends as every account does.
    await births.complete(did, { handle: known.handle, state: "active", next: "remove it" });
    return "there";
  });
}

/** The operation is of this DID, this handle, this key and this server, whichever of them came from elsewhere. */
function checkGenesis(community: CommunityAccount, { publicUrl, rotationSigner }: Parts): void {
  const { did, handle, signingKey, rotationKey } = community;
  const refuse = (why: string) =>
    new KithError("invalid_request", `Could not create the account "${did.slice(0, 100)}": ${why}`);
  const operation = parsedGenesis(community.genesis);
  if (operation === undefined || didOfGenesis(operation) !== did)
    throw refuse("its first operation is another one's");
  const { rotationKeys, verificationMethods, alsoKnownAs, services } = operation;
  const { didKey } = signerFromPrivateKey(signingKey.type, signingKey.privateKey);
  if (rotationKeys[0] !== rotationKey) throw refuse("its own rotation key is not the first one");
  if (!rotationKeys.includes(rotationSigner.didKey)) throw refuse("this server's rotation key is absent");
  if (verificationMethods.atproto !== didKey) throw refuse("its operation has another signing key");
  if (alsoKnownAs[0] !== `at://${handle}`) throw refuse("its operation has another handle");
  if (services.atproto_pds?.endpoint !== publicUrl) throw refuse("its operation names another server");
}

function parsedGenesis(bytes: Uint8Array): PlcOperation | undefined {
  try {
    const operation = parsePlcOperation(decodeCbor(bytes));
    return operation.type === "plc_operation" && operation.prev === null ? operation : undefined;
  } catch {
    return undefined;
  }
}
