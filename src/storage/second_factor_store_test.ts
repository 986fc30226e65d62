import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { CredentialStore } from "./credential_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";
import { SecondFactorStore } from "./second_factor_store.ts";

const DID = "did:plc:alice";
const SECRET = new Uint8Array(20).fill(9);
const PASSKEY = {
  ...{ id: "key", did: DID, counter: 3, transports: ["usb", "nfc"], name: "my key", createdAt: 5 },
  publicKey: Uint8Array.of(1, 2, 3),
  accountMax: 2,
};
const NONE = { totpSince: null, email: false, passkeys: 0, passkeyRequired: false, backupCodes: 0 };

async function open(folder: Fixture) {
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keyring = Keyring.open(folder.file("master.key"));
  const accounts = new AccountStore(hub, keyring);
  await accounts.beginAccount({
    did: DID,
    handle: "alice.test",
    email: "alice@mail.test",
    passwordHash: "main",
    signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
    genesisOperation: Uint8Array.of(5),
    now: 1,
  });
  await hub.write((run) => run("UPDATE account SET email_confirmed_at = 1"));
  return { hub, keyring, accounts, factors: new SecondFactorStore(hub, keyring) };
}

async function fill(factors: SecondFactorStore): Promise<void> {
  await factors.setTotp({ did: DID, secret: SECRET, step: 4, now: 5 });
  await factors.setBackupCodes(DID, ["h1", "h2"]);
  await factors.setEmail(DID, "alice@mail.test");
  await factors.addPasskey(PASSKEY);
  await factors.requirePasskey(DID, true);
}

test("SecondFactorStore keeps the TOTP secret sealed, and what was sealed by an older key", async () => {
  await using folder = new Fixture();
  const { hub, keyring, factors } = await open(folder);
  await factors.setTotp({ did: DID, secret: SECRET, step: 4, now: 5 });
  const stored = () => hub.readOne<{ totp_secret: Uint8Array }>("SELECT totp_secret FROM second_factor");
  const before = stored();
  expect(Buffer.from(before?.totp_secret ?? []).includes(Buffer.from(SECRET))).toBe(false);
  keyring.rotate();
  expect(await factors.resealSecrets()).toBe(1);
  expect(stored()).not.toEqual(before);
  const totp = factors.totp(DID);
  expect([[...(totp?.secret ?? [])], totp?.step]).toEqual([[...SECRET], 4]);
  await hub.write((run) => run("UPDATE second_factor SET did = 'did:plc:bob'"));
  expect(() => factors.totp("did:plc:bob")).toThrow(expect.objectContaining({ code: "storage_damaged" }));
  await hub.close();
});

test("SecondFactorStore takes steps, codes and counters in one direction", async () => {
  await using folder = new Fixture();
  const { hub, factors } = await open(folder);
  await fill(factors);
  expect(await factors.useTotpStep(DID, 4)).toBe(false);
  expect(await factors.useTotpStep(DID, 5)).toBe(true);
  expect(await factors.useTotpStep("did:plc:bob", 9)).toBe(false);
  expect(await factors.useBackupCode("did:plc:bob", "h1")).toBe(false);
  expect(await factors.useBackupCode(DID, "h1")).toBe(true);
  expect(await factors.useBackupCode(DID, "h1")).toBe(false);
  expect(await factors.usePasskey({ id: "key", counter: 3, now: 6 })).toBe(false);
  expect(await factors.usePasskey({ id: "key", counter: 4, now: 6 })).toBe(true);
  expect(await factors.usePasskey({ id: "none", counter: 4, now: 6 })).toBe(false);
  const { accountMax: _, ...row } = PASSKEY;
  expect(factors.passkey("key")).toEqual({ ...row, counter: 4, lastUsedAt: 6 });
  await expect(factors.addPasskey(PASSKEY)).rejects.toMatchObject({ code: "invalid_request" });
  await factors.addPasskey({ ...PASSKEY, id: "second", createdAt: 4 });
  expect(factors.passkeys(DID).map(({ id }) => id)).toEqual(["second", "key"]);
  const third = factors.addPasskey({ ...PASSKEY, id: "third" });
  await expect(third).rejects.toMatchObject({ code: "invalid_request" });
  await hub.close();
});

test("SecondFactorStore.state() has codes by mail only for the confirmed address they were switched on for", async () => {
  await using folder = new Fixture();
  const { hub, factors } = await open(folder);
  await factors.setEmail(DID, "alice@mail.test");
  expect(factors.state(DID)).toEqual({ ...NONE, email: true });
  await hub.write((run) => run("UPDATE account SET email_confirmed_at = NULL"));
  expect(factors.state(DID)).toEqual(NONE);
  await hub.write((run) => run("UPDATE account SET email_confirmed_at = 1, email = 'b@mail.test'"));
  expect(factors.state(DID)).toEqual(NONE);
  await hub.close();
});

test("backup codes go with the last factor that is asked for, and no passkey is required once there is none", async () => {
  await using folder = new Fixture();
  const { hub, factors } = await open(folder);
  await fill(factors);
  const all = { totpSince: 5, email: true, passkeys: 1, passkeyRequired: true, backupCodes: 2 };
  expect(factors.state(DID)).toEqual(all);
  await factors.removeTotp(DID);
  await factors.setEmail(DID, null);
  expect(factors.state(DID)).toEqual({ ...all, totpSince: null, email: false });
  expect(await factors.removePasskey({ did: DID, id: "key" })).toBe(true);
  expect(factors.state(DID)).toEqual(NONE);
  await factors.addPasskey(PASSKEY);
  expect(factors.state(DID)).toEqual({ ...NONE, passkeys: 1 });
  await hub.close();
});

test("every factor goes with a revocation and with the account", async () => {
  await using folder = new Fixture();
  const { hub, accounts, factors } = await open(folder);
  const credentials = new CredentialStore(hub);
  for (const end of [
    () => factors.removeAll(DID),
    () => credentials.revokeAll({ did: DID, sessionsFrom: 9 }),
    () => accounts.finishDeletion(DID),
  ]) {
    await fill(factors);
    await end();
    expect(factors.state(DID)).toEqual(NONE);
    expect(factors.totp(DID)).toBeUndefined();
  }
  await hub.close();
});
