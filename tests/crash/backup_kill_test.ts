/**
 * `kill -9` in every phase of a backup: of the server that takes it, and of the command that takes one of a folder at rest. What was
 * there before is whole, the next run is not held up, and what was written already is not written again.
 */
import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { BackupPlace } from "../backup_parts.ts";
import { type Account, createAccount, createRecord, post, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { letMidnightPass, within } from "../wait.ts";
import { tally } from "./tally.ts";

const PHASES = ["look", "log", "repos", "accounts", "blobs", "verify", "prune"] as const;
const LIMIT_MS = 600_000;
/** What the kills in all phases take at the most. */
const COUNTED_MS = 180_000;

/** Something new of every kind. */
async function write(url: string, account: Account): Promise<void> {
  for (let n = 0; n < 5; n++) await createRecord(url, account, { record: post(`number ${n}`) });
  await xrpc(url, "com.atproto.repo.uploadBlob", {
    token: account.accessJwt,
    body: randomBytes(2_500_000),
    headers: { "content-type": "application/octet-stream" },
  });
}

/** Reads what the command prints until the phase is there; false where it ends before. */
async function untilPhase(output: ReadableStream<Uint8Array>, phase: string): Promise<boolean> {
  let text = "";
  for await (const bytes of output) {
    text += new TextDecoder().decode(bytes);
    if (text.includes(`"phase":"${phase}"`)) return true;
  }
  return false;
}

const snapshotsOf = async (place: BackupPlace) => (await (await place.open()).snapshots()).length;

test(
  "kill -9 of the server in each phase of a backup",
  async () => {
    await letMidnightPass(COUNTED_MS);
    using place = new BackupPlace();
    await using server = await TestServer.start({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
    const { folder } = server;
    const account = await createAccount(server.url, "alice");
    expect((await place.run(["backup"], { folder })).code).toBe(0);
    for (const phase of PHASES) {
      await write(server.url, account);
      const before = await snapshotsOf(place);
      const child = place.spawn(["backup", "--json"], { folder });
      expect(await within(`the phase "${phase}"`, untilPhase(child.stdout, phase))).toBe(true);
      await server.kill();
      await within("the command to end", child.exited);
      const after = await snapshotsOf(place);
      // Visible is one only once all of it was proven.
      expect([before, before + 1]).toContain(after);
      await place.assertWhole();
      await server.start();
      const again = await place.run(["backup", "--json"], { folder });
      expect([again.code, again.err]).toEqual([0, ""]);
      expect(await snapshotsOf(place)).toBe(after + 1);
      await place.assertWhole();
    }
    tally("kills in a backup", PHASES.length);
  },
  LIMIT_MS,
);

test(
  "kill -9 of kith backup in each phase, of a folder at rest",
  async () => {
    using place = new BackupPlace();
    await using server = await TestServer.start({ env: place.env() });
    const { folder } = server;
    const account = await createAccount(server.url, "alice");
    for (const phase of PHASES) {
      await write(server.url, account);
      await server.stop();
      const child = place.spawn(["backup", "--json"], { folder });
      expect(await within(`the phase "${phase}"`, untilPhase(child.stdout, phase))).toBe(true);
      child.kill("SIGKILL");
      await within("the command to end", child.exited);
      const again = await place.run(["backup", "--json"], { folder });
      expect([again.code, again.err]).toEqual([0, ""]);
      await place.assertWhole();
      await server.start();
    }
    tally("kills in a backup", PHASES.length);
  },
  LIMIT_MS,
);
