import { expect, test } from "bun:test";
import {
  type AnyPlcOperation,
  cidOfOperation,
  createGenesis,
  createTombstone,
  createUpdate,
  generatePrivateKey,
  type PlcLogEntry,
  signerFromPrivateKey,
  validateOperation,
} from "../atproto/mod.ts";
import { FakeEmailTokens } from "./_fixture.ts";
import { EMAIL_TOKEN_LIFETIME_MS, EmailTokens } from "./email_tokens.ts";
import { PlcSigning, type WantedPlcState } from "./plc_signing.ts";

const signerOf = (fill: number) =>
  signerFromPrivateKey("k256", generatePrivateKey("k256", new Uint8Array(32).fill(fill)));
const [SERVER, OWNER, SIGNING] = [signerOf(1), signerOf(2), signerOf(3)];
const { did: ALICE, operation: GENESIS } = createGenesis({
  signingKey: SIGNING.didKey,
  rotationKeys: [SERVER.didKey],
  handle: "alice.test",
  pdsEndpoint: "https://pds.test",
  signer: SERVER,
});
const WEB = "did:web:alice.test";

function make(...operations: AnyPlcOperation[]) {
  let now = 1_790_000_000_000;
  const tokens = new EmailTokens({ rows: new FakeEmailTokens(), now: () => now });
  const asked: string[] = [];
  const log = [GENESIS, ...operations].map(
    (operation): PlcLogEntry => ({
      did: ALICE,
      operation,
      cid: cidOfOperation(operation),
      nullified: false,
      createdAt: new Date(now).toISOString(),
    }),
  );
  const rest = { handle: "alice.test", email: "a@mail.test", emailConfirmedAt: null, passwordHash: "" };
  const signing = new PlcSigning({
    accounts: {
      account: (did) => ([ALICE, WEB].includes(did) ? { did, ...rest, state: "takendown" } : undefined),
    },
    mail: { sendCode: async ({ did }, purpose) => void asked.push(`${did} ${purpose}`) },
    tokens,
    plc: { auditLog: async (did) => (did === ALICE ? log : []) },
    rotationSigner: SERVER,
    now: () => now,
  });
  const code = () => tokens.create(ALICE, "plc_operation");
  return { signing, log, asked, code, advance: (ms: number) => (now += ms), now: () => now };
}

test("PlcSigning.requestCode mails a code, to the owner of a did:plc", async () => {
  const { signing, asked } = make();
  await signing.requestCode(ALICE);
  expect(asked).toEqual([`${ALICE} plc_operation`]);
  await expect(signing.requestCode(WEB)).rejects.toMatchObject({ code: "invalid_request" });
  await expect(signing.requestCode("did:plc:x")).rejects.toMatchObject({ code: "account_not_found" });
});

test("PlcSigning.sign keeps what is not asked for, and replaces what is", async () => {
  const { signing, log, code, now } = make();
  const { rotationKeys, alsoKnownAs, verificationMethods, services } = GENESIS;
  const present = { rotationKeys, alsoKnownAs, verificationMethods, services };
  const wanted = {
    rotationKeys: [OWNER.didKey, SERVER.didKey],
    alsoKnownAs: ["at://alice.example.com"],
    verificationMethods: { atproto: OWNER.didKey, other: SIGNING.didKey },
    services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://new.test" } },
  };
  for (const change of [
    {},
    ...Object.entries(wanted).map(([field, value]) => ({ [field]: value })),
    wanted,
  ]) {
    const operation = await signing.sign(ALICE, { ...change, token: await code() });
    expect(operation).toEqual({
      type: "plc_operation",
      ...present,
      ...change,
      prev: cidOfOperation(GENESIS),
      sig: expect.any(String),
    });
    validateOperation(log, operation, { did: ALICE, nowMs: now() });
  }
});

const BAD: [title: string, wanted: WantedPlcState][] = [
  ["no rotation keys", { rotationKeys: [] }],
  ["a rotation key that is none", { rotationKeys: ["did:key:zabc"] }],
  ["a rotation key twice", { rotationKeys: [OWNER.didKey, OWNER.didKey] }],
  ["six rotation keys", { rotationKeys: [4, 5, 6, 7, 8, 9].map((fill) => signerOf(fill).didKey) }],
  ["eleven aliases", { alsoKnownAs: Array.from({ length: 11 }, (_, at) => `at://a${at}.test`) }],
  ["an oversize alias", { alsoKnownAs: [`at://${"a".repeat(300)}`] }],
  ["verification methods that are a list", { verificationMethods: [] }],
  ["verification methods that are a text", { verificationMethods: "atproto" }],
  ["a verification method that is no key", { verificationMethods: { atproto: "did:plc:x" } }],
  ["a verification method that is a number", { verificationMethods: { atproto: 1 } }],
  ["services that are a text", { services: "here" }],
  ["a service without its endpoint", { services: { atproto_pds: { type: "x" } } }],
  ["a service with more", { services: { atproto_pds: { type: "x", endpoint: "https://x.test", more: 1 } } }],
];
test.each(BAD)("PlcSigning.sign refuses %s, and leaves the code valid", async (_title, wanted) => {
  const { signing, code } = make();
  const token = await code();
  await expect(signing.sign(ALICE, { ...wanted, token })).rejects.toMatchObject({ code: "invalid_request" });
  await signing.sign(ALICE, { token });
});

test("PlcSigning.sign wants a code, once, in time, of this account", async () => {
  const { signing, code, advance } = make();
  for (const token of [undefined, ""]) {
    await expect(signing.sign(ALICE, { token })).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("token required"),
    });
  }
  for (const token of ["AAAAA-22222", "nonsense", "x".repeat(10_000)]) {
    await expect(signing.sign(ALICE, { token })).rejects.toMatchObject({ code: "invalid_token" });
  }
  const used = await code();
  await signing.sign(ALICE, { token: used });
  await expect(signing.sign(ALICE, { token: used })).rejects.toMatchObject({ code: "invalid_token" });
  const old = await code();
  advance(EMAIL_TOKEN_LIFETIME_MS + 1);
  await expect(signing.sign(ALICE, { token: old })).rejects.toMatchObject({ code: "expired_token" });
});

test("PlcSigning.sign gives one operation for one code, also to two who come at the same time", async () => {
  const { signing, code } = make();
  const token = await code();
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => signing.sign(ALICE, { token })));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

test("PlcSigning.sign refuses where its key does not count, and after the end of the DID", async () => {
  const change = {
    signer: SERVER,
    change: (state: object) => ({ ...GENESIS, ...state, rotationKeys: [OWNER.didKey] }),
  };
  const moved = make(createUpdate(GENESIS, change));
  const ended = make(createTombstone(GENESIS, { signer: SERVER }));
  for (const { signing, code } of [moved, ended]) {
    await expect(signing.sign(ALICE, { token: await code() })).rejects.toMatchObject({
      code: "invalid_request",
    });
  }
  await expect(moved.signing.sign(WEB, { token: "AAAAA-22222" })).rejects.toMatchObject({
    code: "invalid_request",
  });
});
