/** One account, put into kith's data folder: its row, its file and its blobs. */

import { openBirth } from "../actors/mod.ts";
import {
  accountEvent,
  type Block,
  buildCommit,
  decodeCbor,
  type EventBody,
  type Head,
  identityEvent,
  isTid,
  nextTid,
  parseCid,
  signCommit,
  syncEvent,
} from "../atproto/mod.ts";
import type { AdoptedAccount, PendingEvent, ReferenceRepo, RepoStore } from "../storage/mod.ts";
import type { BlobSource } from "./blob_source.ts";
import { type CopiedBlobs, copyBlobs } from "./copy_blobs.ts";
import type { PlannedAccount } from "./plan.ts";
import type { Reference } from "./reference.ts";
import { type RepoSink, type ScannedRepo, scanRepo } from "./scan_repo.ts";
import type { Target } from "./target.ts";

/** How the network knows an account without a handle. */
const NO_HANDLE = "handle.invalid";
const CLOCK_ID = 0;

export interface TakenAccount {
  readonly did: string;
  readonly handle: string | null;
  readonly status: string;
  readonly records: number;
  readonly blobs: number;
  readonly blobBytes: number;
  readonly preferences: number;
  readonly notes: readonly string[];
}

export interface TakeOptions {
  readonly reference: Reference;
  readonly blobs: BlobSource;
  /** Absent in a dry run, which reads all and writes nothing. */
  readonly target?: Target | undefined;
  /** Whether refresh tokens of the reference are taken as ours: only where both have one secret. */
  readonly keepsSessions: boolean;
  /** An upload that no record refers to lives so long. */
  readonly uploadLifetimeMs: number;
  readonly now: () => number;
}

/** Throws KithError storage_damaged where the account's store is not whole, storage_full. */
export async function takeAccount(account: PlannedAccount, options: TakeOptions): Promise<TakenAccount> {
  const { did } = account.source;
  return await options.reference.withRepo(did, (repo) => new Taking(account, repo, options).run());
}

class Taking {
  readonly #account: PlannedAccount;
  readonly #repo: ReferenceRepo;
  readonly #options: TakeOptions;
  readonly #did: string;

  constructor(account: PlannedAccount, repo: ReferenceRepo, options: TakeOptions) {
    this.#account = account;
    this.#repo = repo;
    this.#options = options;
    this.#did = account.source.did;
  }

