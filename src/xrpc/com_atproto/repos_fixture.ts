/** For tests of methods: accounts and signed repos in memory, behind the interfaces that the methods ask for. */
import {
  buildCommit,
  type Cid,
  cidKey,
  cidOfCbor,
  cidToString,
  encodeCar,
  encodeCbor,
  exportOrder,
  type Head,
  MemoryBlocks,
  nextTid,
  signCommit,
  signerFromPrivateKey,
} from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import type { Accounts, AccountView, RepoReads, RepoView } from "./repo_access.ts";

export const TEST_SIGNER = signerFromPrivateKey("p256", new Uint8Array(32).fill(7));

/** One repo in memory: what `RepoStore` is to the methods. */
export class TestRepo implements RepoView {
  readonly did: string;
  readonly blocks = new MemoryBlocks();
  readonly missing: { cid: Cid; path: string }[] = [];
  readonly blobs = new Map<string, { cid: Cid; mimeType: string; size: number; referenced: boolean }>();
  /** Paths of records, and CIDs of blobs and blocks, that are taken down. */
  readonly takenDown = new Set<string>();
  readonly takedowns = {
    record: (collection: string, rkey: string) => this.takenDown.has(`${collection}/${rkey}`) || undefined,
    blob: (cid: Cid) => (this.takenDown.has(cidToString(cid)) ? "ref" : undefined),
    hidesBlock: (cid: Cid) => this.takenDown.has(cidToString(cid)),
  };
  readonly #records = new Map<string, { cid: Cid; bytes: Uint8Array; rev: string }>();
  #head: Head | null = null;

  constructor(did: string) {
    this.did = did;
    this.create();
  }

  /** Commits new records, given as `collection/rkey` and value. */
  create(records: Readonly<Record<string, object>> = {}): Head {
    const blocks = Object.entries(records).map(([path, value]) => {
      const bytes = encodeCbor(value);
      return { path, record: { cid: cidOfCbor(bytes), bytes } };
    });
    const draft = buildCommit({
      did: this.did,
      head: this.#head,
      writes: blocks.map(({ path, record }) => ({ action: "create" as const, path, record })),
      rev: nextTid(this.#head?.rev ?? null, 1_000_000, 3),
      blocks: this.blocks,
    });
    const signed = signCommit(draft, TEST_SIGNER);
    this.blocks.add([...signed.newBlocks, signed.commit]);
    this.#head = signed.head;
    for (const { path, record } of blocks) this.#records.set(path, { ...record, rev: signed.head.rev });
    return signed.head;
  }

  state(): { head: Head | null } {
    return { head: this.#head };
  }

  get(cid: Cid): Uint8Array | undefined {
    return this.blocks.get(cid);
  }

  record(collection: string, rkey: string): { cid: Cid; bytes: Uint8Array; rev: string } | undefined {
    return this.#records.get(`${collection}/${rkey}`);
  }

  shownRecord(collection: string, rkey: string): { cid: Cid; bytes: Uint8Array } | undefined {
    return this.takedowns.record(collection, rkey) ? undefined : this.record(collection, rkey);
  }

  listRecords(page: { collection: string; limit: number; cursor?: string; reverse?: boolean }) {
    const { collection, limit, cursor, reverse = false } = page;
    const rkeys = [...this.#records.keys()]
      .filter((path) => path.startsWith(`${collection}/`))
      .map((path) => path.slice(collection.length + 1))
      .filter((rkey) => !this.takedowns.record(collection, rkey))
      .filter((rkey) => cursor === undefined || (reverse ? rkey > cursor : rkey < cursor))
      .sort();
    if (!reverse) rkeys.reverse();
    return rkeys.slice(0, limit).map((rkey) => {
      const { cid, bytes } = this.record(collection, rkey)!;
      return { rkey, cid: cid.bytes, bytes };
    });
  }

  collections(): string[] {
    return [...new Set([...this.#records.keys()].map((path) => path.split("/")[0] ?? ""))].sort();
  }

  blob(cid: Cid) {
    return this.blobs.get(cidKey(cid));
  }

  blobIsReferenced(cid: Cid): boolean {
    return this.blobs.get(cidKey(cid))?.referenced ?? false;
  }

  listBlobs({ limit, cursor, takenDownToo }: { limit: number; cursor?: string; takenDownToo?: boolean }) {
    const all = [...this.blobs.values()]
      .filter(({ referenced, cid }) => referenced && (takenDownToo || !this.takedowns.blob(cid)))
      .map(({ cid }) => cid);
    const after = all.filter((cid) => cursor === undefined || cidToString(cid) > cursor);
    return after.sort((a, b) => (cidToString(a) < cidToString(b) ? -1 : 1)).slice(0, limit);
  }

  listMissingBlobs({ limit, cursor }: { limit: number; cursor?: string }) {
    return this.missing
      .filter(({ cid }) => cursor === undefined || cidToString(cid) > cursor)
      .sort((a, b) => (cidToString(a.cid) < cidToString(b.cid) ? -1 : 1))
      .slice(0, limit);
  }
}

/** Accounts with their repos, and what was asked of them. */
export class TestRepos implements Accounts, RepoReads {
  readonly accounts: AccountView[];
  readonly repos = new Map<string, TestRepo>();
  durableReads = 0;

  constructor(accounts: readonly AccountView[]) {
    this.accounts = [...accounts];
    for (const { did } of accounts) this.repos.set(did, new TestRepo(did));
  }

  repo(did: string): TestRepo {
    const repo = this.repos.get(did);
    if (!repo) throw new KithError("repo_not_found", `There is no repo "${did}" here`);
    return repo;
  }

  byIdentifier(identifier: string): AccountView | undefined {
    return this.accounts.find(({ did, handle }) => did === identifier || handle === identifier);
  }

  listAccounts({ cursor, limit }: { cursor?: string; limit: number }) {
    const start = cursor === undefined ? 0 : Number(cursor);
    const end = start + limit;
    const more = end < this.accounts.length;
    return { accounts: this.accounts.slice(start, end), cursor: more ? String(end) : undefined };
  }

  async read<T>(did: string, read: (repo: RepoView) => T): Promise<T> {
    return read(this.repo(did));
  }

  async readDurable<T>(did: string, read: (repo: RepoView) => T): Promise<T> {
    this.durableReads += 1;
    return read(this.repo(did));
  }

  async exportRepo(did: string): Promise<ReadableStream<Uint8Array>> {
    const repo = this.repo(did);
    const { head } = repo.state();
    if (!head) throw new KithError("repo_not_found", `There is no repo "${did}" here`);
    const bytes = encodeCar([head.commit], exportOrder(head, repo.blocks));
    return new ReadableStream({
      start: (controller) => {
        controller.enqueue(bytes);
        controller.close();
      },
    });
  }
}

const state = (state: AccountView["state"]) => ({
  did: `did:plc:${state}`,
  handle: `${state}.test`,
  state,
});

/** One account in each state, by DID `did:plc:STATE` and handle `STATE.test`. */
export function accountsInEveryState(): AccountView[] {
  return [
    state("active"),
    state("deactivated"),
    state("takendown"),
    state("suspended"),
    state("creating"),
    state("deleting"),
    state("deleted"),
  ];
}
