import { expect, test } from "bun:test";
import { p256 as noble } from "@noble/curves/nist.js";
import { compactVerify, importJWK } from "jose";
import { highSOf } from "../../tests/high_s.ts";
import { isKithError } from "../errors.ts";
import { parseDidKey, signerFromPrivateKey } from "./keys/mod.ts";
import {
  createServiceJwt,
  parseServiceJwt,
  serviceIssuer,
  type VerifyServiceJwtOptions,
  verifyServiceJwt,
} from "./service_jwt.ts";

const NOW = 1_780_000_000;
const ISS = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const AUD = "did:web:pds.example.com";
const LXM = "com.atproto.server.createAccount";
const k256 = signerFromPrivateKey("k256", new Uint8Array(32).fill(1));
const p256 = signerFromPrivateKey("p256", new Uint8Array(32).fill(2));
const BASE = { iss: ISS, aud: AUD, lxm: LXM, iat: NOW, exp: NOW + 60, jti: "0a1b", signer: k256 };
const VERIFY = { aud: AUD, lxm: LXM, nowSeconds: NOW, didKey: k256.didKey };

const encode = (json: unknown): string => Buffer.from(JSON.stringify(json)).toString("base64url");

/** A token with any header and claims, rightly signed. */
function forged(header: object, claims: object = {}): string {
  const signed = `${encode({ typ: "JWT", alg: "ES256K", ...header })}.${encode({ iss: ISS, aud: AUD, lxm: LXM, exp: NOW + 60, ...claims })}`;
  return `${signed}.${Buffer.from(k256.sign(Buffer.from(signed))).toString("base64url")}`;
}

function problem(jwt: string, options: Partial<VerifyServiceJwtOptions> = {}): string {
  try {
    verifyServiceJwt(jwt, { ...VERIFY, ...options });
    return "accepted";
  } catch (error) {
    if (isKithError(error, "invalid_token") || isKithError(error, "expired_token")) return error.message;
    throw error;
  }
}

test.each([k256, p256])("verifyServiceJwt() gives back what createServiceJwt() was given: %#", (signer) => {
  const jwt = createServiceJwt({ ...BASE, signer });
  const claims = verifyServiceJwt(jwt, { ...VERIFY, didKey: signer.didKey });
  expect(claims).toEqual({ iat: NOW, iss: ISS, aud: AUD, exp: NOW + 60, lxm: LXM, jti: "0a1b" });
  expect(parseServiceJwt(jwt).header).toEqual({ typ: "JWT", alg: signer.jwtAlg });
});

test("createServiceJwt() makes a token that jose verifies", async () => {
  const { publicKey } = parseDidKey(p256.didKey);
  const { x, y } = noble.Point.fromBytes(publicKey).toAffine();
  const coordinate = (n: bigint): string =>
    Buffer.from(n.toString(16).padStart(64, "0"), "hex").toString("base64url");
  const key = await importJWK({ kty: "EC", crv: "P-256", x: coordinate(x), y: coordinate(y) }, "ES256");
  const { payload } = await compactVerify(createServiceJwt({ ...BASE, signer: p256 }), key);
  expect(JSON.parse(Buffer.from(payload).toString())).toMatchObject({ iss: ISS, lxm: LXM });
});

test("createServiceJwt() writes kid and lxm only where they are given", () => {
  const jwt = createServiceJwt({ ...BASE, lxm: undefined, keyId: "#atproto" });
  const { header, claims } = parseServiceJwt(jwt);
  expect(header.kid).toBe("#atproto");
  expect("lxm" in claims).toBe(false);
  expect(problem(jwt)).toContain("for no method");
});

test("verifyServiceJwt() takes the audience and the method exactly", () => {
  const jwt = createServiceJwt({ ...BASE, aud: `${AUD}#atproto_pds` });
  expect(problem(jwt)).toContain(`its audience is "${AUD}#atproto_pds"`);
  expect(problem(jwt, { aud: [AUD, `${AUD}#atproto_pds`] })).toBe("accepted");
  expect(problem(createServiceJwt(BASE), { aud: [] })).toContain("its audience is");
  expect(problem(createServiceJwt(BASE), { lxm: "com.atproto.repo.uploadBlob" })).toContain(
    "it is for the method",
  );
});

test("verifyServiceJwt() ends with exp", () => {
  const jwt = createServiceJwt(BASE);
  expect(problem(jwt, { nowSeconds: NOW + 59 })).toBe("accepted");
  expect(problem(jwt, { nowSeconds: NOW + 60 })).toContain("has expired");
});

