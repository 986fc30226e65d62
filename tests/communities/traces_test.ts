/** What this server still knows of a stock account's secrets, state by state: each as long as it is needed, and no longer. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secp256k1Keypair } from "@atproto/crypto";
import { CommunitySweep } from "../../src/communities/mod.ts";
import { createLogger } from "../../src/logger.ts";
import { Keyring, TOMBSTONE_NULLIFIABLE_MS } from "../../src/storage/mod.ts";
import { KithParts } from "../kith_parts.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { type ProvisionInput, provisionInput, ROOM } from "./group.ts";
import { refuse, StockPds } from "./stock_pds.ts";

const NOTE = "dev.kith.test.note";
const record = { $type: NOTE, text: "hello" };
const folder = mkdtempSync(join(tmpdir(), "kith-traces-"));
const KEY_OF = { attempt: "id", attempt_archive: "id", community: "did" } as const;
type Table = keyof typeof KEY_OF;

let plc: PlcDirectory;
let pds: StockPds;
let kith: KithParts;
let token: string;
let names = 0;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  pds = new StockPds();
  const env = { ...ROOM, PDS_DID_PLC_URL: plc.url, KITH_COMMUNITY_PDS_ALLOWLIST: pds.url };
  kith = await KithParts.open({ ...env, PDS_RATE_LIMITS_ENABLED: "false" }, folder);
  const input = { handle: "alice.test", email: "alice@mail.test", password: "password-of-alice" };
  token = String((await kith.call("com.atproto.server.createAccount", { input })).json.accessJwt);
});
beforeEach(() => pds.lies.clear());
afterAll(async () => {
  await kith?.[Symbol.asyncDispose]();
  await pds?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

async function request(): Promise<ProvisionInput> {
  const name = `group${names++}`;
  const declaration = { collection: NOTE, rkey: "self", record };
  const more = { handle: `${name}.test`, email: `${name}@mail.test`, pdsEndpoint: pds.url, declaration };
  return provisionInput(await Secp256k1Keypair.create(), more);
}

const ask = (name: string, input: object) => kith.call(`dev.kith.community.${name}`, { token, input });

/** The sealed columns of a row that hold anything, opened. */
function opened(table: Table, where: string): Map<string, string> {
  using database = new Database(join(folder, "accounts.sqlite"), { readonly: true });
  const keyring = Keyring.open(join(folder, "master.key"));
  const key = KEY_OF[table];
  const rows = database.query<Record<string, unknown>, []>(`SELECT * FROM ${table} WHERE ${where}`).all();
  expect(rows).toHaveLength(1);
  const sealed = Object.entries(rows[0] ?? {}).filter(
    (entry): entry is [string, Uint8Array] =>
      entry[1] instanceof Uint8Array && !["genesis_op", "update_op"].includes(entry[0]),
  );
  return new Map(
    sealed.map(([column, value]) => {
      const at = { purpose: "communities", table, column, row: String(rows[0]?.[key]) };
      return [column, Buffer.from(keyring.unseal(value, at)).toString("latin1")];
    }),
  );
}

/** What the host knows the opened values by. */
function told(columns: ReadonlyMap<string, string>): string[] {
  const text = [...columns.values()].join("\n");
  return [
    ...new Set([...pds.secrets].flatMap(([secret, what]) => (text.includes(secret) ? [what] : []))),
  ].sort();
}

/** The attempt stops at a call of its host. */
async function stopAt(method: string, body: ProvisionInput): Promise<Map<string, string>> {
  pds.lies.set(method, (call, answer) =>
    method === "createAccount" && !call.token ? answer() : new Response("", { status: 500 }),
  );
  const { status, json } = await ask("provision", body);
  expect([status, json.error]).toEqual([502, "ProvisioningFailed"]);
  pds.lies.clear();
  return opened("attempt", `handle = '${body.handle}'`);
}

