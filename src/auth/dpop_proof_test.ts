import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from "jose";
import { hasVectors, vectorJson } from "../../tests/vectors.ts";
import type { KithError } from "../errors.ts";
import { DpopNonces, NONCE_STEP_MS, NONCE_STEPS_KEPT } from "./dpop_nonces.ts";
import { DPOP_ALGORITHMS, type DpopRequest, DpopVerifier } from "./dpop_proof.ts";
import { ReplayGuard } from "./replay_guard.ts";

const NOW = 1_790_000_000_000;
const URL = "https://pds.example.com/xrpc/com.example.get";

function stage() {
  const clock = { ms: NOW };
  const now = () => clock.ms;
  const nonces = new DpopNonces({ now });
  const verifier = new DpopVerifier({ nonces, replays: new ReplayGuard({ now }), now });
  return { clock, nonces, verifier };
}

const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
const jwk = await exportJWK(publicKey);
const privateJwk = await exportJWK(privateKey);
const other = await generateKeyPair("ES256", { extractable: true });

interface Forgery {
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
  readonly key?: CryptoKey | Uint8Array;
}

function proofOf(nonces: DpopNonces, { header = {}, claims = {}, key = privateKey }: Forgery = {}) {
  const payload = {
    jti: crypto.randomUUID(),
    htm: "GET",
    htu: URL,
    iat: NOW / 1000,
    nonce: nonces.current(),
    ...claims,
  };
  return new SignJWT(payload)
    .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk, ...header } as JWTHeaderParameters)
    .sign(key);
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: KithError) => error.code,
  );

describe("DpopVerifier", () => {
  const get = { method: "GET", url: URL };

  test("answers the thumbprint of the key", async () => {
    const { nonces, verifier } = stage();
    const proof = await proofOf(nonces);
    expect(await verifier.verify({ ...get, proof })).toEqual({ jkt: await calculateJwkThumbprint(jwk) });
  });

  const byJose = DPOP_ALGORITHMS.filter((alg) => alg !== "ES256K");
  test.each(byJose)("accepts %s", async (alg) => {
    const { nonces, verifier } = stage();
    const pair = await generateKeyPair(alg, { extractable: true });
    const header = { alg, jwk: await exportJWK(pair.publicKey) };
    const proof = await proofOf(nonces, { header, key: pair.privateKey });
    expect(await codeOf(verifier.verify({ ...get, proof }))).toBe("accepted");
  });

  test("accepts the hash of the access token that came with it", async () => {
    const { nonces, verifier } = stage();
    const accessToken = "an access token";
    const ath = createHash("sha256").update(accessToken).digest("base64url");
    const proof = await proofOf(nonces, { claims: { ath } });
    expect(await codeOf(verifier.verify({ ...get, proof, accessToken }))).toBe("accepted");
  });

  const bad: [title: string, forgery: Forgery][] = [
    ["another typ", { header: { typ: "JWT" } }],
    [
      "HMAC with the public key",
      { header: { alg: "HS256" }, key: Buffer.from(JSON.stringify(jwk).padEnd(32)) },
    ],
    ["no key", { header: { jwk: undefined } }],
    ["a private key", { header: { jwk: privateJwk } }],
    ["a symmetric key", { header: { jwk: { kty: "oct", k: "AAAA" } } }],
    ["a key that is no point", { header: { jwk: { ...jwk, x: "AAAA" } } }],
    ["another key", { key: other.privateKey }],
    ["no jti", { claims: { jti: undefined } }],
    ["a number as jti", { claims: { jti: 3 } }],
    ["a jti without end", { claims: { jti: "x".repeat(300) } }],
    ["another method", { claims: { htm: "POST" } }],
    ["no method", { claims: { htm: undefined } }],
    ["another path", { claims: { htu: "https://pds.example.com/xrpc/com.example.other" } }],
    ["another host", { claims: { htu: "https://evil.example/xrpc/com.example.get" } }],
    ["http", { claims: { htu: URL.replace("https", "http") } }],
    ["a query", { claims: { htu: `${URL}?a=b` } }],
    ["a fragment", { claims: { htu: `${URL}#a` } }],
    ["a user", { claims: { htu: "https://a@pds.example.com/xrpc/com.example.get" } }],
    ["no URL", { claims: { htu: undefined } }],
    ["no iat", { claims: { iat: undefined } }],
    ["an iat of last week", { claims: { iat: NOW / 1000 - 604_800 } }],
    ["an iat of next week", { claims: { iat: NOW / 1000 + 604_800 } }],
  ];

  test.each(bad)("refuses %s", async (_title, forgery) => {
    const { nonces, verifier } = stage();
    const proof = await proofOf(nonces, forgery);
    expect(await codeOf(verifier.verify({ ...get, proof }))).toBe("invalid_dpop_proof");
  });

  test.each([null, "", "x", "a.b.c", "e30.e30.", `${"x".repeat(5_000)}`])("refuses %p", async (proof) => {
    const { verifier } = stage();
    expect(await codeOf(verifier.verify({ ...get, proof }))).toBe("invalid_dpop_proof");
  });

  test("refuses an unsigned proof", async () => {
    const { nonces, verifier } = stage();
    const [, claims] = (await proofOf(nonces)).split(".");
    const head = Buffer.from(JSON.stringify({ typ: "dpop+jwt", alg: "none", jwk })).toString("base64url");
    expect(await codeOf(verifier.verify({ ...get, proof: `${head}.${claims}.` }))).toBe("invalid_dpop_proof");
  });

  test("refuses the hash of another access token, and none", async () => {
    const { nonces, verifier } = stage();
    const ath = createHash("sha256").update("another").digest("base64url");
    for (const claims of [{ ath }, {}]) {
      const request: DpopRequest = { ...get, proof: await proofOf(nonces, { claims }), accessToken: "mine" };
      expect(await codeOf(verifier.verify(request))).toBe("invalid_dpop_proof");
    }
  });

  test("serves once", async () => {
    const { nonces, verifier } = stage();
    const proof = await proofOf(nonces);
    expect(await codeOf(verifier.verify({ ...get, proof }))).toBe("accepted");
    expect(await codeOf(verifier.verify({ ...get, proof }))).toBe("invalid_dpop_proof");
  });

  test("asks for a nonce where there is none, or an old or invented one", async () => {
    const { clock, nonces, verifier } = stage();
    for (const nonce of [undefined, "invented", 3]) {
      const proof = await proofOf(nonces, { claims: { nonce } });
      expect(await codeOf(verifier.verify({ ...get, proof }))).toBe("use_dpop_nonce");
    }
    const nonce = nonces.current();
    clock.ms += NONCE_STEPS_KEPT * NONCE_STEP_MS;
    const late = { claims: { nonce, iat: clock.ms / 1000 } };
    expect(await codeOf(verifier.verify({ ...get, proof: await proofOf(nonces, late) }))).toBe("accepted");
    clock.ms += NONCE_STEP_MS;
    expect(await codeOf(verifier.verify({ ...get, proof: await proofOf(nonces, late) }))).toBe(
      "use_dpop_nonce",
    );
  });

  test("a proof is refused for its nonce before it is forgotten as used", async () => {
    const { clock, nonces, verifier } = stage();
    const proof = await proofOf(nonces);
    await verifier.verify({ ...get, proof });
    for (let step = 0; step < 10; step += 1) {
      expect(await codeOf(verifier.verify({ ...get, proof }))).not.toBe("accepted");
      clock.ms += NONCE_STEP_MS / 2;
    }
  });
});

