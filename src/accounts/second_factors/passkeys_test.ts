import { afterAll, beforeAll, expect, test } from "bun:test";
import { StepUps } from "../step_up.ts";
import { type AnswerChanges, SoftwareAuthenticator } from "./authenticator_fixture.ts";
import { CHALLENGE_LIFETIME_MS, CHALLENGES_EACH_MAX } from "./challenges.ts";
import { PASSKEY_NAME_CHARS_MAX, PASSKEYS_MAX, Passkeys } from "./passkeys.ts";
import { ALICE, BOB, NOW, openStores, type Stores } from "./stores_fixture.ts";

const SITE = { origin: "https://pds.test", rpId: "pds.test" };
const DEVICE = "a device";
const REFUSED = { code: "auth_required", message: expect.stringContaining("passkey") };

let stores: Stores;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores[Symbol.asyncDispose]());

function make() {
  const clock = { now: NOW };
  const now = () => clock.now;
  const passkeys = new Passkeys({ rows: stores.factors, publicUrl: SITE.origin, name: "pds.test", now });
  return { passkeys, clock };
}

const freshOf = (did: string) =>
  new StepUps({ sessions: {}, factors: {}, devices: {}, now: () => NOW } as never).ofDevice(
    { accounts: [{ did, authenticatedAt: NOW }] },
    did,
  );

async function register(passkeys: Passkeys, did = ALICE, changes: AnswerChanges = {}) {
  const authenticator = new SoftwareAuthenticator(SITE);
  const options = await passkeys.beginAdding(freshOf(did), { handle: "alice.test" });
  const answer = authenticator.create(options, changes);
  const passkey = await passkeys.finishAdding(freshOf(did), { answer, name: " my phone " });
  return { authenticator, passkey, options };
}

test("Passkeys.beginAdding() asks for a discoverable passkey with user verification, and none that is there", async () => {
  const { passkeys } = make();
  const { passkey } = await register(passkeys);
  expect(passkey).toMatchObject({ name: "my phone", createdAt: NOW, lastUsedAt: null });
  const options = await passkeys.beginAdding(freshOf(ALICE), { handle: "alice.test" });
  expect(options.rp).toEqual({ name: "pds.test", id: "pds.test" });
  expect(options.authenticatorSelection).toMatchObject({
    residentKey: "required",
    userVerification: "required",
  });
  expect(options.excludeCredentials?.map(({ id }) => id)).toContain(passkey.id);
  expect(options.user.id).not.toContain(ALICE);
  expect(options.attestation).toBe("none");
});

test("Passkeys.verify() takes an answer once, and notes the use", async () => {
  const { passkeys } = make();
  const { authenticator, passkey } = await register(passkeys);
  const options = await passkeys.beginVerifying(ALICE);
  expect(options.allowCredentials?.map(({ id }) => id)).toContain(passkey.id);
  expect(options).toMatchObject({ rpId: "pds.test", userVerification: "required" });
  const answer = authenticator.get(options);
  await passkeys.verify(ALICE, answer);
  expect(stores.factors.passkey(passkey.id)).toMatchObject({ counter: 1, lastUsedAt: NOW });
  await expect(passkeys.verify(ALICE, answer)).rejects.toMatchObject(REFUSED);
});

test("Passkeys.signIn() says whose passkey it is", async () => {
  const { passkeys } = make();
  const { authenticator } = await register(passkeys, BOB);
  const options = await passkeys.beginSignIn(DEVICE);
  expect(options.allowCredentials ?? []).toEqual([]);
  expect(await passkeys.signIn(DEVICE, authenticator.get(options))).toBe(BOB);
});

test("Passkeys takes counters that never rise, as those of synced passkeys", async () => {
  const { passkeys } = make();
  const { authenticator } = await register(passkeys);
  for (let time = 0; time < 2; time++) {
    await passkeys.verify(ALICE, authenticator.get(await passkeys.beginVerifying(ALICE), { counter: 0 }));
  }
});

test.each<[string, AnswerChanges]>([
  ["another origin", { origin: "https://evil.test" }],
  ["a subdomain", { origin: "https://alice.pds.test" }],
  ["http", { origin: "http://pds.test" }],
  ["another rpID", { rpId: "evil.test" }],
  ["no user verification", { verified: false }],
  ["a registration", { type: "webauthn.create" }],
  ["a challenge of ours", { challenge: "AAAA" }],
  ["another credential", { id: "AAAA" }],
  ["the counter going backwards", { counter: 4 }],
  ["the counter standing still", { counter: 5 }],
  ["another user", { userHandle: "AAAA" }],
])("Passkeys refuses %s", async (_, changes) => {
  const { passkeys } = make();
  const { authenticator } = await register(passkeys);
  await passkeys.verify(ALICE, authenticator.get(await passkeys.beginVerifying(ALICE), { counter: 5 }));
  const second = authenticator.get(await passkeys.beginVerifying(ALICE), { counter: 6, ...changes });
  await expect(passkeys.verify(ALICE, second)).rejects.toMatchObject(REFUSED);
  const alone = authenticator.get(await passkeys.beginSignIn(DEVICE), { counter: 6, ...changes });
  await expect(passkeys.signIn(DEVICE, alone)).rejects.toMatchObject(REFUSED);
});

