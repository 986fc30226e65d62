import { type Cid, cidToString, parseAtUri } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Account, TakedownChange } from "../storage/mod.ts";
import { type Awaitable, isPresent } from "./account.ts";
import type { AccountStatus } from "./account_status.ts";

/** The longest reference of a takedown, in characters. */
export const TAKEDOWN_REF_CHARS_MAX = 1_000;
/** A lift is tried again so often where the owner changes the account at the same time. */
const LIFTS_MAX = 3;

type OwnerStatus = "active" | "deactivated";
type DownStatus = "takendown" | "suspended";

/** One open repo, as moderation looks at it. */
export interface ModeratedRepo {
  state(): { readonly ownerStatus: OwnerStatus };
  recordCid(collection: string, rkey: string): Cid | undefined;
  blob(cid: Cid): unknown;
  blobIsReferenced(cid: Cid): boolean;
  readonly takedowns: {
    record(collection: string, rkey: string): { readonly cid: string; readonly ref: string } | undefined;
    blob(cid: Cid): string | undefined;
  };
}

/** What moderation needs of the repo registry. Every change is durable when its promise resolves. */
export interface ModeratedRepos {
  readDurable<T>(did: string, read: (repo: ModeratedRepo) => T): Promise<T>;
  moderate(did: string, change: TakedownChange | { readonly kind: "announce" }): Promise<unknown>;
  setStatus(
    did: string,
    status: OwnerStatus | DownStatus,
    options: { from?: readonly DownStatus[]; takedownRef?: string; lifts?: boolean },
  ): Promise<unknown>;
}

export interface ModerationOptions {
  readonly accounts: { byIdentifier(identifier: string): Awaitable<Account | undefined> };
  readonly repos: ModeratedRepos;
  readonly status: Pick<AccountStatus, "activate" | "deactivate">;
  /** Called when a takedown has been lifted: the account may have a time to be deleted at. */
  readonly onLifted?: () => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Whether something is so, and of a takedown why. */
export interface StatusAttribute {
  readonly applied: boolean;
  readonly ref?: string | undefined;
}

export interface AccountSubjectStatus {
  readonly takedown: StatusAttribute;
  readonly deactivated: StatusAttribute;
}

/** What moderators do to accounts, records and blobs. Errors are KithErrors: subject_not_found where there is none. */
export class Moderation {
  readonly #options: ModerationOptions;

  constructor(options: ModerationOptions) {
    this.#options = options;
  }

  async accountStatus(did: string): Promise<AccountSubjectStatus> {
    const { state, takedownRef, deactivatedAt } = await this.#account(did);
    const takedown = isDown(state) ? { applied: true, ref: takedownRef ?? undefined } : { applied: false };
    return { takedown, deactivated: { applied: deactivatedAt !== null } };
  }

