import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { AppPasswordStore } from "./app_password_store.ts";
import { CredentialStore } from "./credential_store.ts";
import { EmailTokenStore } from "./email_token_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";
import { MAIL_QUEUE_MAX, MailQueueStore } from "./mail_queue_store.ts";
import { SessionStore } from "./session_store.ts";

const ALICE = "did:plc:alice";
const BOB = "did:plc:bob";
const token = (purpose: string, tokenHash = "hash") => ({ purpose, tokenHash, now: 10 });
const invalid = { code: "invalid_token" };

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keyring = Keyring.open(folder.file("master.key"));
  const accounts = new AccountStore(hub, keyring);
  for (const name of ["alice", "bob"]) {
    await accounts.beginAccount({
      did: `did:plc:${name}`,
      handle: `${name}.test`,
      email: `${name}@mail.test`,
      passwordHash: "old",
      signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
      genesisOperation: Uint8Array.of(5),
      now: 1,
    });
  }
  const tokens = new EmailTokenStore(hub);
  const put = (purpose: string, did = ALICE, tokenHash = "hash") =>
    tokens.put({ did, purpose, tokenHash, expiresAt: 20 });
  return {
    hub,
    keyring,
    accounts,
    tokens,
    put,
    credentials: new CredentialStore(hub),
    sessions: new SessionStore(hub),
  };
}

test("EmailTokenStore keeps one code of an account and purpose, and takes it once", async () => {
  await using folder = new Fixture();
  const { hub, accounts, tokens, put } = await open(folder);
  await put("a", ALICE, "first");
  await put("a");
  await put("b", ALICE, "other");
  expect(tokens.byHash("a", "hash")).toMatchObject({ did: ALICE });
  expect(tokens.byHash("a", "first")).toBeUndefined();
  await expect(tokens.take(ALICE, token("a", "first"))).rejects.toMatchObject(invalid);
  await expect(tokens.take(BOB, token("a"))).rejects.toMatchObject(invalid);
  await expect(tokens.take(ALICE, { ...token("a"), now: 20 })).rejects.toMatchObject({
    code: "expired_token",
  });
  tokens.check(ALICE, token("a"));
  await tokens.take(ALICE, token("a"));
  await expect(tokens.take(ALICE, token("a"))).rejects.toMatchObject(invalid);
  expect(() => tokens.check(ALICE, token("a"))).toThrow(expect.objectContaining(invalid));
  await accounts.finishDeletion(ALICE);
  expect(tokens.byHash("b", "other")).toBeUndefined();
  await hub.close();
});

test("CredentialStore.setPassword() ends sessions and codes with it, or changes nothing", async () => {
  await using folder = new Fixture();
  const { hub, accounts, credentials, sessions, put, tokens } = await open(folder);
  await sessions.insert({ id: "s", did: ALICE, familyId: "f", expiresAt: 1_000, now: 0 });
  await sessions.insert({ id: "t", did: BOB, familyId: "g", expiresAt: 1_000, now: 0 });
  await put("reset_password");
  await put("delete_account", ALICE, "other");
  const change = { did: ALICE, passwordHash: "new", now: 12 };
  const refused = credentials.setPassword({ ...change, token: token("reset_password", "wrong") });
  await expect(refused).rejects.toMatchObject(invalid);
  expect(accounts.account(ALICE)).toMatchObject({ passwordHash: "old", sessionsFrom: null });
  expect(sessions.find("s")).toBeDefined();
  await credentials.setPassword({ ...change, token: token("reset_password") });
  expect(accounts.account(ALICE)).toMatchObject({ passwordHash: "new", sessionsFrom: 12 });
  expect([sessions.find("s"), tokens.byHash("delete_account", "other")]).toEqual([undefined, undefined]);
  expect(sessions.find("t")).toBeDefined();
  await hub.close();
});