test("Passkeys.signIn() wants the authenticator to say whose it is; verify() knows", async () => {
  const { passkeys } = make();
  const { authenticator } = await register(passkeys);
  const nameless = { userHandle: undefined };
  await passkeys.verify(ALICE, authenticator.get(await passkeys.beginVerifying(ALICE), nameless));
  const alone = authenticator.get(await passkeys.beginSignIn(DEVICE), nameless);
  await expect(passkeys.signIn(DEVICE, alone)).rejects.toMatchObject(REFUSED);
});

test("Passkeys refuses a challenge of another account, of another purpose, and an old one", async () => {
  const { passkeys, clock } = make();
  const { authenticator } = await register(passkeys);
  const ofBob = authenticator.get(await passkeys.beginVerifying(BOB));
  await expect(passkeys.verify(ALICE, ofBob)).rejects.toMatchObject(REFUSED);
  // The passkey of one account is no factor of another.
  const asBob = authenticator.get(await passkeys.beginVerifying(BOB));
  await expect(passkeys.verify(BOB, asBob)).rejects.toMatchObject(REFUSED);
  const alone = authenticator.get(await passkeys.beginVerifying(ALICE));
  await expect(passkeys.signIn(DEVICE, alone)).rejects.toMatchObject(REFUSED);
  const elsewhere = authenticator.get(await passkeys.beginSignIn("another device"));
  await expect(passkeys.signIn(DEVICE, elsewhere)).rejects.toMatchObject(REFUSED);
  const late = authenticator.get(await passkeys.beginVerifying(ALICE));
  clock.now += CHALLENGE_LIFETIME_MS;
  await expect(passkeys.verify(ALICE, late)).rejects.toMatchObject(REFUSED);
  const answers = [];
  for (let tab = 0; tab <= CHALLENGES_EACH_MAX; tab++) answers.push(await passkeys.beginVerifying(ALICE));
  const [first, second] = answers;
  if (!first || !second) throw new Error("no options");
  await expect(passkeys.verify(ALICE, authenticator.get(first))).rejects.toMatchObject(REFUSED);
  await passkeys.verify(ALICE, authenticator.get(second));
});

test.each<[string, AnswerChanges]>([
  ["another origin", { origin: "https://evil.test" }],
  ["another rpID", { rpId: "evil.test" }],
  ["no user verification", { verified: false }],
  ["an assertion", { type: "webauthn.get" }],
  ["a challenge of ours", { challenge: "AAAA" }],
])("Passkeys.finishAdding() refuses %s", async (_, changes) => {
  await expect(register(make().passkeys, ALICE, changes)).rejects.toMatchObject(REFUSED);
});

test("Passkeys.finishAdding() takes a challenge once, a passkey once, so many of an account, and no long name", async () => {
  const { passkeys } = make();
  await stores.factors.removeAll(ALICE);
  const { authenticator, options } = await register(passkeys);
  const add = (answer: unknown, name?: string) => passkeys.finishAdding(freshOf(ALICE), { answer, name });
  await expect(add(authenticator.create(options))).rejects.toMatchObject(REFUSED);
  const next = () => passkeys.beginAdding(freshOf(ALICE), { handle: "alice.test" });
  const twice = add(authenticator.create(await next()));
  await expect(twice).rejects.toMatchObject({ code: "invalid_request" });
  const long = add(
    new SoftwareAuthenticator(SITE).create(await next()),
    "x".repeat(PASSKEY_NAME_CHARS_MAX + 1),
  );
  await expect(long).rejects.toMatchObject({ code: "invalid_request" });
  for (let count = 1; count < PASSKEYS_MAX; count++) {
    expect((await add(new SoftwareAuthenticator(SITE).create(await next()), "")).name).toBe("Passkey");
  }
  const surplus = add(new SoftwareAuthenticator(SITE).create(await next()));
  await expect(surplus).rejects.toMatchObject({ code: "invalid_request" });
});

test.each([
  undefined,
  null,
  "text",
  {},
  { id: "AAAA", rawId: "AAAA", type: "public-key" },
  { id: "AAAA", rawId: "AAAA", type: "public-key", response: { clientDataJSON: "!!!" } },
  {
    ...{ id: "AAAA", rawId: "AAAA", type: "public-key" },
    response: { clientDataJSON: "AAAA", authenticatorData: "AAAA", signature: "AAAA" },
  },
  {
    ...{ id: "A".repeat(100_000), rawId: "AAAA", type: "public-key" },
    response: { clientDataJSON: "AAAA", authenticatorData: "AAAA", signature: "AAAA" },
  },
])("Passkeys refuses nonsense (%#)", async (answer) => {
  const { passkeys } = make();
  await expect(passkeys.verify(ALICE, answer)).rejects.toMatchObject(REFUSED);
  await expect(passkeys.signIn(DEVICE, answer)).rejects.toMatchObject(REFUSED);
  await expect(passkeys.finishAdding(freshOf(ALICE), { answer })).rejects.toMatchObject(REFUSED);
});

test("Passkeys in dev mode are bound to localhost, with its port", async () => {
  const passkeys = new Passkeys({
    rows: stores.factors,
    publicUrl: "http://localhost:2583",
    name: "localhost",
  });
  const options = await passkeys.beginAdding(freshOf(BOB), { handle: "bob.test" });
  expect(options.rp.id).toBe("localhost");
  const local = new SoftwareAuthenticator({ origin: "http://localhost:2583", rpId: "localhost" });
  await passkeys.finishAdding(freshOf(BOB), { answer: local.create(options) });
  const answer = local.get(await passkeys.beginSignIn(DEVICE), { origin: "http://localhost:2584" });
  await expect(passkeys.signIn(DEVICE, answer)).rejects.toMatchObject(REFUSED);
});
