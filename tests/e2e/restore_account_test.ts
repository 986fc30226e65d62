/** One account's file is damaged: it is taken from a restore aside, and the network follows on, with the others as they are. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Account, createRecord, post } from "../client.ts";
import { RestoredStage } from "../restored_stage.ts";
import { waitFor } from "../wait.ts";

const TIMEOUT_MS = 120_000;

let stage: RestoredStage;
let [alice, bob] = [] as unknown as [Account, Account];

beforeAll(async () => {
  stage = await RestoredStage.open();
  [alice, bob] = [await stage.account("alice"), await stage.account("bob")];
  await createRecord(stage.url, alice, { record: post("before the snapshot") });
  await stage.backUp();
  const { commit } = await createRecord(stage.url, alice, { record: post("after the snapshot") });
  await stage.settle(commit.rev);
  // A server that stops ships what it has.
  expect(await stage.server.stop()).toBe(0);
}, TIMEOUT_MS);

afterAll(async () => {
  await stage?.[Symbol.asyncDispose]();
});

test(
  "a damaged file of an account is replaced by that of a restore aside, and goes on",
  async () => {
    const [file = ""] = new Bun.Glob(`repos/**/${alice.did.replaceAll(":", "_")}.*.sqlite`).scanSync(
      stage.data,
    );
    writeFileSync(join(stage.data, file), "not a database any more ".repeat(4096));
    const found = await stage.kith(["verify"]);
    expect(found.code).toBe(1);
    expect(found.out).toContain("[repo_damaged]");
    expect(found.out).toContain('"kith restore --data FOLDER --skip-relays"');

    const aside = join(stage.path, "aside");
    const restored = await stage.kith(["restore", "--data", aside, "--skip-relays"]);
    expect([restored.code, restored.err]).toEqual([0, expect.any(String)]);
    for (const end of ["-wal", "-shm"]) rmSync(join(stage.data, `${file}${end}`), { force: true });
    cpSync(join(aside, file), join(stage.data, file));
    rmSync(aside, { recursive: true });
    const sound = await stage.kith(["verify", "--repair", "--yes"]);
    expect([sound.code, sound.out]).toEqual([0, expect.stringContaining("no problem was found")]);

    const seen = stage.events.length;
    await stage.server.start();
    await stage.follow();
    await waitFor("the #sync of alice", () =>
      stage.events.slice(seen).some(({ type, did }) => type === "#sync" && did === alice.did),
    );
    expect((await stage.resync(alice.did)).records.size).toBe(2);
    expect((await stage.repo(bob.did)).records.size).toBe(0);
    const { commit } = await createRecord(stage.url, alice, { record: post("again") });
    await stage.settle(commit.rev);
    expect(stage.auditor.of(alice.did).records.size).toBe(3);
    // The backup is still this folder's.
    await stage.backUp();
  },
  TIMEOUT_MS,
);
