import { describe, expect, test } from "bun:test";
import { cidOfRaw, decodeFrame, encodeCbor, signerFromPrivateKey, toCidLink } from "../atproto/mod.ts";
import type { LoggedEvent, RepoStore } from "../storage/mod.ts";
import { create, type MadeAccount, RestoredFixture, remove, update } from "./_restored_fixture.ts";
import { type Rolled, type RollOptions, rollForward } from "./roll_forward.ts";
import { verifyRestored } from "./verify_restored.ts";

const DID = "did:plc:alice";
const C = "app.test.post";

interface Scene {
  readonly fixture: RestoredFixture;
  readonly account: MadeAccount;
  /** What is restored: it has what `shared` has told. */
  readonly store: RepoStore;
  /** What the server went on with. */
  readonly server: RepoStore;
  roll(events: readonly LoggedEvent[], more?: Partial<RollOptions>): Promise<Rolled>;
}

/** Two files with the same two commits. */
async function scene(use: (scene: Scene) => Promise<void>): Promise<void> {
  await using fixture = await RestoredFixture.open();
  const account = await fixture.account(DID);
  const [store, server] = [await fixture.file(account), await fixture.serverFile(account)];
  const roll = (events: readonly LoggedEvent[], more: Partial<RollOptions> = {}) =>
    rollForward(store, {
      ...{ events, keys: [account.signer.didKey], takesCommits: true, now: fixture.nowMs },
      lastTid: store.state().lastTid,
      ...more,
    });
  const shared = [
    fixture.commit(server, account.signer, []),
    fixture.commit(server, account.signer, [create(`${C}/a`), create(`${C}/b`)]),
  ];
  const first = await roll(shared);
  expect([first.commits, first.stopped]).toEqual([2, undefined]);
  try {
    await use({ fixture, account, store, server, roll });
  } finally {
    await store.close();
    await server.close();
  }
}

/** A change of an event's payload. */
function changed(event: LoggedEvent, change: (payload: Record<string, unknown>) => object): LoggedEvent {
  const { payload } = decodeFrame(event.frame);
  const head = encodeCbor({ op: 1, t: `#${event.kind}` });
  return { ...event, frame: Buffer.concat([head, encodeCbor({ ...payload, ...change(payload) })]) };
}

test("rollForward() brings a repo to where the events end, and its tree, records and signature are whole", async () => {
  await scene(async ({ fixture, account, store, server, roll }) => {
    const events = [
      fixture.commit(server, account.signer, [create(`${C}/c`), update(`${C}/a`, { text: "new" })]),
      fixture.commit(server, account.signer, [remove(`${C}/b`)]),
      fixture.commit(server, account.signer, [create(`${C}/b`, { text: "again" })]),
    ];
    const rolled = await roll(events);
    expect([rolled.commits, rolled.stopped]).toEqual([3, undefined]);
    expect(store.state().head).toEqual(server.state().head);
    expect(store.recordCid(C, "a")).toEqual(server.recordCid(C, "a"));
    verifyRestored(store, [account.signer.didKey]);
    // Once more: it has all of it.
    expect((await roll(events)).commits).toBe(0);
    expect(store.state().head).toEqual(server.state().head);
  });
});

describe("rollForward() leaves the repo at its last good state", () => {
  const stranger = signerFromPrivateKey("k256", Buffer.alloc(32, 7));
  type Spoil = (events: LoggedEvent[], scene: Scene) => LoggedEvent[];
  const rows: readonly (readonly [string, string, Spoil])[] = [
    ["where an event is missing", "it follows", (events) => events.toSpliced(1, 1)],
    [
      "where an event is too big",
      "too big",
      (events) =>
        events.with(
          1,
          changed(events[1] as LoggedEvent, () => ({ tooBig: true })),
        ),
    ],
    [
      "where an op was altered",
      "its tree is not that of its ops",
      (events) =>
        events.with(
          1,
          changed(events[1] as LoggedEvent, ({ ops }) => ({
            ops: (ops as { path: string }[]).map((op) => ({ ...op, path: `${C}/forged` })),
          })),
        ),
    ],
    [
      "where an op is missing",
      "its tree is not that of its ops",
      (events) =>
        events.with(
          1,
          changed(events[1] as LoggedEvent, () => ({ ops: [] })),
        ),
    ],
    [
      "where the blocks are of another commit",
      "its repo or rev is not that of its commit",
      (events) =>
        events.with(
          1,
          changed(events[1] as LoggedEvent, () => ({
            blocks: decodeFrame((events[2] as LoggedEvent).frame).payload.blocks,
          })),
        ),
    ],
    [
      "where the blocks are not there",
      "it has no blocks",
      (events) =>
        events.with(
          1,
          changed(events[1] as LoggedEvent, () => ({ blocks: null })),
        ),
    ],
    [
      "where somebody else has signed",
      "signed by none of the account's keys",
      (events, { fixture, server }) => [
        ...events.slice(0, 3),
        fixture.commit(server, stranger, [create(`${C}/z`)]),
      ],
    ],
  ];

  test.each(rows)("%s", async (title, why, spoil) => {
    await scene(async (all) => {
      const { fixture, account, store, server, roll } = all;
      const events = ["c", "d", "e"].map((rkey) =>
        fixture.commit(server, account.signer, [create(`${C}/${rkey}`)]),
      );
      const rolled = await roll(spoil(events, all));
      expect(rolled.stopped?.why).toContain(why);
      const good = title === "where somebody else has signed" ? 3 : 1;
      expect(rolled.commits).toBe(good);
      expect(store.recordCount()).toBe(2 + good);
      verifyRestored(store, [account.signer.didKey]);
    });
  });
});

