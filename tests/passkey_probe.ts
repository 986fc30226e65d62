/** An entry of its own, for the executable that `passkey_build_test.ts` makes: a passkey is added, and signs in. */

import { type PasskeyRows, Passkeys, StepUps } from "../src/accounts/mod.ts";
import { SoftwareAuthenticator } from "../src/accounts/second_factors/authenticator_fixture.ts";

const DID = "did:plc:probe";
const kept = new Map<string, Parameters<PasskeyRows["addPasskey"]>[0] & { lastUsedAt: null }>();
const rows: PasskeyRows = {
  passkeys: () => [...kept.values()],
  passkey: (id) => kept.get(id),
  addPasskey: async (passkey) => void kept.set(passkey.id, { ...passkey, lastUsedAt: null }),
  usePasskey: async () => true,
};
const passkeys = new Passkeys({ rows, publicUrl: "https://pds.test", name: "pds.test" });
const authenticator = new SoftwareAuthenticator({ origin: "https://pds.test", rpId: "pds.test" });
const device = { accounts: [{ did: DID, authenticatedAt: Date.now() }] };
const fresh = new StepUps({ sessions: {}, factors: {}, devices: {} } as never).ofDevice(device, DID);
const created = authenticator.create(await passkeys.beginAdding(fresh, { handle: "probe.test" }));
await passkeys.finishAdding(fresh, { answer: created });
const did = await passkeys.signIn("device", authenticator.get(await passkeys.beginSignIn("device")));
console.log(`signed in as ${did}`);