  /** Also of a record that is gone, where its takedown is not: then with the CID that was taken down. */
  async recordStatus(uri: string): Promise<{ uri: string; cid: string; takedown: StatusAttribute }> {
    const { did, collection, rkey } = await this.#record(uri);
    const found = await this.#options.repos.readDurable(did, (repo) => ({
      cid: repo.recordCid(collection, rkey),
      takedown: repo.takedowns.record(collection, rkey),
    }));
    const cid = found.cid ? cidToString(found.cid) : found.takedown?.cid;
    if (cid === undefined) throw notFound();
    return { uri: `at://${did}/${collection}/${rkey}`, cid, takedown: attribute(found.takedown?.ref) };
  }

  async blobStatus(did: string, cid: Cid): Promise<{ takedown: StatusAttribute }> {
    const account = await this.#account(did);
    const found = await this.#options.repos.readDurable(account.did, (repo) => ({
      isKnown: repo.blob(cid) !== undefined || repo.blobIsReferenced(cid),
      ref: repo.takedowns.blob(cid),
    }));
    if (!found.isKnown && found.ref === undefined) throw notFound();
    return { takedown: attribute(found.ref) };
  }

  /** Hides the account and ends its sessions, or gives it back as its owner has left it. */
  async setAccountTakedown(did: string, takedown: StatusAttribute): Promise<void> {
    const { repos } = this.#options;
    const { state } = await this.#account(did);
    const takedownRef = this.#refOf(takedown);
    if (takedownRef !== null) await repos.setStatus(did, "takendown", { takedownRef });
    else if (isDown(state)) await this.#lift(did);
    else await repos.moderate(did, { kind: "announce" });
  }

  async #lift(did: string): Promise<void> {
    const { repos } = this.#options;
    const from = ["takendown", "suspended"] as const;
    for (let left = LIFTS_MAX; ; left--) {
      const { ownerStatus } = await repos.readDurable(did, (repo) => repo.state());
      try {
        await repos.setStatus(did, ownerStatus, { from, lifts: true });
        return this.#options.onLifted?.();
      } catch (error) {
        if (left === 0 || !isKithError(error, "busy")) throw error;
      }
    }
  }

  /** Hides a record of this path, whatever its owner writes there, or shows it again. */
  async setRecordTakedown(
    subject: { readonly uri: string; readonly cid: string },
    takedown: StatusAttribute,
  ): Promise<void> {
    const ref = this.#refOf(takedown);
    const { did, collection, rkey } = await this.#record(subject.uri);
    await this.#options.repos.moderate(did, { kind: "record", collection, rkey, cid: subject.cid, ref });
  }

  /** Puts a blob away, and takes none like it from this account; or puts it back. */
  async setBlobTakedown(
    { did, cid }: { readonly did: string; readonly cid: Cid },
    takedown: StatusAttribute,
  ): Promise<void> {
    const ref = this.#refOf(takedown);
    await this.#account(did);
    await this.#options.repos.moderate(did, { kind: "blob", cid, ref });
  }

  /** As the owner would. Throws KithError invalid_request for the activation of what is taken down, or leads elsewhere. */
  async setDeactivated(did: string, { applied }: StatusAttribute): Promise<void> {
    const { status } = this.#options;
    const { state } = await this.#account(did);
    if (applied) return status.deactivate(did);
    if (isDown(state)) {
      throw new KithError("invalid_request", `Could not activate the account "${did}": it is taken down`);
    }
    return status.activate(did);
  }

  /** Tells the network anew how the account is. */
  async announce(did: string): Promise<void> {
    await this.#account(did);
    await this.#options.repos.moderate(did, { kind: "announce" });
  }

  /** Null for a lift. */
  #refOf({ applied, ref }: StatusAttribute): string | null {
    if (!applied) return null;
    if ((ref?.length ?? 0) > TAKEDOWN_REF_CHARS_MAX) {
      throw new KithError(
        "invalid_request",
        `Could not take down: the reference has more than ${TAKEDOWN_REF_CHARS_MAX} characters`,
      );
    }
    return ref || new Date((this.#options.now ?? Date.now)()).toISOString();
  }

  async #account(identifier: string): Promise<Account> {
    const account = await this.#options.accounts.byIdentifier(identifier);
    if (!isPresent(account)) throw notFound();
    return account;
  }

  async #record(uri: string): Promise<{ did: string; collection: string; rkey: string }> {
    const { authority, collection, rkey } = parseAtUri(uri);
    if (collection === undefined || rkey === undefined) {
      throw new KithError("invalid_request", `Could not find a record: "${uri.slice(0, 300)}" names none`);
    }
    const { did } = await this.#account(authority);
    return { did, collection, rkey };
  }
}

function attribute(ref: string | undefined): StatusAttribute {
  return ref === undefined ? { applied: false } : { applied: true, ref };
}

function isDown(state: Account["state"]): state is DownStatus {
  return state === "takendown" || state === "suspended";
}

function notFound(): KithError {
  return new KithError("subject_not_found", "Subject not found");
}
