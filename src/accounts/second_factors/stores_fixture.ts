/** For tests: the real stores in a temporary folder, with one account. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AccountStore,
  CredentialStore,
  DeviceStore,
  EmailTokenStore,
  Hub,
  Keyring,
  Maintenance,
  SecondFactorStore,
} from "../../storage/mod.ts";

export const ALICE = "did:plc:alice";
export const BOB = "did:plc:bob";
export const NOW = 1_790_000_000_000;

export type Stores = Awaited<ReturnType<typeof openStores>>;

/** `alice` has a confirmed address, `bob` one that is not. */
export async function openStores(passwordHash = "hash") {
  const folder = mkdtempSync(join(tmpdir(), "kith-factors-"));
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const hub = await Hub.open(join(folder, "accounts.sqlite"), { maintenance, onFatal });
  const keyring = Keyring.open(join(folder, "master.key"));
  const accounts = new AccountStore(hub, keyring);
  for (const [name, did] of [
    ["alice", ALICE],
    ["bob", BOB],
  ] as const) {
    await accounts.beginAccount({
      did,
      handle: `${name}.test`,
      email: `${name}@mail.test`,
      passwordHash,
      signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
      genesisOperation: Uint8Array.of(5),
      now: NOW,
    });
    await accounts.finishCreation(did, "active");
  }
  await hub.write((run) => {
    run("UPDATE account SET email_confirmed_at = 1 WHERE did = ?", ALICE);
  });
  return {
    hub,
    accounts,
    emailTokens: new EmailTokenStore(hub),
    credentials: new CredentialStore(hub),
    factors: new SecondFactorStore(hub, keyring),
    devices: new DeviceStore(hub),
    account: (did: string) => {
      const account = accounts.account(did);
      if (account === undefined) throw new Error(`no account "${did}"`);
      return account;
    },
    async [Symbol.asyncDispose]() {
      await hub.close();
      await maintenance.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
