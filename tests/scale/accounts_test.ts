/** Many accounts: written to at once through few connections, and more of them than may be open. */
import { expect, test } from "bun:test";
import { createRecord, repoCar } from "../client.ts";
import { Firehose } from "../firehose.ts";
import { KEY_TYPES, TestServer } from "../harness.ts";
import { FirehoseAuditor, judgeRepo } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { keyLookup } from "../stage.ts";
import { seededRandom, waitFor } from "../wait.ts";
import { inParallel, largestDuring, scaled, signUp } from "./load.ts";

const CONNECTIONS = 16;
const LIMIT_MS = 600_000;
/** Sockets of clients, the server's own files, and the few that are on their way between open and closed. */
const OTHER_DESCRIPTORS_MAX = 100;
/** A database in WAL mode: the file, its -wal, its -shm, and the descriptor by which its WAL is synced. */
const DESCRIPTORS_PER_REPO = 4;

test.each([...KEY_TYPES])(
  `100 accounts written to at once through ${CONNECTIONS} connections (%s)`,
  async (keyType) => {
    await using plc = await PlcDirectory.start();
    await using server = await TestServer.start({
      env: { PDS_DID_PLC_URL: plc.url, PDS_ACCOUNT_KEY_TYPE: keyType },
    });
    const keyOf = keyLookup(plc);
    const auditor = new FirehoseAuditor(keyOf);
    using firehose = await Firehose.connect(server.url, {
      keep: false,
      onEvent: (event) => auditor.take(event),
    });
    const accounts = await inParallel(
      CONNECTIONS,
      Array.from({ length: scaled(100) }, (_, i) => () => signUp(server.url, `user${i}`)),
    );
    const random = seededRandom(100);
    const $type = "dev.kith.test.many";
    const writes = Array.from({ length: scaled(2_000) }, (_, i) => () => {
      // half of the writes go to four accounts, so that writes to one repo meet
      const index = Math.floor(random() * (i % 2 ? 4 : accounts.length)) % accounts.length;
      return createRecord(server.url, accounts[index]!, { collection: $type, record: { $type, number: i } });
    });
    const made = await inParallel(CONNECTIONS, writes);
    expect(new Set(made.map(({ uri }) => uri)).size).toBe(writes.length);
    expect(new Set(made.map(({ commit }) => commit.cid)).size).toBe(writes.length);
    await waitFor("every commit on the firehose", async () => {
      await auditor.finish();
      return auditor.commits === writes.length + accounts.length;
    });
    firehose.assertClean();
    for (const { did } of accounts) {
      const repo = await judgeRepo(await repoCar(server.url, did), did, await keyOf(did));
      expect([...repo.records].sort()).toEqual([...auditor.of(did).records].sort());
    }
  },
  LIMIT_MS,
);

test(
  `${scaled(2_000)} accounts with 50 repos open at most`,
  async () => {
    const openMax = 50;
    await using server = await TestServer.start({ env: { KITH_OPEN_REPOS_MAX: String(openMax) } });
    using firehose = await Firehose.connect(server.url);
    const idle = server.descriptors();
    const random = seededRandom(2_000);
    const $type = "dev.kith.test.many";
    const revs = new Map<string, string>();
    let created = 0;
    const most = await largestDuring(
      () => server.descriptors(),
      async () => {
        const accounts = await inParallel(
          CONNECTIONS,
          Array.from({ length: scaled(2_000) }, (_, i) => () => signUp(server.url, `user${i}`)),
        );
        created = accounts.length;
        const writes = Array.from({ length: scaled(3_000) }, (_, i) => async () => {
          const account = accounts[Math.floor(random() * (i % 3 ? accounts.length : 10)) % accounts.length]!;
          const { commit } = await createRecord(server.url, account, {
            collection: $type,
            record: { $type, number: i },
          });
          const last = revs.get(account.did) ?? "";
          if (commit.rev > last) revs.set(account.did, commit.rev);
        });
        await inParallel(CONNECTIONS, writes);
      },
    );
    console.log(`${created} accounts, descriptors: ${idle} idle, ${most} at most`);
    expect(most).toBeLessThan(idle + openMax * DESCRIPTORS_PER_REPO + OTHER_DESCRIPTORS_MAX);
    const commits = () => firehose.events.filter((event) => event.type === "#commit");
    await waitFor("every commit on the firehose", () => commits().length === created + scaled(3_000));
    firehose.assertClean();
    // one actor for a DID: each commit continues the one before it
    const last = new Map<string, string>();
    for (const { did, body } of commits()) {
      expect({ did, since: body.since }).toEqual({ did, since: last.get(did) ?? null });
      last.set(did, String(body.rev));
    }
    for (const [did, rev] of revs) expect(last.get(did)).toBe(rev);
  },
  LIMIT_MS,
);
