/** For tests: the stores of a folder that is put together, and repos whose commits are also had as shipped events. */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  accountEvent,
  buildCommit,
  cidOfCbor,
  commitEvent,
  type EventBody,
  encodeCbor,
  identityEvent,
  nextTid,
  type Signer,
  sealFrame,
  signCommit,
  signerFromPrivateKey,
  syncEvent,
  type Write,
} from "../atproto/mod.ts";
import {
  type AccountStore,
  DataFolder,
  type LoggedEvent,
  type RepoStore,
  RestoreState,
  type Standing,
} from "../storage/mod.ts";
import { type OpenStores, openRestored } from "./restored_stores.ts";
import { SeenBlobs } from "./seen_blobs.ts";

export const START_MS = Date.parse("2026-01-31T12:00:00Z");

export interface MadeAccount {
  readonly did: string;
  readonly signer: Signer;
  readonly generation: number;
}

export class RestoredFixture implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-restored-"));
  readonly folder: DataFolder;
  stores!: OpenStores;
  state!: RestoreState;
  /** The clock, in milliseconds. */
  nowMs = START_MS;
  #seq = 1_000;

  private constructor() {
    mkdirSync(join(this.path, "data"));
    this.folder = DataFolder.open(join(this.path, "data"));
  }

  static async open(): Promise<RestoredFixture> {
    const fixture = new RestoredFixture();
    fixture.state = RestoreState.open(join(fixture.path, "restore.sqlite"));
    fixture.stores = await openRestored(fixture.folder, {
      blobs: new SeenBlobs(fixture.state),
      onFatal: (error) => {
        throw error;
      },
    });
    return fixture;
  }

  get accounts(): AccountStore {
    return this.stores.accounts;
  }

  /** A row in the accounts store, as one of an account that has come into being; without a file. */
  async account(did: string, state: "active" | "creating" = "active"): Promise<MadeAccount> {
    const privateKey = randomBytes(32);
    const { generation } = await this.accounts.beginAccount({
      did,
      handle: `${did.split(":").at(-1)}.test`,
      email: null,
      passwordHash: "",
      signingKey: { type: "k256", privateKey },
      genesisOperation: new Uint8Array([1]),
      now: this.nowMs,
    });
    if (state === "active") await this.accounts.finishCreation(did, "active");
    await this.accounts.unmarkOpen(did);
    return { did, generation, signer: signerFromPrivateKey("k256", privateKey) };
  }

  /** The file of an account, empty, open for writing. */
  async file({ did, generation }: MadeAccount): Promise<RepoStore> {
    await this.stores.files.create(did, generation);
    const store = await this.stores.files.open(did, generation);
    await store.prepareWrites();
    return store;
  }

  /** A second file of the same account, elsewhere: what the server went on with. */
  async serverFile(account: MadeAccount): Promise<RepoStore> {
    return await this.file({ ...account, generation: account.generation + 1_000 });
  }

  /** An event as it is shipped. */
  event(did: string, body: EventBody): LoggedEvent {
    this.#seq += 1;
    const frame = sealFrame(body, this.#seq);
    return { seq: this.#seq, did, kind: body.kind, at: this.nowMs, frame };
  }

  /** Commits to the file, a second later, and returns the event. */
  commit(store: RepoStore, signer: Signer, writes: readonly Write[]): LoggedEvent {
    this.nowMs += 1_000;
    const { did } = store;
    const { head, lastTid } = store.state();
    const rev = nextTid(lastTid, this.nowMs * 1000, 0);
    const signed = signCommit(buildCommit({ did, head, writes, rev, blocks: store }), signer);
    store.commit({
      head: signed.head,
      lastTid: rev,
      newBlocks: [...signed.newBlocks, signed.commit],
      ...{ removed: signed.removed, replaced: signed.replaced },
      puts: writes.flatMap((write) => (write.action === "delete" ? [] : [putOf(write)])),
      deletes: writes.flatMap(({ action, path }) => (action === "delete" ? [keyOf(path)] : [])),
      events: [],
      now: this.nowMs,
    });
    return this.event(did, commitEvent(signed, { time: this.time }));
  }

  /** What #sync tells of a file as it is now. */
  sync(store: RepoStore): LoggedEvent {
    const { head } = store.state();
    const bytes = head && store.get(head.commit);
    if (!head || !bytes) throw new Error("No commit");
    const commit = { cid: head.commit, bytes };
    return this.event(store.did, syncEvent({ did: store.did, rev: head.rev, commit, time: this.time }));
  }

  told(did: string, status: Standing["status"] | "deleted"): LoggedEvent {
    this.nowMs += 1_000;
    const active = status === "active";
    const body = accountEvent({ did, active, status: active ? undefined : status, time: this.time });
    return this.event(did, body);
  }

  renamed(did: string, handle: string): LoggedEvent {
    this.nowMs += 1_000;
    return this.event(did, identityEvent({ did, handle, time: this.time }));
  }

  get time(): string {
    return new Date(this.nowMs).toISOString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.state.close();
    await this.stores.close();
    this.folder.close();
    rmSync(this.path, { recursive: true, force: true });
  }
}

export function create(path: string, record: Record<string, unknown> = { text: path }): Write {
  return { action: "create", path, record: blockOf(record) };
}

export function update(path: string, record: Record<string, unknown>): Write {
  return { action: "update", path, record: blockOf(record) };
}

export function remove(path: string): Write {
  return { action: "delete", path };
}

function blockOf(record: Record<string, unknown>) {
  const bytes = encodeCbor(record);
  return { cid: cidOfCbor(bytes), bytes };
}

function putOf({ path, record }: Write & { action: "create" | "update" }) {
  return { ...keyOf(path), cid: record.cid, blobs: [] };
}

function keyOf(path: string): { collection: string; rkey: string } {
  const [collection = "", rkey = ""] = path.split("/");
  return { collection, rkey };
}