test("CredentialStore.confirmEmail() and changeEmail() go by the address as it is in their turn", async () => {
  await using folder = new Fixture();
  const { hub, accounts, credentials, put } = await open(folder);
  await put("confirm_email");
  const confirm = (email: string) =>
    credentials.confirmEmail({ did: ALICE, email, token: token("confirm_email") });
  await expect(confirm("bob@mail.test")).rejects.toMatchObject({ code: "invalid_email" });
  await confirm("ALICE@mail.test");
  expect(accounts.account(ALICE)?.emailConfirmedAt).toBe(10);
  await put("update_email");
  const update = (email: string, proof?: ReturnType<typeof token>) =>
    credentials.changeEmail({ did: ALICE, email, ...(proof ? { token: proof } : {}) });
  await expect(update("new@mail.test")).rejects.toMatchObject({ code: "token_required" });
  await expect(update("BOB@mail.test", token("update_email"))).rejects.toMatchObject({
    code: "invalid_request",
  });
  await put("reset_password", ALICE, "to the old address");
  await update("New@mail.test", token("update_email"));
  expect(accounts.account(ALICE)).toMatchObject({ email: "new@mail.test", emailConfirmedAt: null });
  const late = { purpose: "reset_password", tokenHash: "to the old address", now: 10 };
  const reset = credentials.setPassword({ did: ALICE, passwordHash: "x", token: late, now: 10 });
  await expect(reset).rejects.toMatchObject(invalid);
  await update("third@mail.test");
  await hub.close();
});

test("MailQueueStore gives messages in their turn, sealed on the disk", async () => {
  await using folder = new Fixture();
  const { hub, keyring } = await open(folder);
  const rows = new MailQueueStore(hub, keyring);
  const mail = { to: "a@b.c", subject: "s", text: "code ABCDE-FGHIJ", html: "<b>" };
  await rows.add(mail, { now: 5, expiresAt: 100 });
  await rows.add({ ...mail, subject: "later" }, { now: 6, expiresAt: 100 });
  const [first] = rows.due(5, 9);
  expect(rows.due(5, 9)).toEqual([{ id: first?.id ?? "", mail, attempts: 0, expiresAt: 100 }]);
  await rows.putOff(first?.id ?? "", { nextAt: 50 });
  expect(rows.nextAt()).toBe(6);
  expect(rows.due(50, 1)).toMatchObject([{ mail: { subject: "later" } }]);
  expect(rows.due(50, 9)).toMatchObject([{}, { mail, attempts: 1 }]);
  const stranger = new MailQueueStore(hub, Keyring.open(folder.file("other.key")));
  expect(stranger.due(6, 9)).toMatchObject([{ mail: undefined }]);
  await hub.close();
  const file = await Bun.file(folder.file("accounts.sqlite")).bytes();
  expect(Buffer.from(file).includes("ABCDE-FGHIJ")).toBe(false);
});

test("MailQueueStore.add() refuses past the bound", async () => {
  await using folder = new Fixture();
  const { hub, keyring } = await open(folder);
  const rows = new MailQueueStore(hub, keyring);
  const add = () => rows.add({ to: "a@b.c", subject: "s", text: "t" }, { now: 5, expiresAt: 100 });
  await Promise.all(Array.from({ length: MAIL_QUEUE_MAX }, add));
  await expect(add()).rejects.toMatchObject({ code: "busy" });
  for (const { id } of rows.due(5, 1)) await rows.remove(id);
  await add();
  expect(rows.count()).toBe(MAIL_QUEUE_MAX);
  await hub.close();
});

test("CredentialStore.revokeAll() takes away all that one account is signed in to with", async () => {
  await using folder = new Fixture();
  const { hub, accounts, credentials, sessions, tokens, put } = await open(folder);
  const appPasswords = new AppPasswordStore(hub);
  for (const did of [ALICE, BOB]) {
    await sessions.insert({ id: `id-${did}`, did, familyId: did, expiresAt: 100, now: 1 });
    const row = { did, name: "app", passwordHash: "hash", privileged: true, createdAt: 1, accountMax: 9 };
    await appPasswords.create(row);
    await put("reset", did, `hash-${did}`);
  }
  await credentials.revokeAll({ did: ALICE, sessionsFrom: 50 });
  const left = [ALICE, BOB].map((did) => [
    accounts.account(did)?.passwordHash,
    sessions.find(`id-${did}`)?.did,
    appPasswords.list(did).length,
    tokens.byHash("reset", `hash-${did}`)?.did,
    hub.readOne<{ at: number | null }>("SELECT sessions_from AS at FROM account WHERE did = ?", did)?.at,
  ]);
  expect(left).toEqual([
    ["", undefined, 0, undefined, 50],
    ["old", BOB, 1, BOB, null],
  ]);
  await hub.close();
});
