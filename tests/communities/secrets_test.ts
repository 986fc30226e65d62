/** What is on the disk of a server that makes communities: every sealed value is opened, and every file is searched. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBase58Btc } from "@atcute/multibase";
import { Secp256k1Keypair } from "@atproto/crypto";
import { Keyring } from "../../src/storage/mod.ts";
import type { Call } from "../../src/xrpc/mod.ts";
import { KithParts } from "../kith_parts.ts";
import { approve } from "../oauth_app.ts";
import { FaultyPlc, PlcDirectory } from "../plc_directory.ts";
import { provisionInput, ROOM } from "./group.ts";

const NOTE = "dev.kith.test.note";
const COMMUNITIES = "communities";

/** Every column of bytes: sealed for which purpose, by which primary key; or why it is not sealed. */
const COLUMNS: Readonly<Record<string, { purpose: string; key: string } | "public">> = {
  "account.signing_key": { purpose: "signing keys", key: "did" },
  "account.genesis_operation": "public",
  "account.tombstone_before": "public",
  "account.tombstone_after": "public",
  "reserved_key.signing_key": { purpose: "signing keys", key: "id" },
  "identity_change.signing_key": { purpose: "signing keys", key: "did" },
  "mail_queue.mail": { purpose: "mail queue", key: "id" },
  "second_factor.totp_secret": { purpose: "second factors", key: "did" },
  "passkey.public_key": "public",
  "attempt.genesis_op": "public",
  "attempt.update_op": "public",
  "attempt.request": { purpose: COMMUNITIES, key: "id" },
  "attempt.signing_key": { purpose: COMMUNITIES, key: "id" },
  "attempt.subordinate_key": { purpose: COMMUNITIES, key: "id" },
  "attempt.account_password": { purpose: COMMUNITIES, key: "id" },
  "attempt.app_password": { purpose: COMMUNITIES, key: "id" },
  "attempt_archive.signing_key": { purpose: COMMUNITIES, key: "id" },
  "attempt_archive.subordinate_key": { purpose: COMMUNITIES, key: "id" },
  "community.app_password": { purpose: COMMUNITIES, key: "did" },
  "community.subordinate_key": { purpose: COMMUNITIES, key: "did" },
  "community.session": { purpose: COMMUNITIES, key: "did" },
  "community_oauth.session": { purpose: COMMUNITIES, key: "community" },
  "community_consent.secrets": { purpose: COMMUNITIES, key: "state_hash" },
  "community_client_key.private_key": { purpose: COMMUNITIES, key: "id" },
};

interface Opened {
  readonly column: string;
  readonly plain: Buffer;
}

/** All that is sealed, opened. A column that nobody has thought of fails. */
function openAll(folder: string): Opened[] {
  const keyring = Keyring.open(join(folder, "master.key"));
  using database = new Database(join(folder, "accounts.sqlite"), { readonly: true });
  const tables = database
    .query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'")
    .all();
  const found = tables.flatMap(({ name: table }) =>
    database
      .query<{ name: string; type: string }, []>(`PRAGMA table_info(${table})`)
      .all()
      .filter(({ type }) => type === "BLOB")
      .map(({ name }) => [table, name] as const),
  );
  expect(found.map((names) => names.join(".")).sort()).toEqual(Object.keys(COLUMNS).sort());
  return found.flatMap(([table, column]) => {
    const place = COLUMNS[`${table}.${column}`];
    if (place === undefined || place === "public") return [];
    const rows = database
      .query<{ row: string | number; value: Uint8Array }, []>(
        `SELECT ${place.key} AS row, ${column} AS value FROM ${table} WHERE ${column} IS NOT NULL`,
      )
      .all();
    return rows.map(({ row, value }) => {
      const at = { purpose: place.purpose, table, column, row: String(row) };
      return { column: `${table}.${column}`, plain: Buffer.from(keyring.unseal(value, at)) };
    });
  });
}

function filesOf(folder: string): [path: string, bytes: Buffer][] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path, readFileSync(path)];
    });
}

/** A secret, in every spelling that it could be written down in. */
function spellings(secret: Uint8Array): Buffer[] {
  const bytes = Buffer.from(secret);
  const texts = [
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    bytes.toString("base64"),
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("base64url"),
    toBase58Btc(bytes),
    BigInt(`0x${bytes.toString("hex")}`).toString(),
  ];
  return [bytes, ...texts.map((text) => Buffer.from(text))];
}

