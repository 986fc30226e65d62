import { describe, expect, test } from "bun:test";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { DpopVerifier } from "./dpop_proof.ts";
import { importJwsKey } from "./jws_key.ts";
import { ReplayGuard } from "./replay_guard.ts";

const secret = secp256k1.utils.randomSecretKey();
const jwk = jwkOf(secret);
const base64url = (value: string | Uint8Array) => Buffer.from(value).toString("base64url");

function jwkOf(key: Uint8Array): JWK {
  const point = secp256k1.getPublicKey(key, false);
  return {
    kty: "EC",
    crv: "secp256k1",
    x: Buffer.from(point.subarray(1, 33)).toString("base64url"),
    y: Buffer.from(point.subarray(33)).toString("base64url"),
  };
}

function signed(claims: object, { head = {}, key = secret, isHighS = false } = {}): string {
  const text = [{ alg: "ES256K", ...head }, claims].map((part) => base64url(JSON.stringify(part))).join(".");
  const low = secp256k1.Signature.fromBytes(secp256k1.sign(Buffer.from(text), key, { lowS: true }));
  const { Signature, Point } = secp256k1;
  const signature = isHighS ? new Signature(low.r, Point.Fn.ORDER - low.s) : low;
  return `${text}.${base64url(signature.toBytes("compact"))}`;
}

const accepts = async (jws: string, { by = jwk, alg = "ES256K" }: { by?: JWK; alg?: string } = {}) => {
  try {
    return JSON.parse(Buffer.from(await (await importJwsKey(by, alg)).verify(jws)).toString());
  } catch {
    return undefined;
  }
};

describe("importJwsKey() of ES256K", () => {
  test.each([false, true])("takes a signature, high-S: %p", async (isHighS) => {
    expect(await accepts(signed({ a: "ä" }, { isHighS }))).toEqual({ a: "ä" });
  });

  test.each<[string, string, { by?: JWK; alg?: string }]>([
    ["another key", signed({}, { key: secp256k1.utils.randomSecretKey() }), {}],
    ["another alg in its head", signed({}, { head: { alg: "ES256" } }), {}],
    ["no alg", signed({}, { head: { alg: "none" } }), {}],
    ["critical headers", signed({}, { head: { crit: ["b64"], b64: false } }), {}],
    ["another algorithm asked for", signed({}), { alg: "ES256" }],
    ["a payload that was changed", signed({}).replace(/\..*\./, `.${base64url('{"a":1}')}.`), {}],
    ["a short signature", signed({}).slice(0, -2), {}],
    ["no signature", `${signed({}).split(".").slice(0, 2).join(".")}.`, {}],
    ["four parts", `${signed({})}.e30`, {}],
    ["a signature of zeros", signed({}).replace(/[^.]+$/, "A".repeat(86)), {}],
    ["a point off the curve", signed({}), { by: { ...jwk, y: jwk.x as string } }],
    ["another curve", signed({}), { by: { ...jwk, crv: "P-256" } }],
    ["half a point", signed({}), { by: { kty: "EC", crv: "secp256k1", x: jwk.x as string } }],
    ["a long coordinate", signed({}), { by: { ...jwk, x: `${jwk.x}AAAA` } }],
    ["another kind of key", signed({}), { by: { ...jwk, kty: "OKP" } }],
  ])("refuses %s", async (_title, jws, options) => {
    expect(await accepts(jws, options)).toBeUndefined();
  });

  test.each<[boolean, JWK]>([
    [true, { use: "sig" }],
    [true, { key_ops: ["verify", "encrypt", "wrapKey"] }],
    [false, { use: "enc" }],
    [false, { key_ops: ["encrypt"] }],
    [false, { key_ops: [] }],
  ])("takes a key: %p, with %j", async (isTaken, more) => {
    const pair = await generateKeyPair("ES256", { extractable: true });
    const own = { ...(await exportJWK(pair.publicKey)), ...more };
    const jws = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: "ES256" }).sign(pair.privateKey);
    const answer = isTaken ? { a: 1 } : undefined;
    expect(await accepts(jws, { by: own, alg: "ES256" })).toEqual(answer);
    expect(await accepts(signed({ a: 1 }), { by: { ...jwk, ...more } })).toEqual(answer);
  });

  test("refuses a key of P-256, and P-256 one of secp256k1", async () => {
    const pair = await generateKeyPair("ES256", { extractable: true });
    const own = await exportJWK(pair.publicKey);
    const jws = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: "ES256" }).sign(pair.privateKey);
    expect(await accepts(jws, { by: own, alg: "ES256" })).toEqual({ a: 1 });
    expect(await accepts(jws, { by: own })).toBeUndefined();
    expect(await accepts(jws, { alg: "ES256" })).toBeUndefined();
  });
});

test("DpopVerifier takes a proof by ES256K, once, and none by another key", async () => {
  const now = () => 1_790_000_000_000;
  const url = "https://pds.example.com/xrpc/com.example.get";
  const nonces = { isValid: () => true };
  const verifier = new DpopVerifier({ nonces, replays: new ReplayGuard({ now }), now });
  const claims = { jti: "1", htm: "GET", htu: url, iat: now() / 1000, nonce: "n" };
  const head = { typ: "dpop+jwt", jwk };
  const proof = signed(claims, { head });
  const verify = (text: string) => verifier.verify({ method: "GET", url, proof: text });
  expect(await verify(proof)).toEqual({ jkt: await calculateJwkThumbprint(jwk) });
  for (const bad of [
    proof,
    signed({ ...claims, jti: "2" }, { head, key: secp256k1.utils.randomSecretKey() }),
    signed({ ...claims, jti: "3" }, { head: { ...head, jwk: { ...jwk, d: base64url(secret) } } }),
    signed({ ...claims, jti: "4" }, { head: { ...head, alg: "ES256" } }),
  ]) {
    await expect(verify(bad)).rejects.toMatchObject({ code: "invalid_dpop_proof" });
  }
});