test("rollForward() takes a #sync over the same tree, and stops at one over another", async () => {
  await scene(async ({ fixture, account, store, server, roll }) => {
    fixture.commit(server, account.signer, []);
    const same = await roll([fixture.sync(server)]);
    expect([same.commits, store.state().head]).toEqual([1, server.state().head]);
    const next = fixture.commit(server, account.signer, [create(`${C}/c`)]);
    expect((await roll([next])).commits).toBe(1);
    fixture.commit(server, account.signer, [create(`${C}/imported`)]);
    const imported = await roll([fixture.sync(server)]);
    expect([imported.commits, imported.stopped?.why]).toEqual([0, expect.stringContaining("a whole repo")]);
  });
});

test("rollForward() takes commits by any of the keys that the account has had", async () => {
  await scene(async ({ fixture, account, server, roll }) => {
    const newer = signerFromPrivateKey("p256", Buffer.alloc(32, 9));
    const events = [
      fixture.commit(server, account.signer, [create(`${C}/c`)]),
      fixture.commit(server, newer, [create(`${C}/d`)]),
    ];
    expect((await roll(events, { keys: [newer.didKey, account.signer.didKey] })).commits).toBe(2);
  });
});

test("rollForward() finds what the file does not know of status and handle, and nothing older", async () => {
  await scene(async ({ fixture, account, server, roll }) => {
    const old = [
      fixture.renamed(DID, "old.test"),
      fixture.told(DID, "takendown"),
      fixture.told(DID, "active"),
    ];
    const known = fixture.commit(server, account.signer, [create(`${C}/c`)]);
    expect((await roll([known])).commits).toBe(1);
    const none = await roll(old);
    expect([none.status, none.handle]).toEqual([undefined, undefined]);
    const news = [
      fixture.renamed(DID, "new.test"),
      fixture.told(DID, "takendown"),
      fixture.told(DID, "active"),
    ];
    const rolled = await roll([...old, known, ...news]);
    expect(rolled.handle).toEqual({ seq: news[0]?.seq ?? 0, handle: "new.test" });
    expect(rolled.status).toEqual({ seq: news[2]?.seq ?? 0, status: "active" });
    expect(rolled.owner).toEqual({ seq: news[2]?.seq ?? 0, status: "active" });
    // Of what the owner has made of it a takedown tells nothing.
    const down = [fixture.told(DID, "deactivated"), fixture.told(DID, "takendown")];
    const { status, owner } = await roll(down);
    expect([status?.status, owner]).toEqual(["takendown", { seq: down[0]?.seq ?? 0, status: "deactivated" }]);
    expect((await roll([fixture.told(DID, "deleted")])).status?.status).toBe("deleted");
  });
});

test("rollForward() without commits leaves the repo, and finds the rest", async () => {
  await scene(async ({ fixture, account, store, server, roll }) => {
    const { head } = store.state();
    const events = [
      fixture.commit(server, account.signer, [create(`${C}/c`)]),
      fixture.told(DID, "takendown"),
    ];
    const rolled = await roll(events, { takesCommits: false });
    expect([rolled.commits, rolled.stopped, rolled.status?.status]).toEqual([0, undefined, "takendown"]);
    expect(store.state().head).toEqual(head);
  });
});

test("rollForward() remembers blobs that came after the file, and forgets those that went", async () => {
  await scene(async ({ fixture, account, store, server, roll }) => {
    const blob = (n: number) => {
      const bytes = Buffer.from(`blob ${n}`);
      const cid = cidOfRaw(bytes);
      return { cid, ref: { $type: "blob", ref: toCidLink(cid), mimeType: "text/plain", size: bytes.length } };
    };
    const [one, two] = [blob(1), blob(2)];
    const events = [
      fixture.commit(server, account.signer, [create(`${C}/c`, { blob: one.ref })]),
      fixture.commit(server, account.signer, [update(`${C}/c`, { blob: two.ref })]),
    ];
    const rolled = await roll(events);
    expect(rolled.stopped).toBeUndefined();
    expect(store.blob(two.cid)).toMatchObject({ mimeType: "text/plain", size: 6 });
    expect(store.blob(one.cid)).toBeUndefined();
    expect(rolled.released).toEqual([one.cid]);
  });
});
