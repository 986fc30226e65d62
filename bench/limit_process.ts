/**
 * What a commit costs by itself, without HTTP, actors and the event log: encode, hash, tree, signature, one transaction,
 * the awaited disk. Run by rows/limit.ts.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import {
  type Block,
  buildCommit,
  cidOfCbor,
  commitEvent,
  encodeCbor,
  generatePrivateKey,
  nextTid,
  type Signer,
  signCommit,
  signerFromPrivateKey,
  type Write,
} from "../src/atproto/mod.ts";
import { Maintenance, RepoFiles, type RepoStore } from "../src/storage/mod.ts";
import { COLLECTION, postOf, WRITES_PER_COMMIT } from "./calls.ts";
import { answerAsChild, childInput } from "./child.ts";
import type { KeyType } from "./peers.ts";
import { percentile } from "./stats.ts";

export interface LimitInput {
  readonly folder: string;
  readonly seconds: number;
  readonly keyType: KeyType;
  readonly writers: number;
  /** In each repo, before. */
  readonly records: number;
  readonly creates: number;
}

export interface LimitAnswer {
  readonly commits: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly cpuMs: number;
  /** Milliseconds of one commit, by step; "disk" is waited for, not worked. */
  readonly parts: Readonly<Record<string, number>>;
}

const CLOCK_ID = 1;
const STEPS = ["encode", "tree", "sign", "event", "transaction", "disk"] as const;
const spent = Object.fromEntries(STEPS.map((step) => [step, 0])) as Record<(typeof STEPS)[number], number>;
let count = 0;

class LimitRepo {
  readonly #store: RepoStore;
  readonly #signer: Signer;

  constructor(store: RepoStore, signer: Signer) {
    this.#store = store;
    this.#signer = signer;
  }

  /** One commit; resolves when it is on disk. */
  async commit(creates: number): Promise<void> {
    const store = this.#store;
    let at = performance.now();
    const lap = (step: (typeof STEPS)[number]): void => {
      const now = performance.now();
      spent[step] += now - at;
      at = now;
    };
    const { head, lastTid } = store.state();
    let rev = lastTid;
    const writes = Array.from({ length: creates }, (): Extract<Write, { record: Block }> => {
      rev = nextTid(rev, Date.now() * 1000, CLOCK_ID);
      const bytes = encodeCbor(postOf(String(count++)));
      return { action: "create", path: `${COLLECTION}/${rev}`, record: { cid: cidOfCbor(bytes), bytes } };
    });
    rev = nextTid(rev, Date.now() * 1000, CLOCK_ID);
    lap("encode");
    const draft = buildCommit({ did: store.did, head, writes, rev, blocks: store });
    lap("tree");
    const signed = signCommit(draft, this.#signer);
    lap("sign");
    const event = commitEvent(signed, { time: new Date().toISOString() });
    lap("event");
    store.commit({
      head: signed.head,
      lastTid: rev,
      newBlocks: [...signed.newBlocks, signed.commit],
      removed: signed.removed,
      replaced: signed.replaced,
      puts: writes.map(({ path, record }) => ({
        collection: COLLECTION,
        rkey: path.slice(COLLECTION.length + 1),
        cid: record.cid,
        blobs: [],
        isNew: true,
      })),
      deletes: [],
      events: [{ key: rev, ...event }],
      forgetPendingUpTo: lastTid ?? undefined,
      now: Date.now(),
    });
    lap("transaction");
    await store.durable();
    lap("disk");
  }

  async fill(records: number): Promise<void> {
    for (let done = 0; done < records; done += WRITES_PER_COMMIT) await this.commit(WRITES_PER_COMMIT);
    await this.#store.checkpoint("restart");
  }
}

async function openRepos(input: LimitInput, maintenance: Maintenance, onFatal: (error: unknown) => never) {
  mkdirSync(input.folder, { recursive: true });
  const files = new RepoFiles({ folder: input.folder, maintenance, onFatal });
  const repos: LimitRepo[] = [];
  for (let at = 0; at < input.writers; at++) {
    const did = `did:plc:${"limit".padEnd(22, "a")}${String.fromCharCode(97 + at, 97)}`;
    await files.create(did, 1);
    const store = await files.open(did, 1);
    await store.prepareWrites();
    const key = generatePrivateKey(input.keyType, randomBytes(32));
    const repo = new LimitRepo(store, signerFromPrivateKey(input.keyType, key));
    await repo.fill(Math.max(input.records, WRITES_PER_COMMIT));
    repos.push(repo);
  }
  return repos;
}

async function measure(input: LimitInput): Promise<LimitAnswer> {
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const repos = await openRepos(input, maintenance, onFatal);
  const waits: number[] = [];
  const runFor = async (seconds: number): Promise<number> => {
    const began = performance.now();
    const loop = async (repo: LimitRepo): Promise<void> => {
      while (performance.now() - began < seconds * 1000) {
        const at = performance.now();
        await repo.commit(input.creates);
        waits.push(performance.now() - at);
      }
    };
    await Promise.all(repos.map(loop));
    return (performance.now() - began) / 1000;
  };
  await runFor(input.seconds / 3);
  waits.length = 0;
  for (const step of STEPS) spent[step] = 0;
  const before = process.cpuUsage();
  const seconds = await runFor(input.seconds);
  const { user, system } = process.cpuUsage(before);
  const commits = waits.length;
  return {
    commits,
    seconds,
    p50Ms: percentile(waits, 0.5),
    cpuMs: (user + system) / 1000 / commits,
    parts: Object.fromEntries(STEPS.map((step) => [step, spent[step] / commits])),
  };
}

answerAsChild(await measure(childInput<LimitInput>()));
process.exit(0);
