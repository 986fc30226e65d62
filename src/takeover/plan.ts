/** What becomes of each account of a reference PDS: decided from its row, its key and its DID document, before anything is written. */
import { isReferenceHash } from "../accounts/mod.ts";
import { isHandle, type Signer, signerFromPrivateKey } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { forEach } from "../for_each.ts";
import type { ReferenceAccount, Standing } from "../storage/mod.ts";
import type { Identities, Identity } from "./identities.ts";
import type { Reference } from "./reference.ts";

/** DID documents that are asked for at a time. */
const LOOKUPS_AT_ONCE = 4;
/** What stands for a handle that does not hold, and is nobody's. */
const NO_HANDLE = "handle.invalid";
/** An end that has passed, which the reference keeps and never acts upon, is put off so far. */
export const ENDING_GRACE_MS = 30 * 24 * 3_600_000;

export interface PlannedAccount {
  readonly source: ReferenceAccount;
  readonly handle: string | null;
  readonly email: string | null;
  /** Null where there is none that can be verified. */
  readonly passwordHash: string | null;
  readonly privateKey: Uint8Array;
  readonly signer: Signer;
  readonly standing: Standing;
  /** Unix milliseconds. */
  readonly deactivatedAt: number | null;
  readonly deleteAfter: number | null;
  /** Whether the network is told of it at the first start: not where its DID names another server. */
  readonly announces: boolean;
  /** What its owner or the operator may want to know. */
  readonly notes: readonly string[];
}

export interface RefusedAccount {
  readonly did: string;
  readonly handle: string | null;
  readonly why: string;
}

export interface Plan {
  readonly accounts: readonly PlannedAccount[];
  readonly refused: readonly RefusedAccount[];
  readonly notes: readonly string[];
}

export interface PlanOptions {
  readonly reference: Reference;
  /** Where DIDs lead; undefined: nobody is asked, and all accounts are as their rows say. */
  readonly identities: Identities | undefined;
  /** Where the accounts will be served: an origin. */
  readonly publicUrl: string;
  /** The did:key of the server's PLC rotation key; undefined where there is none yet. */
  readonly rotationKey: string | undefined;
  /** Unix milliseconds. */
  readonly now: number;
}

/**
 * Throws KithError upstream_failure or timeout where the directory does not answer, invalid_request where no account is this server's, or
 * none is under its rotation key: then the settings are another server's.
 */
export async function planTakeover(options: PlanOptions): Promise<Plan> {
  const { reference, identities } = options;
  const rows = reference.accounts.accounts();
  const found = await lookUp(rows, identities);
  const accounts: PlannedAccount[] = [];
  const refused: RefusedAccount[] = [];
  const names = new Names(rows);
  for (const source of rows) {
    const { did, handle } = source;
    try {
      accounts.push(planOne(source, { ...options, names, identity: found.get(did) }));
    } catch (error) {
      if (!isKithError(error)) throw error;
      refused.push({ did, handle, why: error.message });
    }
  }
  checkServer(accounts, { ...options, found });
  return { accounts, refused, notes: notesOn(rows, reference) };
}

type Found = Identity | "unknown" | undefined;

async function lookUp(
  rows: readonly ReferenceAccount[],
  identities: Identities | undefined,
): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  if (!identities) return found;
  await forEach(rows, { atOnce: LOOKUPS_AT_ONCE }, async ({ did }) => {
    found.set(did, (await identities.find(did)) ?? "unknown");
  });
  return found;
}

