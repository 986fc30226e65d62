/** The judges judged: against repos that `@atproto/repo` itself makes, and against the same with one thing wrong. */
import { expect, test } from "bun:test";
import { P256Keypair, Secp256k1Keypair } from "@atproto/crypto";
import { type Cid, isCid } from "@atproto/lex-data";
import { BlockMap, blocksToCarFile, getFullRepo, MemoryBlockstore, Repo, WriteOpAction } from "@atproto/repo";
import type { Event, Op } from "./firehose.ts";
import { FirehoseAuditor, invert, judgeProof, judgeRepo } from "./judges.ts";
import { seededRandom } from "./wait.ts";

const DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const COLLECTION = "app.bsky.feed.post" as const;

async function bytesOf(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A producer that is not ours: writes at random, and tells of each commit as a firehose would. */
class Producer {
  readonly storage = new MemoryBlockstore();
  seq = 0;
  private constructor(
    readonly keypair: Secp256k1Keypair | P256Keypair,
    public repo: Repo,
  ) {}

  static async create(
    keypair: Secp256k1Keypair | P256Keypair,
  ): Promise<{ producer: Producer; genesis: Event }> {
    const storage = new MemoryBlockstore();
    const init = await Repo.formatInitCommit(storage, DID, keypair);
    await storage.applyCommit(init);
    const producer = new Producer(keypair, await Repo.load(storage, init.cid));
    const blocks = await blocksToCarFile(init.cid, init.newBlocks);
    const body = { commit: init.cid, rev: init.rev, since: null, blocks, ops: [] };
    return { producer, genesis: producer.event("#commit", body) };
  }

  event(type: Event["type"], body: Record<string, unknown>): Event {
    this.seq += 1;
    const common = { seq: this.seq, time: new Date().toISOString(), tooBig: false, rebase: false, blobs: [] };
    return { type, seq: this.seq, did: DID, body: { ...common, ...body }, frame: new Uint8Array() };
  }

  async write(action: "create" | "update" | "delete", rkey: string, text: string): Promise<Event> {
    const path = `${COLLECTION}/${rkey}`;
    const prev = await this.repo.data.get(path);
    const op =
      action === "delete"
        ? { action: WriteOpAction.Delete as const, collection: COLLECTION, rkey }
        : {
            action: action === "create" ? (WriteOpAction.Create as const) : (WriteOpAction.Update as const),
            collection: COLLECTION,
            rkey,
            record: { $type: COLLECTION, text },
          };
    const before = this.repo;
    const commit = await before.formatCommit(op, this.keypair);
    this.repo = await before.applyCommit(commit);
    const cid = await this.repo.data.get(path);
    const blocks = new BlockMap();
    blocks.addMap(commit.relevantBlocks);
    const ops: Op[] = [{ action, path, cid, ...(prev ? { prev } : {}) }];
    const body = {
      commit: commit.cid,
      rev: commit.rev,
      since: before.commit.rev,
      prevData: before.commit.data,
      blocks: await blocksToCarFile(commit.cid, blocks),
      ops,
    };
    return this.event("#commit", body);
  }
}

const keypairs = [
  ["k256", () => Secp256k1Keypair.create()],
  ["p256", () => P256Keypair.create()],
] as const;

test.each(keypairs)("judges pass the work of the reference (%s)", async (_name, create) => {
  const keypair = await create();
  const auditor = new FirehoseAuditor(async () => keypair.did());
  const { producer, genesis } = await Producer.create(keypair);
  const random = seededRandom(7);
  auditor.take({ ...producer.event("#account", { active: true }), seq: 0.5 });
  auditor.take(genesis);
  producer.seq = 10;
  const keys: string[] = [];
  for (let i = 0; i < 120; i += 1) {
    const key = keys[Math.floor(random() * keys.length)];
    const dice = random();
    if (key === undefined || dice < 0.5) {
      keys.push(`key${i}`);
      auditor.take(await producer.write("create", `key${i}`, `text ${i}`));
    } else if (dice < 0.7) {
      auditor.take(await producer.write("update", key, `new text ${i}`));
    } else {
      keys.splice(keys.indexOf(key), 1);
      auditor.take(await producer.write("delete", key, ""));
    }
  }
  await auditor.finish();
  const car = await bytesOf(getFullRepo(producer.repo.storage as MemoryBlockstore, producer.repo.cid));
  const judged = await judgeRepo(car, DID, keypair.did());
  expect(new Map(judged.records)).toEqual(auditor.of(DID).records);
  expect(judged.rev).toBe(auditor.of(DID).rev ?? "");
  const path = `${COLLECTION}/${keys[0]}`;
  const cid = judged.records.get(path) ?? null;
  await judgeProof(car, { did: DID, didKey: keypair.did(), path, cid });
  await judgeProof(car, { did: DID, didKey: keypair.did(), path: `${COLLECTION}/none`, cid: null });
  const other = await create();
  expect(judgeRepo(car, DID, other.did())).rejects.toThrow(/signature/);
});

const faults: [string, (event: Event) => Event, RegExp][] = [
  ["a wrong prevData", (e) => with_(e, { prevData: e.body.commit }), /prevData/],
  ["a wrong since", (e) => with_(e, { since: "3aaaaaaaaaa2a" }), /since/],
  ["a wrong rev", (e) => with_(e, { rev: "3zzzzzzzzzzzz" }), /rev/],
  ["a seq that does not rise", (e) => ({ ...e, seq: 1 }), /seq/],
  ["an op left out", (e) => with_(e, { ops: [] }), /Inversion/],
  ["a record left out of the ops' prev", (e) => with_(e, { ops: withPrev(e) }), /has a prev/],
];

function with_(event: Event, body: Record<string, unknown>): Event {
  return { ...event, body: { ...event.body, ...body } };
}

function withPrev(event: Event): Op[] {
  const ops = event.body.ops as Op[];
  return ops.map((op) => ({ ...op, prev: event.body.commit as Cid }));
}

test.each(faults)("FirehoseAuditor finds %s", async (_title, spoil, expected) => {
  const keypair = await Secp256k1Keypair.create();
  const auditor = new FirehoseAuditor(async () => keypair.did());
  const { producer, genesis } = await Producer.create(keypair);
  auditor.take({ ...producer.event("#account", { active: true }), seq: 0.5 });
  auditor.take(genesis);
  producer.seq = 10;
  auditor.take(await producer.write("create", "a", "first"));
  await auditor.finish();
  auditor.take(spoil(await producer.write("create", "b", "second")));
  expect(auditor.finish()).rejects.toThrow(expected);
});

test("FirehoseAuditor finds a commit that is missing, and one that comes twice", async () => {
  for (const kind of ["missing", "twice"]) {
    const keypair = await P256Keypair.create();
    const auditor = new FirehoseAuditor(async () => keypair.did());
    const { producer, genesis } = await Producer.create(keypair);
    auditor.take({ ...producer.event("#account", { active: true }), seq: 0.5 });
    auditor.take(genesis);
    producer.seq = 10;
    const first = await producer.write("create", "a", "first");
    if (kind === "twice") {
      auditor.take(first);
      auditor.take({ ...first, seq: first.seq + 0.5 });
    }
    auditor.take(await producer.write("create", "b", "second"));
    expect(auditor.finish()).rejects.toThrow(/since|rev/);
  }
});

test("invert() cannot be done when a node is missing from the slice", async () => {
  const keypair = await Secp256k1Keypair.create();
  const { producer } = await Producer.create(keypair);
  for (let i = 0; i < 200; i += 1) await producer.write("create", `key${i}`, "text");
  const path = `${COLLECTION}/key7`;
  const cid = await producer.repo.data.get(path);
  expect(isCid(cid)).toBe(true);
  const onlyRoot = new BlockMap();
  const data = producer.repo.commit.data;
  onlyRoot.set(data, (await (producer.repo.storage as MemoryBlockstore).getBytes(data))!);
  expect(invert(onlyRoot, data, [{ action: "create", path, cid }])).rejects.toThrow();
});