test("verifyServiceJwt() wants the issuer's key, and the algorithm of that key", () => {
  expect(problem(createServiceJwt({ ...BASE, signer: p256 }))).toContain('its algorithm is "ES256"');
  const other = signerFromPrivateKey("k256", new Uint8Array(32).fill(9));
  expect(problem(createServiceJwt({ ...BASE, signer: other }))).toContain("not by its issuer's key");
});

test("verifyServiceJwt() takes high-S, as other software makes it", () => {
  const jwt = createServiceJwt({ ...BASE, signer: p256 });
  const [head, body, tail] = jwt.split(".");
  const high = highSOf("p256", Buffer.from(tail as string, "base64url"));
  const twin = `${head}.${body}.${Buffer.from(high).toString("base64url")}`;
  expect(problem(twin, { didKey: p256.didKey })).toBe("accepted");
});

test.each<[object, object, string]>([
  [{ typ: "at+jwt" }, {}, 'its type is "at+jwt"'],
  [{ typ: "AT+JWT" }, {}, "its type is"],
  [{ typ: "refresh+jwt" }, {}, "its type is"],
  [{ typ: "dpop+jwt" }, {}, "its type is"],
  [{ typ: undefined }, {}, "accepted"],
  [{ alg: "none" }, {}, 'its algorithm is "none"'],
  [{ alg: "HS256" }, {}, "its algorithm is"],
  [{ crit: ["exp"] }, {}, "demands extensions"],
  [{ kid: "#atproto" }, {}, "accepted"],
  [{ kid: `${ISS}#atproto` }, {}, "accepted"],
  [{ kid: "#atproto_label" }, {}, "its key is"],
  [{}, { iss: `${ISS}#atproto_labeler` }, "its issuer is"],
  [{}, { iss: `${ISS}#atproto_pds` }, "not a DID"],
  [{}, { iss: undefined }, "not a DID"],
  [{}, { aud: [AUD] }, "no audience"],
  [{}, { exp: undefined }, "no expiry"],
  [{}, { exp: "9999999999" }, "no expiry"],
  [{}, { iat: "1" }, "iat is not"],
  [{}, { lxm: "*" }, "its method is"],
  [{}, { jti: 1 }, "jti is not"],
])("verifyServiceJwt() judges header and claims: %#", (header, claims, why) => {
  expect(problem(forged(header, claims))).toContain(why);
});

test.each([
  "",
  "a.b",
  "a.b.c",
  "a.b.c.d",
  "..",
  `${encode({ alg: "ES256" })}..x`,
  `${encode([])}.${encode({})}.x`,
  `${encode(null)}.${encode({})}.x`,
  `${createServiceJwt(BASE)}=`,
  `${createServiceJwt(BASE)} `,
  `${createServiceJwt(BASE)}.x`,
  "x".repeat(100_000),
])("verifyServiceJwt() refuses what is no token: %#", (jwt) => {
  expect(problem(jwt)).toContain("Could not accept the service token");
});

test("verifyServiceJwt() refuses a token with any part changed", () => {
  const jwt = createServiceJwt(BASE);
  const [head, body, tail] = jwt.split(".") as [string, string, string];
  const claims = encode({ ...BASE, signer: undefined, exp: NOW + 9999 });
  expect(problem(`${head}.${claims}.${tail}`)).toContain("signature");
  expect(problem(`${head}.${body}.${tail.slice(0, -4)}`)).toContain("signature");
  expect(problem(`${encode({ alg: "ES256K" })}.${body}.${tail}`)).toContain("signature");
});

test("verifyServiceJwt() takes a labeler for an issuer where it is expected, by the key of its own", () => {
  const labeler = `${ISS}#atproto_labeler`;
  const issuers = [ISS, labeler];
  const options = { aud: AUD, lxm: LXM, nowSeconds: NOW, didKey: k256.didKey, issuers };
  for (const kid of [undefined, "#atproto_label", `${ISS}#atproto_label`]) {
    expect(verifyServiceJwt(forged({ kid }, { iss: labeler }), options).iss).toBe(labeler);
  }
  expect(() => verifyServiceJwt(forged({ kid: "#atproto" }, { iss: labeler }), options)).toThrow(
    "its key is",
  );
  const others = { ...options, issuers: ["did:web:elsewhere.test"] };
  expect(() => verifyServiceJwt(forged({}, {}), others)).toThrow("its issuer is");
  expect(serviceIssuer(labeler)).toEqual({ did: ISS, keyId: "atproto_label" });
});