function planOne(
  source: ReferenceAccount,
  { reference, identity, names, ...options }: PlanOptions & { names: Names; identity: Found },
): PlannedAccount {
  const { did, takedownRef } = source;
  const { now } = options;
  const privateKey = reference.signingKey(did);
  const signer = signerOf(privateKey, did);
  const { handle, email, notes } = names.of(source);
  const elsewhere = whyElsewhere(identity, { didKey: signer.didKey, publicUrl: options.publicUrl });
  if (elsewhere !== undefined && source.deactivatedAt === null) {
    notes.push(
      `${elsewhere}: it is taken over deactivated, and its owner can activate it once the DID leads here`,
    );
  } else if (elsewhere !== undefined) notes.push(elsewhere);
  notes.push(...identityNotes(identity, { handle, rotationKey: options.rotationKey, elsewhere }));
  const passwordHash = passwordOf(source, notes);
  const isOff = source.deactivatedAt !== null || elsewhere !== undefined;
  const ownerStatus = isOff ? "deactivated" : "active";
  const status = takedownRef === null ? ownerStatus : "takendown";
  return {
    ...{ source, handle, email, passwordHash, privateKey, signer, notes },
    standing: { status, ownerStatus, takedownRef },
    deactivatedAt: isOff ? (source.deactivatedAt ?? now) : null,
    deleteAfter: endOf(source, { now, notes }),
    announces: elsewhere === undefined,
  };
}

function passwordOf({ passwordHash }: ReferenceAccount, notes: string[]): string | null {
  if (passwordHash === null) {
    notes.push("it has no password and no e-mail address: nobody can sign in to it");
    return null;
  }
  if (isReferenceHash(passwordHash)) return passwordHash;
  notes.push("its password's hash is none that the reference PDS makes: its owner has to reset the password");
  return null;
}

function signerOf(privateKey: Uint8Array, did: string): Signer {
  try {
    return signerFromPrivateKey("k256", privateKey);
  } catch (cause) {
    throw new KithError("storage_damaged", `Could not use the signing key of "${did}": it is no K-256 key`, {
      cause,
    });
  }
}

/** Why the DID does not lead to this account; undefined where it does, or nobody was asked. */
function whyElsewhere(
  identity: Found,
  { didKey, publicUrl }: { didKey: string; publicUrl: string },
): string | undefined {
  if (identity === undefined) return undefined;
  if (identity !== "unknown" && identity.problem !== undefined) return undefined;
  if (identity === "unknown") return "its DID is not registered, or was given up";
  if (identity.endpoint === undefined) return "its DID document names no server";
  if (identity.endpoint !== publicUrl) return `its DID document names another server, "${identity.endpoint}"`;
  if (identity.signingKey !== didKey)
    return "its DID document names another signing key than the one in its folder";
  return undefined;
}

function identityNotes(
  identity: Found,
  {
    handle,
    rotationKey,
    elsewhere,
  }: { handle: string | null; rotationKey: string | undefined; elsewhere: string | undefined },
): string[] {
  if (identity === undefined || identity === "unknown" || elsewhere !== undefined) return [];
  if (identity.problem !== undefined)
    return [`where its DID leads is not known, so it is as it was: ${identity.problem}`];
  const notes: string[] = [];
  if (identity.handle !== undefined && identity.handle !== handle) {
    notes.push(`its DID document says the handle "${identity.handle}"`);
  }
  if (rotationKey !== undefined && identity.rotationKeys?.includes(rotationKey) === false) {
    notes.push(
      "this server's rotation key is not among those of its DID: its handle and its key cannot be changed from here",
    );
  }
  return notes;
}

/** When it is to be deleted: the reference notes that and never does it, while kith does. */
function endOf(
  { deactivatedAt, deleteAfter }: ReferenceAccount,
  { now, notes }: { now: number; notes: string[] },
): number | null {
  if (deactivatedAt === null || deleteAfter === null) return null;
  const end = deleteAfter > now ? deleteAfter : now + ENDING_GRACE_MS;
  const day = new Date(end).toISOString().slice(0, 10);
  const words =
    end === deleteAfter
      ? "as its owner has asked"
      : "its end has passed, and the reference PDS did not delete it";
  notes.push(`it is deactivated and will be deleted on ${day} (${words})`);
  return end;
}

/** Handles and addresses, each of which one account may have, in any case: the one that is in use has it, of equals the older one. */
class Names {
  readonly #handles: ReadonlyMap<string, string>;
  readonly #emails: ReadonlyMap<string, string>;