  async run(): Promise<TakenAccount> {
    const { target } = this.#options;
    const [did, { signer, handle, standing }] = [this.#did, this.#account];
    if (!target)
      return this.#told(await scanRepo(this.#repo, { did, didKey: signer.didKey }), await this.#copyBlobs());
    // First, so that a disk too small for them is found before anything else is done.
    const blobs = await this.#copyBlobs();
    const generation = await target.adoption.adoptAccount(this.#row());
    await target.files.create(did, generation);
    const store = await target.files.open(did, generation);
    try {
      const { now } = this.#options;
      await openBirth(store, { handle: handle ?? NO_HANDLE, signer, now, clockId: CLOCK_ID, movesIn: true });
      const scanned = await this.#fill(store);
      await this.#fillRest(store, { blobs, scanned });
      await store.durable();
      return this.#told(scanned, blobs, standing.status);
    } finally {
      await store.close();
    }
  }

  #row(): AdoptedAccount {
    const { source, standing, handle, email, passwordHash, privateKey, deactivatedAt, deleteAfter } =
      this.#account;
    const { reference, keepsSessions, now } = this.#options;
    const appPasswords = reference.accounts.appPasswords(this.#did);
    return {
      ...standing,
      ...{ did: this.#did, handle, email, deactivatedAt, deleteAfter },
      emailConfirmedAt: email === null ? null : source.emailConfirmedAt,
      passwordHash: passwordHash ?? "",
      signingKey: { type: "k256", privateKey },
      createdAt: source.createdAt ?? now(),
      invitesDisabled: source.invitesDisabled,
      appPasswords: appPasswords.map((row) => ({ ...row, createdAt: row.createdAt ?? now() })),
      sessions: keepsSessions && standing.takedownRef === null ? this.#sessions() : [],
    };
  }

  /** Tokens that one sign-in has led to, each replaced by the next, are a family. */
  #sessions(): AdoptedAccount["sessions"] {
    const { reference, now } = this.#options;
    const rows = reference.accounts.sessions(this.#did).filter(({ expiresAt }) => (expiresAt ?? 0) > now());
    const byId = new Map(rows.map((row) => [row.id, row]));
    const lastOf = (id: string, left = rows.length): string => {
      const next = byId.get(id)?.nextId;
      return left === 0 || next === null || next === undefined || !byId.has(next)
        ? id
        : lastOf(next, left - 1);
    };
    return rows.map(({ id, expiresAt, nextId, appPasswordName }) => ({
      id,
      familyId: lastOf(id),
      expiresAt: expiresAt ?? 0,
      appPasswordName,
      // The reference notes the end of the grace as the end of the token.
      next: nextId !== null && byId.has(nextId) ? { id: nextId, graceUntil: expiresAt ?? 0 } : null,
    }));
  }

  #copyBlobs(): Promise<CopiedBlobs> {
    const { blobs: source, target, now } = this.#options;
    return copyBlobs(this.#repo.blobs(), { did: this.#did, source, target: target?.blobs, now: now() });
  }

  /** Blocks and records through the tables of an import, and the head as it is: nothing that others hold of the repo changes. */
  async #fill(store: RepoStore): Promise<ScannedRepo> {
    const { now } = this.#options;
    await store.clearStaging();
    const rev = nextTid(store.state().lastTid, now() * 1000, CLOCK_ID);
    const staging = store.beginStaging(rev);
    try {
      const sink: RepoSink = {
        addBlocks: (blocks) => staging.addBlocks(blocks),
        addRecords: (records) => staging.addRecords(records),
        turn: async () => {
          if (store.checkpointDue() === "restart") await store.checkpoint("restart");
        },
      };
      const scanned = await scanRepo(this.#repo, {
        did: this.#did,
        didKey: this.#account.signer.didKey,
        sink,
      });
      await staging.settled();
      const { head, commit } = this.#headOf(scanned, staging);
      const last = [store.state().lastTid, head.rev].reduce((a, b) => ((a ?? "") > (b ?? "") ? a : b));
      const lastTid = nextTid(last, now() * 1000, CLOCK_ID);
      store.switchStaging({ head, commit, lastTid, events: [] });
      return scanned;
    } finally {
      await staging.end();
      await store.clearStaging();
    }
  }

  /**
   * The head of the reference; a fresh commit over the same tree where that is not signed by the account's key, or where the network was
   * told of a later one: the reference notes an event before its commit is there, so that a crash leaves the event alone.
   */
  #headOf(
    { commit, rev, data, isOwn }: ScannedRepo,
    blocks: Parameters<typeof buildCommit>[0]["blocks"],
  ): { head: Head; commit: Block } {
    const told = this.#toldRev();
    if (isOwn && told <= rev) return { head: { commit: commit.cid, rev, data }, commit };
    const after = told > rev ? told : rev;
    const fresh = nextTid(after, this.#options.now() * 1000, CLOCK_ID);
    const head = { commit: commit.cid, rev: after, data };
    const draft = buildCommit({ did: this.#did, head, writes: [], rev: fresh, blocks });
    return signCommit(draft, this.#account.signer);
  }

  /** The rev that the newest event of the account tells of; none of a row that has another account's event. */
  #toldRev(): string {
    const payload = this.#options.reference.events.lastCommit(this.#did);
    if (payload === undefined) return "";
    try {
      const { rev, repo, did } = decodeCbor(payload) as { rev?: unknown; repo?: unknown; did?: unknown };
      return (repo ?? did) === this.#did && typeof rev === "string" && isTid(rev) ? rev : "";
    } catch {
      return "";
    }
  }

  async #fillRest(
    store: RepoStore,
    { blobs, scanned }: { blobs: CopiedBlobs; scanned: ScannedRepo },
  ): Promise<void> {
    const { now, target, uploadLifetimeMs } = this.#options;
    for (const blob of blobs.taken) store.putBlob(blob);
    for (const { cid, takedownRef } of blobs.taken) {
      if (takedownRef !== null) store.takedowns.apply({ kind: "blob", cid, ref: takedownRef });
    }
    for (const { path, cid, ref } of scanned.takenDown) {
      const [collection = "", rkey = ""] = path.split("/");
      store.takedowns.apply({ kind: "record", collection, rkey, cid, ref });
    }
    for (const { cid, takedownRef } of this.#takenDownBlobs(blobs)) {
      store.takedowns.apply({ kind: "blob", cid: parseCid(cid), ref: takedownRef ?? "" });
    }
    store.putPreferences({ namespace: "app.bsky", kept: [], preferences: this.#repo.preferences() });
    store.setStatus({ ...this.#account.standing, ...this.#announcement(store) });
    if (store.oldestTemporaryBlob() !== undefined)
      await target?.blobLooks.note(this.#did, now() + uploadLifetimeMs);
  }

  /** Those whose file is gone stay taken down: they must not come back by an upload. */
  #takenDownBlobs({ missing }: CopiedBlobs): { cid: string; takedownRef: string | null }[] {
    const gone = new Set(missing);
    return this.#repo.blobs().filter(({ cid, takedownRef }) => takedownRef !== null && gone.has(cid));
  }

  /** What the network is told at the first start: how the account is, and where its repo stands. */
  #announcement(store: RepoStore): { events: PendingEvent[]; lastTid: string } {
    const { announces, standing, handle } = this.#account;
    const { head, lastTid } = store.state();
    const did = this.#did;
    const time = new Date(this.#options.now()).toISOString();
    const active = standing.status === "active";
    const bodies: EventBody[] = [];
    if (announces && active) bodies.push(identityEvent({ did, handle: handle ?? undefined, time }));
    if (announces)
      bodies.push(
        accountEvent({ did, active, status: active ? undefined : (standing.status as "takendown"), time }),
      );
    const bytes = head && store.get(head.commit);
    if (announces && active && head && bytes) {
      bodies.push(syncEvent({ did, rev: head.rev, commit: { cid: head.commit, bytes }, time }));
    }
    let last = lastTid ?? "";
    const events = bodies.map((body) => {
      last = nextTid(last, this.#options.now() * 1000, CLOCK_ID);
      return { key: last, ...body };
    });
    return { events, lastTid: last };
  }

  #told(
    scanned: ScannedRepo,
    blobs: CopiedBlobs,
    status: string = this.#account.standing.status,
  ): TakenAccount {
    const { source, handle, notes } = this.#account;
    const lost = (cids: readonly string[], what: string) =>
      cids.length === 0
        ? []
        : [`${what}: ${cids.length} (${cids.slice(0, 3).join(", ")}${cids.length > 3 ? ", ..." : ""})`];
    return {
      ...{ did: source.did, handle, status, records: scanned.records },
      ...{ blobs: blobs.taken.length, blobBytes: blobs.bytes, preferences: this.#repo.preferences().length },
      notes: [
        ...notes,
        ...scanned.notes,
        ...lost(blobs.missing, "blobs that the reference PDS has no file of"),
        ...lost(blobs.damaged, "blobs whose files are not what their CIDs say, left behind"),
      ],
    };
  }
}
