/** What a check reads of the accounts store and of the event log, while nobody writes them. */
import type { EventKind, KeyType, Signer } from "../atproto/mod.ts";
import { signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { accountKeyPlace } from "./_signing_keys.ts";
import type { AccountState } from "./account_store.ts";
import { EVENT_LOG_SCHEMA_VERSION } from "./event_log.ts";
import { HUB_SCHEMA_VERSION } from "./hub.ts";
import type { Keyring } from "./keyring.ts";
import { StillFile } from "./still_file.ts";

export interface AccountRead {
  readonly did: string;
  readonly handle: string | null;
  readonly state: AccountState;
  readonly generation: number;
  readonly takedownRef: string | null;
  readonly deactivatedAt: number | null;
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly keyType: KeyType;
  /** Sealed; null of an account that is deleted. */
  readonly signingKey: Uint8Array | null;
}

const ACCOUNT = `SELECT did, handle, state, generation, takedown_ref AS takedownRef, deactivated_at AS deactivatedAt,
  created_at AS createdAt, key_type AS keyType, signing_key AS signingKey FROM account`;

/** Throws KithError data_folder_refused where the file is not of the version that this kith writes. */
function openCurrent(path: string, latest: number): StillFile {
  const file = StillFile.open(path);
  const version = file.schemaVersion;
  if (version === latest) return file;
  file.close();
  const isOlder = version < latest;
  throw new KithError(
    "data_folder_refused",
    `Could not read "${path}": its schema is version ${version}, and this kith's is ${latest}`,
    {
      hint: isOlder
        ? "Start the server of this version once, which brings the file up to date; or use the kith that wrote it."
        : "Use the newer kith that wrote it.",
    },
  );
}

export class AccountReads {
  readonly file: StillFile;
  readonly #keyring: Keyring;

  private constructor(file: StillFile, keyring: Keyring) {
    this.file = file;
    this.#keyring = keyring;
  }

  /** Throws KithError storage_damaged, data_folder_refused. */
  static open(path: string, keyring: Keyring): AccountReads {
    return new AccountReads(openCurrent(path, HUB_SCHEMA_VERSION), keyring);
  }

  /** Accounts that are not deleted. */
  count(): number {
    return this.file.one<{ n: number }>("SELECT count(*) AS n FROM account WHERE state <> 'deleted'")?.n ?? 0;
  }

  hasActive(): boolean {
    return this.file.one("SELECT 1 FROM account WHERE state = 'active' LIMIT 1") !== undefined;
  }

  /** In the order of the DIDs, those that are deleted too. */
  page({ after, limit }: { after: string; limit: number }): AccountRead[] {
    return this.file.all(`${ACCOUNT} WHERE did > ? ORDER BY did LIMIT ?`, after, limit);
  }

  account(did: string): AccountRead | undefined {
    return this.file.one(`${ACCOUNT} WHERE did = ?`, did);
  }

  byHandle(handle: string): AccountRead | undefined {
    return this.file.one(`${ACCOUNT} WHERE handle = ?`, handle.toLowerCase());
  }

  /** The account's key, unsealed. Throws KithError storage_damaged. */
  signer({ did, keyType, signingKey }: AccountRead): Signer {
    if (!signingKey)
      throw new KithError("storage_damaged", `Could not read the signing key of "${did}": there is none`);
    return signerFromPrivateKey(keyType, this.#keyring.unseal(signingKey, accountKeyPlace(did)));
  }

  /** True where the next start looks at the repo's file. */
  isOpen({ did, generation }: Pick<AccountRead, "did" | "generation">): boolean {
    const sql = "SELECT 1 FROM open_repo WHERE did = ? AND generation = ?";
    return this.file.one(sql, did, generation) !== undefined;
  }

  /** A change of handle or key that has begun and not ended. */
  isChanging(did: string): boolean {
    return this.file.one("SELECT 1 FROM identity_change WHERE did = ?", did) !== undefined;
  }

  /** True where the server will look for blobs of the account that nothing refers to. */
  willSweep(did: string): boolean {
    return this.file.one("SELECT 1 FROM blob_look WHERE did = ?", did) !== undefined;
  }

  highWater(): number {
    return this.file.one<{ seq: number }>("SELECT high_water AS seq FROM meta")?.seq ?? 0;
  }

  /** Rows that refer to rows that are not there: table and how many. */
  danglingRows(): { table: string; rows: number }[] {
    return this.file.all(
      'SELECT "table", count(*) AS rows FROM pragma_foreign_key_check() GROUP BY "table" ORDER BY "table"',
    );
  }

  close(): void {
    this.file.close();
  }
}

export interface LogRead {
  readonly seq: number;
  readonly did: string;
  readonly kind: EventKind;
  /** Null in rows from before it was kept. */
  readonly key: string | null;
  readonly at: number;
  readonly frame: Uint8Array;
}

export interface LogReadMarks {
  readonly highWater: number;
  readonly prunedUpTo: number;
  readonly publishedUpTo: number;
  readonly rows: number;
  /** 0 where there is no row. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Unix milliseconds; 0 where there is no row. */
  readonly firstAt: number;
}

export class LogReads {
  readonly file: StillFile;

  private constructor(file: StillFile) {
    this.file = file;
  }

  /** Throws KithError storage_damaged, data_folder_refused. */
  static open(path: string): LogReads {
    return new LogReads(openCurrent(path, EVENT_LOG_SCHEMA_VERSION));
  }

  marks(): LogReadMarks {
    const marks = this.file.one<LogReadMarks>(
      `SELECT seq AS highWater, pruned_up_to AS prunedUpTo, published_up_to AS publishedUpTo,
         (SELECT count(*) FROM event) AS rows, coalesce((SELECT min(seq) FROM event), 0) AS firstSeq,
         coalesce((SELECT max(seq) FROM event), 0) AS lastSeq,
         coalesce((SELECT at FROM event ORDER BY seq LIMIT 1), 0) AS firstAt FROM high_water`,
    );
    if (marks) return marks;
    throw new KithError("storage_damaged", `Could not read "${this.file.path}": its row of marks is missing`);
  }

  /** In the order of seq. */
  events(): Iterable<LogRead> {
    return this.file.each("SELECT seq, did, kind, key, at, frame FROM event ORDER BY seq");
  }

  /** Of one account, in the order of seq. Looks at every row. */
  eventsOf(did: string): Iterable<LogRead> {
    return this.file.each("SELECT seq, did, kind, key, at, frame FROM event WHERE did = ? ORDER BY seq", did);
  }

  lastKey(did: string): string | undefined {
    return this.file.one<{ key: string }>("SELECT key FROM last_key WHERE did = ?", did)?.key;
  }

  close(): void {
    this.file.close();
  }
}