describe.if(hasVectors("rfc-oauth"))("the proofs printed in RFC 9449", () => {
  interface Vector {
    readonly method: string;
    readonly url: string;
    readonly now: number;
    readonly proof: string;
    readonly access_token?: string;
  }
  const vectors = vectorJson<Record<string, Vector>>("rfc-oauth/rfc-vectors.json");

  test.each(["dpop_token_proof", "dpop_resource_proof"])(
    "%s lacks nothing but a nonce of ours",
    async (name) => {
      const { method, url, now, proof, access_token: accessToken } = vectors[name] as Vector;
      const clock = { now: () => now * 1000 };
      const accepting = { nonces: { isValid: () => false }, replays: new ReplayGuard(clock), ...clock };
      const verifier = new DpopVerifier(accepting);
      expect(await codeOf(verifier.verify({ method, url, proof, accessToken }))).toBe("use_dpop_nonce");
      expect(await codeOf(verifier.verify({ method, url, proof, accessToken: "another" }))).toBe(
        "invalid_dpop_proof",
      );
    },
  );
});

describe("ReplayGuard", () => {
  test("use() is true once, and again when the time is over", () => {
    const clock = { ms: 0 };
    const guard = new ReplayGuard({ now: () => clock.ms });
    expect(guard.use(["a", "b"], { until: 10 })).toBe(true);
    expect(guard.use(["a", "b"], { until: 20 })).toBe(false);
    expect(guard.use(["ab", ""], { until: 10 })).toBe(true);
    clock.ms = 10;
    expect(guard.use(["a", "b"], { until: 20 })).toBe(true);
  });

  test("use() keeps no more than its bound", () => {
    const guard = new ReplayGuard({ max: 2, now: () => 0 });
    for (const name of ["a", "b", "c"]) guard.use([name], { until: 10 });
    expect(guard.use(["c"], { until: 10 })).toBe(false);
    expect(guard.use(["a"], { until: 10 })).toBe(true);
  });
});

test("DpopVerifier tells of a proof that is right but for its origin, and of no other", async () => {
  const told: unknown[] = [];
  const { nonces } = stage();
  const replays = new ReplayGuard({ now: () => NOW });
  const onOtherOrigin = (origins: object) => told.push(origins);
  const verifier = new DpopVerifier({ nonces, replays, now: () => NOW, onOtherOrigin });
  for (const htu of [URL.replace("https:", "http:"), `${URL}/other`]) {
    const proof = await proofOf(nonces, { claims: { htu } });
    expect(await codeOf(verifier.verify({ method: "GET", url: URL, proof }))).toBe("invalid_dpop_proof");
  }
  expect(told).toEqual([{ named: "http://pds.example.com", expected: "https://pds.example.com" }]);
});
