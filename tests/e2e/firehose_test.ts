/** The firehose: what a cursor means, that nothing is missed or told twice, and what the official consumer makes of it. */
import { describe, expect, test } from "bun:test";
import { DidPlcResolver, type IdResolver } from "@atproto/identity";
import { Firehose as OfficialFirehose } from "@atproto/sync";
import { createRecord, post, xrpc } from "../client.ts";
import { describeEvent, Firehose } from "../firehose.ts";
import { KEY_TYPES } from "../harness.ts";
import { rawRequest } from "../raw_http.ts";
import { Stage, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const POST = "app.bsky.feed.post";

describe.each([...KEY_TYPES])("firehose (%s)", (keyType) => {
  const holder = useStage({ keyType });

  test("createAccount: #identity, #account, #commit, #sync, with what each must say", async () => {
    const { stage } = holder;
    const { value: bob, events } = await stage.eventsDuring(() => stage.account("bobby"));
    expect(events.map(describeEvent)).toEqual(["#identity", "#account active", "#commit", "#sync"]);
    const [identity, account, commit, sync] = events;
    expect(identity?.body).toMatchObject({ did: bob.did, handle: bob.handle });
    expect(account?.body).toMatchObject({ did: bob.did, active: true });
    expect(account?.body.status).toBeUndefined();
    expect(commit?.body).toMatchObject({
      repo: bob.did,
      since: null,
      ops: [],
      blobs: [],
      tooBig: false,
      rebase: false,
    });
    expect(sync?.body).toMatchObject({ did: bob.did, rev: commit?.body.rev as string });
    const seqs = events.map((event) => event.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    for (const event of events) expect(Number.isSafeInteger(event.seq)).toBe(true);
  });

  test("cursor=0 gives all from the oldest event on, byte for byte what was sent live", async () => {
    const { stage } = holder;
    await createRecord(stage.url, stage.alice, { record: post("for replay") });
    await stage.eventsDuring(async () => undefined);
    using replay = await Firehose.connect(stage.url, { cursor: 0 });
    const last = stage.firehose.events.at(-1)!;
    await replay.find("the last event", (event) => event.seq === last.seq);
    replay.assertClean();
    expect(replay.infos).toEqual([]);
    expect(replay.events.map(({ seq }) => seq)).toEqual(stage.firehose.events.map(({ seq }) => seq));
    for (const [i, event] of replay.events.entries())
      expect(Buffer.compare(Buffer.from(event.frame), Buffer.from(stage.firehose.events[i]!.frame))).toBe(0);
  });

  test("a cursor in the middle gives what comes after it, then what is new", async () => {
    const { stage } = holder;
    const all = stage.firehose.events;
    const middle = all[Math.floor(all.length / 2)]!;
    using resumed = await Firehose.connect(stage.url, { cursor: middle.seq });
    const expected = all.filter((event) => event.seq > middle.seq).length;
    await waitFor("the backfill", () => resumed.events.length >= expected);
    await createRecord(stage.url, stage.alice, { record: post("after the backfill") });
    await stage.eventsDuring(async () => undefined);
    await resumed.find("the newest event", (event) => event.seq === all.at(-1)?.seq);
    resumed.assertClean();
    expect(resumed.events.map(({ seq }) => seq)).toEqual(
      all.filter((event) => event.seq > middle.seq).map(({ seq }) => seq),
    );
  });

  test("no cursor gives only what is new", async () => {
    const { stage } = holder;
    using live = await Firehose.connect(stage.url);
    const before = stage.firehose.lastSeq;
    await stage.eventsDuring(async () => undefined);
    await live.find("the mark", (event) => event.seq === stage.firehose.lastSeq);
    expect(live.events.every((event) => event.seq > before)).toBe(true);
  });

  test("the newest seq as cursor is no error; one beyond it is FutureCursor", async () => {
    const { stage } = holder;
    await stage.eventsDuring(async () => undefined);
    const newest = stage.firehose.lastSeq;
    using atHead = await Firehose.connect(stage.url, { cursor: newest });
    await stage.eventsDuring(async () => undefined);
    await atHead.find("what is new", (event) => event.seq === stage.firehose.lastSeq);
    expect(atHead.events[0]?.seq).toBeGreaterThan(newest);
    for (const cursor of [stage.firehose.lastSeq + 1, Number.MAX_SAFE_INTEGER]) {
      using future = await Firehose.connect(stage.url, { cursor });
      const { error } = await future.end();
      expect(error?.error).toBe("FutureCursor");
      expect(future.events).toEqual([]);
    }
  });

  test("a cursor that is no whole number is refused before the upgrade", async () => {
    const { stage } = holder;
    for (const cursor of ["abc", "-1", "1.5", "1e999", "9007199254740993"]) {
      const head = await rawRequest(
        stage.server.port,
        `GET /xrpc/com.atproto.sync.subscribeRepos?cursor=${cursor} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n` +
          "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
      expect({ cursor, status: head.slice(0, 12) }).toEqual({ cursor, status: "HTTP/1.1 400" });
    }
  });

  test("asked without an upgrade it answers 426, asked by POST 405, each as an XRPC error", async () => {
    const { stage } = holder;
    const plain = await xrpc(stage.url, "com.atproto.sync.subscribeRepos");
    expect(plain.status).toBe(426);
    expect(typeof plain.error).toBe("string");
    const posted = await xrpc(stage.url, "com.atproto.sync.subscribeRepos", { method: "POST" });
    expect(posted.status).toBe(405);
    expect(typeof posted.error).toBe("string");
  });

  test("what a subscriber sends is ignored, however odd", async () => {
    const { stage } = holder;
    using odd = await Firehose.connect(stage.url);
    odd.send(Uint8Array.from([0xff, 0x00, 0x9f, 0xbf, 0x5f, 0xd8, 0x2a]));
    odd.send(new Uint8Array(4096).fill(0x81));
    await stage.eventsDuring(async () => undefined);
    await odd.find("an event all the same", (event) => event.seq === stage.firehose.lastSeq);
  });

  test("@atproto/sync verifies every commit and tells what alice did", async () => {
    const { stage } = holder;
    const told: string[] = [];
    const problems: Error[] = [];
    const official = new OfficialFirehose({
      service: stage.url.replace(/^http/, "ws"),
      // the whole resolver refuses to run on Bun; of its parts only this one is used here
      idResolver: {
        did: new DidPlcResolver(stage.plc.url, 60_000, undefined, fetch),
      } as unknown as IdResolver,
      unauthenticatedHandles: true,
      getCursor: () => 0,
      onError: (error) => problems.push(error),
      handleEvent: (event) => {
        if (event.did !== stage.alice.did) return;
        told.push("collection" in event ? `${event.event} ${event.collection}/${event.rkey}` : event.event);
      },
    });
    void official.start();
    try {
      const made = await createRecord(stage.url, stage.alice, {
        rkey: "3jzfcijpj2z2x",
        record: post("officially"),
      });
      await xrpc(stage.url, "com.atproto.repo.deleteRecord", {
        token: stage.alice.accessJwt,
        body: { repo: stage.alice.did, collection: POST, rkey: "3jzfcijpj2z2x" },
      });
      expect(made.uri).toEndWith("3jzfcijpj2z2x");
      await waitFor("the delete", () => told.includes(`delete ${POST}/3jzfcijpj2z2x`));
    } finally {
      await official.destroy();
    }
    expect(problems).toEqual([]);
    expect(told.slice(0, 2)).toEqual(["identity", "account"]);
    expect(told).toContain(`create ${POST}/3jzfcijpj2z2x`);
  });

  test("the firehose of all this holds to Sync 1.1 and leads to what the repos hold", () =>
    holder.stage.judgeAll());

  test("a cursor goes on after a restart, and seq rises on", async () => {
    const { stage } = holder;
    const cursor = stage.firehose.lastSeq;
    expect(await stage.server.stop()).toBe(0);
    await stage.server.start();
    const { commit } = await createRecord(stage.url, stage.alice, { record: post("after the restart") });
    using resumed = await Firehose.connect(stage.url, { cursor });
    const event = await resumed.find("the new commit", ({ body }) => body.rev === commit.rev);
    expect(event.seq).toBeGreaterThan(cursor);
    resumed.assertClean();
    expect(resumed.events).toHaveLength(1);
  });
});

test("a cursor older than the window: #info OutdatedCursor, then from the oldest in it", async () => {
  await using stage = await Stage.open({ env: { PDS_REPO_BACKFILL_LIMIT_MS: "50" } });
  await createRecord(stage.url, stage.alice, { record: post("soon too old") });
  const outdated = await waitFor("the window to pass", async () => {
    using replay = await Firehose.connect(stage.url, { cursor: 1 });
    const made = await createRecord(stage.url, stage.alice, { record: post("new") });
    await replay.find("the new one", ({ body }) => body.rev === made.commit.rev);
    return replay.infos.length > 0 && { infos: [...replay.infos], events: [...replay.events] };
  });
  expect(outdated.infos[0]?.name).toBe("OutdatedCursor");
  expect(outdated.events.length).toBeLessThan(stage.firehose.events.length);
  expect(outdated.events.at(-1)?.type).toBe("#commit");
});
