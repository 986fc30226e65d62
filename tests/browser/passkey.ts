/** Second factors that the server knows, and a passkey that a browser's virtual authenticator has. */
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { Hub, Keyring, Maintenance, SecondFactorStore } from "../../src/storage/mod.ts";
import type { TestServer } from "../harness.ts";

export interface Passkey {
  readonly credentialId: string;
  readonly privateKey: string;
  readonly userHandle: string;
}

/** Gives an account an authenticator app with this secret, and a passkey, while the server stands still. */
export async function giveFactors(
  server: TestServer,
  { did, totpSecret }: { did: string; totpSecret: Uint8Array },
): Promise<Passkey> {
  const id = randomBytes(32);
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x = "", y = "" } = publicKey.export({ format: "jwk" });
  // COSE: EC2, ES256, P-256. RFC 9053
  const cose = Buffer.concat([
    Buffer.from("a5010203262001215820", "hex"),
    Buffer.from(x, "base64url"),
    Buffer.from("225820", "hex"),
    Buffer.from(y, "base64url"),
  ]);
  await server.stop();
  await withFactors(server.folder, async (factors) => {
    const passkey = { did, id: id.toString("base64url"), name: "Test", publicKey: new Uint8Array(cose) };
    const more = { createdAt: Date.now(), counter: 0, transports: ["internal"], accountMax: 20 };
    await factors.addPasskey({ ...passkey, ...more });
    await factors.setTotp({ did, secret: totpSecret, step: 0, now: Date.now() });
  });
  await server.start();
  return {
    credentialId: id.toString("base64"),
    privateKey: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
    userHandle: createHash("sha256").update(`kith passkeys of\0${did}`).digest("base64"),
  };
}

async function withFactors(folder: string, act: (factors: SecondFactorStore) => Promise<unknown>) {
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const hub = await Hub.open(join(folder, "accounts.sqlite"), { maintenance, onFatal });
  try {
    await act(new SecondFactorStore(hub, Keyring.open(join(folder, "master.key"))));
  } finally {
    await hub.close();
    await maintenance.stop();
  }
}

/** Each authenticator goes on counting where the one before may have been: one that counts less is a copy. */
let signCount = 0;

/** An authenticator that the page's browser has, and a finger that is always there. */
export async function addAuthenticator(page: Page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable");
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return { devtools, authenticatorId };
}

/** An authenticator that has the passkey. */
export async function insertPasskey(page: Page, passkey: Passkey): Promise<void> {
  const { devtools, authenticatorId } = await addAuthenticator(page);
  signCount += 100;
  await devtools.send("WebAuthn.addCredential", {
    authenticatorId,
    credential: { ...passkey, rpId: "localhost", isResidentCredential: true, signCount },
  });
}