test("each secret is there from the step that makes it to the last one that needs it", async () => {
  const body = await request();
  const before = ["account_password", "request", "signing_key", "subordinate_key"];
  expect([...(await stopAt("createAccount", body)).keys()].sort()).toEqual(before);
  const made = await stopAt("getRecommendedDidCredentials", body);
  expect([[...made.keys()].sort(), told(made)]).toEqual([before, ["account password"]]);
  // The DID has the host's key now: the temporary one is gone.
  const updated = await stopAt("activateAccount", body);
  const after = before.filter((column) => column !== "signing_key");
  expect([[...updated.keys()].sort(), told(updated)]).toEqual([after, ["account password"]]);
  const credential = await stopAt("putRecord", body);
  expect([[...credential.keys()].sort(), told(credential)]).toEqual([
    ["account_password", "app_password", "request", "subordinate_key"],
    ["account password", "app password"],
  ]);

  const { json } = await ask("provision", body);
  const { password } = json.rootCredentials as { password: string };
  expect(pds.secrets.get(password)).toBe("account password");
  // The password was handed out: nothing is left in the attempt.
  expect(opened("attempt", `handle = '${body.handle}'`)).toEqual(new Map());
  const own = opened("community", `handle = '${body.handle}'`);
  expect([[...own.keys()].sort(), told(own)]).toEqual([
    ["app_password", "subordinate_key"],
    ["app password"],
  ]);

  const write = { communityDid: json.communityDid, collection: NOTE, rkey: "first", record };
  expect((await ask("putRecord", write)).status).toBe(200);
  const used = opened("community", `handle = '${body.handle}'`);
  expect([[...used.keys()].sort(), told(used)]).toEqual([
    ["app_password", "session", "subordinate_key"],
    ["app password", "session by app password"],
  ]);
});

test("a password that nobody has come for waits; the first who comes takes it", async () => {
  const body = await request();
  const { takePassword } = kith.stores.attempts;
  // The answer does not come to be.
  kith.stores.attempts.takePassword = () => Promise.reject(new Error("gone"));
  expect((await ask("provision", body)).status).toBe(500);
  kith.stores.attempts.takePassword = takePassword;
  expect(told(opened("attempt", `handle = '${body.handle}'`))).toEqual(["account password"]);
  const answers = [await ask("provision", body), await ask("provision", body)];
  expect(answers.map(({ json }) => json.rootCredentials !== undefined)).toEqual([true, false]);
  expect(opened("attempt", `handle = '${body.handle}'`)).toEqual(new Map());
});

test("the keys of a DID that was given up are kept for the 72 hours in which that can be undone", async () => {
  const body = await request();
  pds.lies.set("createAccount", ({ token: proof }, answer) =>
    proof ? refuse("InvalidInviteCode") : answer(),
  );
  expect((await ask("provision", body)).json.error).toBe("InvalidInviteCode");
  const kept = () => opened("attempt_archive", `handle = '${body.handle}'`);
  expect([...kept().keys()].sort()).toEqual(["signing_key", "subordinate_key"]);
  expect(told(kept())).toEqual([]);
  const { attempts, attemptArchive: archive, communityAudit: audit, communityInvites: invites } = kith.stores;
  const logger = createLogger({ enabled: false });
  const sweepAt = (now: number) =>
    new CommunitySweep({ attempts, archive, audit, invites, logger, now: () => now }).sweep();
  const { archivedAt = 0 } = archive.archived({ limit: 1 }).attempts[0] ?? {};
  await sweepAt(archivedAt + TOMBSTONE_NULLIFIABLE_MS - 1);
  expect(kept().size).toBe(2);
  await sweepAt(archivedAt + TOMBSTONE_NULLIFIABLE_MS);
  expect(kept().size).toBe(0);
});

test("a community that is deleted takes its secrets with it", async () => {
  const body = await request();
  const { json } = await ask("provision", body);
  const { communityDid } = json;
  const write = { communityDid, collection: NOTE, rkey: "first", record };
  expect((await ask("putRecord", write)).status).toBe(200);
  expect((await ask("delete", { communityDid })).status).toBe(200);
  using database = new Database(join(folder, "accounts.sqlite"), { readonly: true });
  expect(database.query("SELECT * FROM community WHERE did = ?").all(String(communityDid))).toEqual([]);
  // The session of the app password is ended at the host, and every other one is too.
  expect(pds.tokensOf(String(communityDid))).toBe(0);
});
