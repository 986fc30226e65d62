/** SIGTERM under load: what was begun ends, what was answered stays, and the pause is short. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Account, createRecord, http, post } from "../client.ts";
import { Firehose } from "../firehose.ts";
import { KEY_TYPES } from "../harness.ts";
import { Stage } from "../stage.ts";
import { stallAfterFirstByte, stallAfterSending } from "../stalled_socket.ts";
import { waitFor, within } from "../wait.ts";

const WRITERS = 8;
/** From the first refused connection to the next accepted one. */
const REFUSED_MS_MAX = 1_000;
/** What a busy machine has made longer is tried again: the server can do it, or never does. */
const RESTARTS_MAX = 6;
/** A server that waited for what does not come would do so for DRAIN_TIMEOUT_MS of src/running.ts, 10 s. */
const STOP_MS_MAX = 8_000;

/** Writes until told to end; keeps what was answered. A refusal or a lost connection is no answer. */
async function writeOn(
  stage: Stage,
  account: Account,
  state: { ended: boolean },
): Promise<{ cid: string; uri: string }[]> {
  const answered: { cid: string; uri: string }[] = [];
  for (let i = 0; !state.ended; i += 1) {
    await createRecord(stage.url, account, { record: post(`under load ${i}`) })
      .then((made) => answered.push(made))
      .catch(() => Bun.sleep(2));
  }
  return answered;
}

/** The longest time in milliseconds during which no connection was accepted, probed without pause. */
async function longestGap(url: string, state: { ended: boolean }): Promise<number> {
  let longest = 0;
  let lastAccepted = performance.now();
  while (!state.ended) {
    const accepted = await http(`${url}/xrpc/_health`).then(
      () => true,
      () => false,
    );
    const now = performance.now();
    if (accepted) {
      longest = Math.max(longest, now - lastAccepted);
      lastAccepted = now;
    } else await Bun.sleep(2);
  }
  return longest;
}

/** The pause of another restart under the same load. */
async function pauseAgain(stage: Stage, accounts: readonly Account[]): Promise<number> {
  const state = { ended: false };
  const writers = accounts.map((account) => writeOn(stage, account, state));
  const gap = longestGap(stage.url, state);
  expect(await stage.server.stop()).toBe(0);
  await stage.server.start();
  state.ended = true;
  await within("the writers", Promise.all(writers));
  return await gap;
}

test.each([...KEY_TYPES])(
  "SIGTERM under load drains and exits 0; cursors go on after the restart (%s)",
  async (keyType) => {
    await using stage = await Stage.open({ keyType });
    const accounts = await Promise.all(
      Array.from({ length: WRITERS }, (_, i) => stage.account(`writer${i}`)),
    );
    const subscribers = await Promise.all(
      Array.from({ length: 10 }, () => Firehose.connect(stage.url, { keep: false })),
    );
    const state = { ended: false };
    const writers = accounts.map((account) => writeOn(stage, account, state));
    const gap = longestGap(stage.url, state);
    const countWrites = () => stage.firehose.events.length;
    const before = countWrites();
    await waitFor("the load", () => countWrites() > before + 100);
    expect(await stage.server.stop()).toBe(0);
    await waitFor("the subscribers to be told", () => subscribers.every((subscriber) => subscriber.closed));
    for (const subscriber of subscribers) {
      subscriber.assertClean();
      expect([1000, 1001, 1012]).toContain(subscriber.closed?.code ?? 0);
    }
    await stage.server.start();
    using resumed = await Firehose.connect(stage.url, {
      cursor: stage.firehose.lastSeq,
      onEvent: (event) => stage.auditor.take(event),
    });
    await waitFor("the load after the restart", () => resumed.events.length > 50);
    state.ended = true;
    const answered = (await within("the writers", Promise.all(writers))).flat();
    let pause = await gap;
    const uris = new Map<string, string>(answered.map(({ uri, cid }) => [uri, cid]));
    const followed = () =>
      new Map<string, string>(
        [...stage.auditor.accounts].flatMap(([did, { records }]) =>
          [...records].map(([path, cid]) => [`at://${did}/${path}`, cid] as const),
        ),
      );
    await waitFor("every answered write on the firehose", async () => {
      await stage.auditor.finish();
      const told = followed();
      return [...uris.keys()].every((uri) => told.has(uri));
    });
    resumed.assertClean();
    const told = followed();
    for (const [uri, cid] of uris) expect(told.get(uri)).toBe(cid);
    for (const account of accounts) {
      const repo = await stage.repo(account);
      expect([...repo.records].sort()).toEqual([...stage.auditor.of(account.did).records].sort());
    }
    for (let restarts = 1; pause >= REFUSED_MS_MAX && restarts < RESTARTS_MAX; restarts += 1)
      pause = await pauseAgain(stage, accounts);
    expect(pause).toBeLessThan(REFUSED_MS_MAX);
  },
);

test("SIGTERM waits neither for a body that does not arrive nor for an export that nobody reads", async () => {
  await using stage = await Stage.open({ keyType: "k256" });
  const { alice } = stage;
  const text = "x".repeat(900_000);
  for (let n = 0; n < 8; n += 1) {
    await createRecord(stage.url, alice, { collection: "dev.kith.test.large", record: { n, text } });
  }
  const head = (line: string, length: number) =>
    `${line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${alice.accessJwt}\r\nContent-Length: ${length}\r\n`;
  const { port } = stage.server;
  const upload = `${head("POST /xrpc/com.atproto.repo.uploadBlob", 100)}Content-Type: text/plain\r\n\r\nabc`;
  const login = `${head("POST /xrpc/com.atproto.server.createSession", 100)}Content-Type: application/json\r\n\r\n{`;
  const getRepo = `${head(`GET /xrpc/com.atproto.sync.getRepo?did=${alice.did}`, 0)}\r\n`;
  const stalled = [
    await stallAfterSending(port, login),
    await stallAfterSending(port, upload),
    await stallAfterFirstByte(port, getRepo),
  ];
  await waitFor(
    "the upload to begin",
    () => readdirSync(join(stage.server.folder, "blobs", "temp")).length > 0,
  );
  const startedMs = performance.now();
  expect(await stage.server.stop()).toBe(0);
  expect(performance.now() - startedMs).toBeLessThan(STOP_MS_MAX);
  for (const socket of stalled) socket.destroy();
});