test("the caller's private key is nowhere, and what is secret is nowhere in clear", async () => {
  await using plc = await PlcDirectory.start();
  await using faulty = new FaultyPlc(plc);
  const folder = mkdtempSync(join(tmpdir(), "kith-secrets-"));
  const keys: Secp256k1Keypair[] = [];
  const told: string[] = [];
  try {
    const kith = await KithParts.open({ PDS_DID_PLC_URL: faulty.url, ...ROOM, LOG_ENABLED: "false" }, folder);
    try {
      await use(kith, { faulty, keys, told });
    } finally {
      await kith[Symbol.asyncDispose]();
    }
    const opened = openAll(folder);
    const columns = new Set(opened.map(({ column }) => column));
    for (const column of Object.keys(COLUMNS).filter((name) => /^(attempt|community)/.test(name))) {
      // An app password lies in an attempt only between two steps.
      if (COLUMNS[column] === "public" || column === "attempt.app_password") continue;
      expect(columns).toContain(column);
    }
    const files = filesOf(folder);
    expect(files.map(([path]) => path.slice(folder.length + 1))).toContain("accounts.sqlite");

    const privateKeys = await Promise.all(keys.map((key) => key.export()));
    expect(privateKeys.length).toBeGreaterThan(4);
    for (const needle of privateKeys.flatMap(spellings)) {
      for (const { column, plain } of opened)
        expect([column, plain.includes(needle)]).toEqual([column, false]);
      for (const [path, bytes] of files) expect([path, bytes.includes(needle)]).toEqual([path, false]);
    }
    // The public half is there: the search finds what there is.
    const publicKey = Buffer.from(keys[0]?.did() ?? "");
    expect(files.some(([, bytes]) => bytes.includes(publicKey))).toBe(true);

    const secrets = [
      ...told.map((text): [string, Buffer] => ["told", Buffer.from(text)]),
      ...opened.flatMap(({ column, plain }) =>
        pieces(plain).map((piece): [string, Buffer] => [column, piece]),
      ),
    ];
    for (const [name, secret] of secrets) {
      for (const [path, bytes] of files) {
        expect([name, path, bytes.includes(secret)]).toEqual([name, path, false]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);

const KEY_BYTES = 32;

/** Of a sealed value what is secret by itself: of JSON its texts. A key may begin with any byte. */
function pieces(plain: Buffer): Buffer[] {
  const text = plain.toString();
  if (plain.length === KEY_BYTES || !text.startsWith("{")) return [plain];
  const values = JSON.parse(text) as Record<string, string | undefined> & { dpopKey?: { d?: string } };
  const { accessJwt, refreshJwt, email, accessToken, refreshToken, verifier, d } = values;
  const ofOAuth = [accessToken, refreshToken, verifier, d, values.dpopKey?.d];
  return [accessJwt, refreshJwt, email, ...ofOAuth].flatMap((piece) => (piece ? [Buffer.from(piece)] : []));
}

/** Makes communities of every kind, and leaves some half-made. */
async function use(
  kith: KithParts,
  { faulty, keys, told }: { faulty: FaultyPlc; keys: Secp256k1Keypair[]; told: string[] },
): Promise<void> {
  const account = async (name: string) => {
    const input = { handle: `${name}.test`, email: `${name}@mail.test`, password: `password-of-${name}` };
    const { json } = await kith.call("com.atproto.server.createAccount", { input });
    return String(json.accessJwt);
  };
  const call = async (token: string, name: string, input?: object, params: Record<string, string> = {}) => {
    const given = { token, params, ...(input ? { input } : {}) };
    return await kith.call(`dev.kith.community.${name}`, given);
  };
  const does = async (token: string, name: string, input: object): Promise<Record<string, unknown>> => {
    const { status, json } = await call(token, name, input);
    expect([name, status, json]).toMatchObject([name, 200, {}]);
    return json;
  };
  const request = async (more: Record<string, unknown> & { handle: string }) => {
    const key = await Secp256k1Keypair.create({ exportable: true });
    keys.push(key);
    const email = `${more.handle.split(".")[0]}@secret-mail.example`;
    return provisionInput(key, { email, ...more });
  };
  const [alice, bob, carol] = [await account("alice"), await account("bob"), await account("carol")];
  const write = { collection: NOTE, record: { $type: NOTE, text: "hello" } };

  const native = await does(alice, "provision", await request({ handle: "native.test", hosting: "native" }));
  const stock = await does(alice, "provision", await request({ handle: "stocked.test", hosting: "stock" }));
  told.push((stock.rootCredentials as { password: string }).password);
  for (const { communityDid } of [native, stock]) {
    await does(alice, "createRecord", { communityDid, ...write });
    const invite = await does(alice, "invite.create", { communityDid });
    told.push(String(invite.token));
  }
  const { idempotencyKey, rotationKey } = await request({ handle: "minted.test" });
  await does(alice, "mint", { idempotencyKey, rotationKey });
  const app = await kith.call("com.atproto.server.createAppPassword", { token: bob, input: { name: "x" } });
  told.push(String(app.json.password));
  await does(alice, "adopt", { identifier: "bob.test", appPassword: String(app.json.password) });

  // One that its owner has consented to, and one that is still being asked for.
  await kith.features.clientDocuments.key();
  const asked = await does(carol, "adopt", { identifier: "carol.test" });
  const { did } = kith.stores.accounts.accountByHandle("carol.test") ?? { did: "" };
  const parts = { authorizations: kith.features.oauth.requests };
  const callback = await approve(parts, String(asked.authorizeUrl), { did });
  await kith.features.communities.consents.finish(callback.searchParams);
  told.push(callback.searchParams.get("state") ?? "");
  await does(carol, "createRecord", { communityDid: did, ...write });
  await does(alice, "adopt", { identifier: "alice.test" });

  // One stays before its second operation, with all its keys and its password; of one the first is there, and it is taken back.
  faulty.fault = "fails";
  const half = await request({ handle: "halfmade.test", hosting: "stock" });
  expect((await call(bob, "provision", half)).status).toBe(502);
  faulty.fault = "loses-answer";
  const lost = await request({ handle: "takenback.test", hosting: "stock" });
  expect((await call(carol, "provision", lost)).status).toBe(502);
  faulty.fault = "none";
  const reap = kith.features.communities.adminMethods.find(({ nsid }) => nsid.endsWith("reapAttempt"));
  const id = kith.stores.attempts
    .stuck({ now: Date.now() + 1_000_000, idleMs: 0 })
    .find(({ handle }) => handle === "takenback.test")?.id;
  const input = { id, olderThanSeconds: 0, dryRun: false };
  const reaped = (await reap?.handler({ input, requestId: "x" } as unknown as Call)) as { attempt: object };
  expect(reaped.attempt).toMatchObject({ reaped: true });
}
