import { expect, test } from "bun:test";
import { buildDidDocument, createServiceJwt, type Signer, signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { isServiceToken, type OwnService, ServiceTokens, USED_TOKENS_MAX } from "./service_tokens.ts";

const NOW_S = 1_790_000_000;
const ISS = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const AUD = "did:web:pds.test";
const LXM = "com.atproto.server.createAccount";
const k256 = signerFromPrivateKey("k256", new Uint8Array(32).fill(1));
const p256 = signerFromPrivateKey("p256", new Uint8Array(32).fill(2));

/** Tokens of a server that holds `cached` of the issuer's document, while the network says `current`. */
function makeTokens({
  cached = k256,
  current = cached,
  services = [],
}: {
  cached?: Signer;
  current?: Signer;
  services?: readonly OwnService[];
} = {}) {
  let held = cached;
  const asked: boolean[] = [];
  const tokens = new ServiceTokens({
    serviceDid: AUD,
    services,
    now: () => NOW_S * 1000,
    dids: {
      resolve: async (did, { fresh = false } = {}) => {
        asked.push(fresh);
        if (did !== ISS) throw new KithError("did_not_found", "no such DID");
        if (fresh) held = current;
        return buildDidDocument(did, {
          verificationMethods: { atproto: held.didKey },
          alsoKnownAs: [],
          services: {},
        });
      },
    },
  });
  return { tokens, asked };
}

let count = 0;
function token(change: Partial<Parameters<typeof createServiceJwt>[0]> = {}): string {
  count += 1;
  const base = {
    iss: ISS,
    aud: AUD,
    lxm: LXM,
    iat: NOW_S,
    exp: NOW_S + 60,
    jti: `jti ${count}`,
    signer: k256,
  };
  return createServiceJwt({ ...base, ...change });
}

async function verdict(tokens: ServiceTokens, jwt: string, lxm = LXM): Promise<string> {
  try {
    return (await tokens.verify(jwt, { lxm })).did;
  } catch (error) {
    if (error instanceof KithError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

test("ServiceTokens.verify gives the issuer, for either name of this server", async () => {
  for (const signer of [k256, p256]) {
    const { tokens, asked } = makeTokens({ cached: signer });
    for (const aud of [AUD, `${AUD}#atproto_pds`]) {
      const principal = await tokens.verify(token({ aud, signer }), { lxm: LXM });
      expect(principal).toMatchObject({ kind: "service", did: ISS, lxm: LXM });
    }
    expect(asked).toEqual([false, false]);
  }
});

test.each<[string, Partial<Parameters<typeof createServiceJwt>[0]>, string]>([
  ["another audience", { aud: "did:web:elsewhere.test" }, "bad_service_token: .*its audience is"],
  ["another service of this server", { aud: `${AUD}#bsky_appview` }, "bad_service_token: .*its audience is"],
  ["another method", { lxm: "com.atproto.repo.uploadBlob" }, "bad_service_token: .*it is for the method"],
  ["no method", { lxm: undefined }, "bad_service_token: .*it is for no method"],
  ["an end that has come", { exp: NOW_S }, "expired_service_token: .*expired"],
  [
    "an issuer that does not resolve",
    { iss: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" },
    "bad_service_token: .*could not resolve",
  ],
  ["a signature by another key", { signer: p256 }, "bad_service_token: .*its algorithm"],
])("ServiceTokens.verify refuses %s", async (_title, change, expected) => {
  const { tokens } = makeTokens();
  expect(await verdict(tokens, token(change))).toMatch(new RegExp(`^${expected}`));
});

test("ServiceTokens.verify asks nobody about a token that is not for this server", async () => {
  const { tokens, asked } = makeTokens();
  await verdict(tokens, token({ aud: "did:web:elsewhere.test" }));
  await verdict(tokens, "nonsense");
  expect(asked).toEqual([]);
});

test("ServiceTokens.verify asks once past the cache where the key does not fit", async () => {
  const changed = makeTokens({ cached: p256, current: k256 });
  expect(await verdict(changed.tokens, token())).toBe(ISS);
  expect(changed.asked).toEqual([false, true]);
  const unchanged = makeTokens({ cached: p256 });
  expect(await verdict(unchanged.tokens, token())).toMatch(/^bad_service_token/);
  expect(unchanged.asked).toEqual([false, true]);
});

test("ServiceTokens.verify takes a token once, also of two that come together", async () => {
  const { tokens } = makeTokens();
  const jwt = token();
  const verdicts = await Promise.all([verdict(tokens, jwt), verdict(tokens, jwt)]);
  expect(verdicts.sort()).toEqual([
    "bad_service_token: Could not accept the service token: it was used already",
    ISS,
  ]);
  expect(await verdict(tokens, jwt)).toMatch(/used already$/);
  // the same jti of another issuer would be another token; without a jti there is nothing to tell it by
  const unnamed = token({ jti: undefined as unknown as string });
  expect(await verdict(tokens, unnamed)).toBe(ISS);
  expect(await verdict(tokens, unnamed)).toBe(ISS);
});

test("ServicePrincipal.release lets the token of a refused call serve again", async () => {
  const { tokens } = makeTokens();
  const jwt = token();
  const principal = await tokens.verify(jwt, { lxm: LXM });
  principal.release();
  expect(await verdict(tokens, jwt)).toBe(ISS);
});

test("ServiceTokens remembers a bounded number of used tokens", async () => {
  const { tokens } = makeTokens();
  const first = token();
  expect(await verdict(tokens, first)).toBe(ISS);
  for (let n = 0; n < USED_TOKENS_MAX; n++) await tokens.verify(token(), { lxm: LXM });
  expect(await verdict(tokens, first)).toBe(ISS);
}, 60_000);

test("isServiceToken tells service tokens from session tokens", () => {
  expect(isServiceToken(token())).toBe(true);
  expect(isServiceToken(`${Buffer.from('{"alg":"HS256"}').toString("base64url")}.e30.x`)).toBe(false);
  for (const nonsense of ["", ".", "abc", `${Buffer.from("null").toString("base64url")}.x.y`])
    expect(isServiceToken(nonsense)).toBe(false);
});

test("ServiceTokens.verify takes, where issuers are named, only theirs: a labeler's by its own key", async () => {
  const tokens = new ServiceTokens({
    serviceDid: AUD,
    now: () => NOW_S * 1000,
    dids: {
      resolve: async (did) =>
        buildDidDocument(did, {
          verificationMethods: { atproto: k256.didKey, atproto_label: p256.didKey },
          alsoKnownAs: [],
          services: {},
        }),
    },
  });
  const labeler = `${ISS}#atproto_labeler`;
  const issuers = [ISS, labeler];
  const verify = (jwt: string) =>
    tokens.verify(jwt, { lxm: LXM, issuers }).then(
      ({ did }) => did,
      (error: KithError) => error.code,
    );
  expect(await verify(token())).toBe(ISS);
  expect(await verify(token({ iss: labeler, signer: p256 }))).toBe(ISS);
  expect(await verify(token({ iss: labeler }))).toBe("bad_service_token");
  expect(await verify(token({ signer: p256 }))).toBe("bad_service_token");
  expect(await verify(token({ iss: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" }))).toBe("untrusted_issuer");
  expect(await verdict(tokens, token({ iss: labeler, signer: p256 }))).toMatch(/^bad_service_token/);
});

test("ServiceTokens.verify knows another service of this server by its own methods alone", async () => {
  const { tokens: without } = makeTokens();
  const { tokens } = makeTokens({ services: [{ id: "kith_community", prefix: "dev.kith.community." }] });
  const aud = `${AUD}#kith_community`;
  const lxm = "dev.kith.community.list";
  expect(await verdict(tokens, token({ aud, lxm }), lxm)).toBe(ISS);
  for (const own of [AUD, `${AUD}#atproto_pds`]) {
    expect(await verdict(tokens, token({ aud: own, lxm }), lxm)).toBe(ISS);
  }
  for (const other of [LXM, "dev.kith.communityother.list", "dev.kith.admin.findAccount"]) {
    expect(await verdict(tokens, token({ aud, lxm: other }), other)).toContain("bad_service_token");
  }
  expect(await verdict(tokens, token({ aud: `${AUD}#kith`, lxm }), lxm)).toContain("bad_service_token");
  expect(await verdict(without, token({ aud, lxm }), lxm)).toContain("bad_service_token");
});
