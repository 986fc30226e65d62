/** Restores from a snapshot that is not among the newest: moderation and revocations of after it hold, and what newer snapshots have is there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { RestoreReport } from "../../src/backup/restore_report.ts";
import { type Account, createRecord, PASSWORD, post, postFile, xrpc } from "../client.ts";
import type { Ran } from "../kith_command.ts";
import { RestoredStage } from "../restored_stage.ts";
import { letMidnightPass } from "../wait.ts";

const LIMIT_MS = 300_000;
const NEW_PASSWORD = "another one, 7 words long";

let stage: RestoredStage;
let alice: Account;
let newone: Account;
/** Restored while there was no newer snapshot. */
let beforeThem: Restored;
/** The snapshot before everything that happens. */
let snapshot = "";
let record = { uri: "", cid: "" };
const blobs = { takenDown: "", kept: "" };
const app = { password: "", refreshJwt: "" };

interface Restored {
  readonly ran: Ran;
  readonly report: RestoreReport;
  readonly data: string;
}

async function afterwards(): Promise<void> {
  const { did } = alice;
  const subjects = [
    { $type: "com.atproto.repo.strongRef", ...record },
    { $type: "com.atproto.admin.defs#repoBlobRef", did, cid: blobs.takenDown },
  ];
  for (const subject of subjects) {
    const change = { subject, takedown: { applied: true, ref: "late" } };
    await stage.call("com.atproto.admin.updateSubjectStatus", change, "admin");
  }
  await stage.call("com.atproto.server.revokeAppPassword", { name: "stolen" }, alice);
  blobs.kept = await postFile(stage.url, alice, { rkey: "kept", content: "the blob of kept" });
  await stage.call("com.atproto.admin.updateAccountPassword", { did, password: NEW_PASSWORD }, "admin");
  newone = await stage.account("newone");
  await createRecord(stage.url, newone, { record: post("made after the snapshot") });
}

async function restoreInto(folder: string, ...args: string[]): Promise<Restored> {
  const data = join(stage.path, folder);
  const ran = await stage.kith(["restore", stage.destination, "--skip-relays", "--at", snapshot, ...args], {
    PDS_DATA_DIRECTORY: data,
  });
  const path = join(data, "restored.json");
  if (!existsSync(path)) throw new Error(`kith restore ends with ${ran.code}: ${ran.err}${ran.out}`);
  return { ran, report: JSON.parse(readFileSync(path, "utf8")) as RestoreReport, data };
}

/** What the world gets of it, from a server that backs up to nowhere. */
async function statuses({ data }: Restored): Promise<Record<string, number>> {
  stage.set("PDS_DATA_DIRECTORY", data);
  stage.set("KITH_BACKUP_DESTINATION", undefined);
  await stage.server.start();
  try {
    const get = async (nsid: string, params: Record<string, string>) =>
      (await xrpc(stage.url, nsid, { params })).status;
    const signIn = async (password: string) =>
      (
        await xrpc(stage.url, "com.atproto.server.createSession", {
          body: { identifier: alice.did, password },
        })
      ).status;
    const [collection = "", rkey = ""] = record.uri.split("/").slice(-2);
    const refreshed = await xrpc(stage.url, "com.atproto.server.refreshSession", {
      token: app.refreshJwt,
      method: "POST",
    });
    return {
      record: await get("com.atproto.repo.getRecord", { repo: alice.did, collection, rkey }),
      takenDown: await get("com.atproto.sync.getBlob", { did: alice.did, cid: blobs.takenDown }),
      kept: await get("com.atproto.sync.getBlob", { did: alice.did, cid: blobs.kept }),
      revoked: await signIn(app.password),
      refreshed: refreshed.status,
      oldPassword: await signIn(PASSWORD),
      newPassword: await signIn(NEW_PASSWORD),
      newone: await get("com.atproto.sync.getRepoStatus", { did: newone.did }),
    };
  } finally {
    await stage.server.stop();
  }
}

beforeAll(async () => {
  await letMidnightPass(60_000);
  stage = await RestoredStage.open();
  alice = await stage.account("alice");
  record = await createRecord(stage.url, alice, { record: post("is taken down") });
  blobs.takenDown = await postFile(stage.url, alice, {
    rkey: "taken-down",
    content: "the blob of taken-down",
  });
  app.password = (await stage.call("com.atproto.server.createAppPassword", { name: "stolen" }, alice))
    .password as string;
  const opened = await xrpc(stage.url, "com.atproto.server.createSession", {
    body: { identifier: alice.did, password: app.password },
  });
  app.refreshJwt = opened.json.refreshJwt as string;
  await stage.backUp();
  const repository = await stage.repository();
  snapshot = (await repository.snapshots()).at(-1)?.name.split("/").at(-1) ?? "";
  await afterwards();
  // A server that stops ships what it has.
  expect(await stage.server.stop()).toBe(0);
  beforeThem = await restoreInto("before-them", "--no-roll-forward");
  // With them go the increments before.
  for (let n = 0; n < 3; n += 1) await stage.backUp();
}, LIMIT_MS);

afterAll(async () => {
  await stage?.[Symbol.asyncDispose]();
});

test(
  "rolled forward beyond newer snapshots, everything is as it was last",
  async () => {
    const restored = await restoreInto("rolled-forward");
    const { ran, report } = restored;
    expect({ code: ran.code, troubles: report.troubles, harms: report.check.harms }).toEqual({
      ...{ code: 0, troubles: [], harms: 0 },
    });
    expect(await statuses(restored)).toEqual({
      ...{ record: 400, takenDown: 400, kept: 200 },
      ...{ revoked: 401, refreshed: 400, oldPassword: 401, newPassword: 200, newone: 200 },
    });
  },
  LIMIT_MS,
);

test.each(["increments", "newer snapshots"])(
  "not rolled forward, takedowns and revocations hold that %s know of, and accounts that were made since are named",
  async (known) => {
    const restored =
      known === "increments" ? beforeThem : await restoreInto("as-it-was", "--no-roll-forward");
    const { ran, report } = restored;
    expect({ code: ran.code, troubles: report.troubles, harms: report.check.harms }).toEqual({
      ...{ code: 0, troubles: [], harms: 0 },
    });
    expect(report.notes).toContainEqual(expect.stringContaining(newone.did));
    expect(await statuses(restored)).toEqual({
      ...{ record: 400, takenDown: 400, kept: 400 },
      ...{ revoked: 401, refreshed: 400, oldPassword: 401, newPassword: 200, newone: 400 },
    });
  },
  LIMIT_MS,
);