  constructor(rows: readonly ReferenceAccount[]) {
    const isOff = (row: ReferenceAccount): number =>
      row.deactivatedAt !== null || row.takedownRef !== null ? 1 : 0;
    const ranked = rows.toSorted((a, b) => isOff(a) - isOff(b));
    this.#handles = firstOf(ranked, handleIn);
    this.#emails = firstOf(ranked, ({ email }) => email);
  }

  of(row: ReferenceAccount): { handle: string | null; email: string | null; notes: string[] } {
    const notes: string[] = [];
    const pick = (text: string | null, owners: ReadonlyMap<string, string>, what: string): string | null => {
      const name = text?.toLowerCase() || null;
      if (name === null || owners.get(name) === row.did) return name;
      notes.push(`${what} "${name}" is also that of ${owners.get(name)}, which keeps it`);
      return null;
    };
    const name = handleIn(row);
    if (name === null && row.handle && row.handle !== NO_HANDLE) {
      notes.push(`its handle "${row.handle}" is none that apps take: it comes without a handle`);
    }
    const handle = pick(name, this.#handles, "its handle");
    const email = pick(row.email, this.#emails, "its e-mail address");
    return { handle, email, notes };
  }
}

/** Null where the row has none, or what no lexicon takes as one. */
function handleIn({ handle }: ReferenceAccount): string | null {
  return handle !== null && isHandle(handle) && handle !== NO_HANDLE ? handle : null;
}

function firstOf(
  rows: readonly ReferenceAccount[],
  name: (row: ReferenceAccount) => string | null,
): Map<string, string> {
  const owners = new Map<string, string>();
  for (const row of rows) {
    const text = name(row)?.toLowerCase() || undefined;
    if (text !== undefined && !owners.has(text)) owners.set(text, row.did);
  }
  return owners;
}

function checkServer(
  accounts: readonly PlannedAccount[],
  { found, publicUrl, rotationKey }: PlanOptions & { found: ReadonlyMap<string, Found> },
): void {
  const identities = accounts
    .filter(({ source }) => source.deactivatedAt === null && source.takedownRef === null)
    .map(({ source }) => found.get(source.did))
    .filter((identity) => identity !== undefined && identity !== "unknown")
    .filter(({ problem }) => problem === undefined);
  if (identities.length === 0) return;
  const here = identities.filter(({ endpoint }) => endpoint === publicUrl);
  if (here.length === 0) {
    const names = [...new Set(identities.map(({ endpoint }) => endpoint ?? "none"))].slice(0, 3).join('", "');
    throw new KithError(
      "invalid_request",
      `Could not take the accounts over: no DID document names "${publicUrl}" as its server; they name "${names}"`,
      {
        hint: "Set PDS_HOSTNAME to the host name that the reference PDS had (its environment file: --env-file pds.env).",
      },
    );
  }
  const underKeys = here.filter(({ rotationKeys }) => rotationKeys !== undefined);
  if (rotationKey === undefined || underKeys.length === 0) return;
  if (underKeys.some(({ rotationKeys }) => rotationKeys?.includes(rotationKey))) return;
  throw new KithError(
    "invalid_request",
    `Could not take the accounts over: the PLC rotation key that is set, "${rotationKey}", is none of any account's`,
    {
      hint: "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX must be that of the reference PDS: without it no account can change its handle, or leave.",
    },
  );
}

function notesOn(rows: readonly ReferenceAccount[], reference: Reference): string[] {
  const notes = [...reference.notes];
  const dids = new Set(rows.map(({ did }) => did));
  const strays = reference.accounts.strays();
  if (strays.length > 0) notes.push(`Passwords of nobody's DID are left behind: ${listed(strays)}`);
  const folders = reference.actorFolders().filter((did) => !dids.has(did));
  if (folders.length > 0) notes.push(`Stores of DIDs without an account are left behind: ${listed(folders)}`);
  const grants = reference.accounts.oauthGrants();
  if (grants > 0)
    notes.push(`Access of apps by OAuth (${grants}) is not taken over: people allow those apps anew`);
  return notes;
}

const LISTED_MAX = 5;

function listed(names: readonly string[]): string {
  const more = names.length - LISTED_MAX;
  return `${names.slice(0, LISTED_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
