import { describe, expect, test } from "bun:test";
import { getHandle, getKey, getPds } from "@atproto/identity";
import { hasVectors, vectorBytes, vectorJson } from "../../tests/vectors.ts";
import { readCar } from "./car.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import {
  buildDidDocument,
  type DidDocument,
  handleOf,
  isOwnOrigin,
  parseDidDocument,
  pdsEndpointOf,
  serviceDidDocument,
  serviceEndpointOf,
  signingKeyOf,
  verificationKeyOf,
} from "./did_doc.ts";
import { type KeyType, signerFromPrivateKey, verifySignature } from "./keys/mod.ts";

const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const signer = (type: KeyType) => signerFromPrivateKey(type, new Uint8Array(32).fill(7));
const KEY = signer("k256").didKey;

const FOLDER = "identity-oauth-documents";
describe.skipIf(!hasVectors(FOLDER))("DID document vectors", () => {
  test.each(["did_plc_doc.json", "did_plc_doc_legacy.json"])("%s: key, handle and PDS", (file) => {
    const document = parseDidDocument(vectorJson(`${FOLDER}/${file}`), { did: DID });
    expect(signingKeyOf(document)).toBe("did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF");
    expect(handleOf(document)).toBe("atproto.com");
    expect(pdsEndpointOf(document)).toBe("https://bsky.social");
  });

  test("did_web_doc.json: a service, neither key nor handle nor PDS", () => {
    const document = parseDidDocument(vectorJson(`${FOLDER}/did_web_doc.json`), {
      did: "did:web:discover.bsky.social",
    });
    expect(signingKeyOf(document)).toBeUndefined();
    expect(handleOf(document)).toBeUndefined();
    expect(pdsEndpointOf(document)).toBeUndefined();
    expect(serviceEndpointOf(document, { id: "bsky_fg" })).toBe("https://discover.bsky.social");
  });
});

test.skipIf(!hasVectors("car"))("signingKeyOf() gives the key that signed a real repository", () => {
  const did = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
  const key = signingKeyOf(parseDidDocument(vectorJson("car/greenground.didDoc.json"), { did }));
  const { roots, blocks } = readCar(vectorBytes("car/greenground.repo.car"));
  const root = blocks.find(({ cid }) => Buffer.compare(cid.bytes, roots[0]!.bytes) === 0);
  const { sig, ...unsigned } = decodeCbor(root!.bytes) as { sig: { buf: Uint8Array } };
  expect(verifySignature(key as string, encodeCbor(unsigned), sig.buf)).toBe(true);
});

const STATE = {
  verificationMethods: { atproto: KEY },
  alsoKnownAs: ["https://example.com", "at://Alice.Test"],
  services: {
    atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://pds.example.com" },
    other: { type: "Other", endpoint: "https://other.example.com:8443/" },
  },
};

test.each(["k256", "p256"] as const)(
  "buildDidDocument() with %s is what the reference reads back",
  (type) => {
    const key = signer(type).didKey;
    const document = buildDidDocument(DID, { ...STATE, verificationMethods: { atproto: key } });
    expect(document["@context"]).toContain(
      `https://w3id.org/security/suites/${type === "k256" ? "secp256k1" : "ecdsa"}-2019/v1`,
    );
    expect(parseDidDocument(document, { did: DID })).toBe(document);
    expect(signingKeyOf(document)).toBe(key);
    expect(handleOf(document)).toBe("alice.test");
    expect(pdsEndpointOf(document)).toBe("https://pds.example.com");
    expect(serviceEndpointOf(document, { id: "other" })).toBe("https://other.example.com:8443");
    const theirs = document as never as Parameters<typeof getKey>[0];
    expect(getKey(theirs)).toBe(key);
    expect(getPds(theirs)).toBe("https://pds.example.com");
    expect(getHandle(theirs)).toBe("Alice.Test");
  },
);

test("buildDidDocument() keeps keys of kinds that we cannot use", () => {
  const key = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
  const document = buildDidDocument(DID, { ...STATE, verificationMethods: { atproto: KEY, other: key } });
  expect(document.verificationMethod).toHaveLength(2);
  expect(verificationKeyOf(document, "other")).toBeUndefined();
  expect(signingKeyOf(document)).toBe(KEY);
});

test("serviceDidDocument() says where the PDS is", () => {
  const document = serviceDidDocument({
    did: "did:web:pds.example.com",
    endpoint: "https://pds.example.com",
  });
  expect(pdsEndpointOf(document)).toBe("https://pds.example.com");
});

test("serviceDidDocument() names other services of the same server", () => {
  const endpoint = "https://pds.example.com";
  const services = [{ id: "kith_community", type: "KithCommunity" }];
  const document = serviceDidDocument({ did: "did:web:pds.example.com", endpoint, services });
  expect(pdsEndpointOf(document)).toBe(endpoint);
  expect(serviceEndpointOf(document, { id: "kith_community" })).toBe(endpoint);
});

test.each([
  [null, "not an object"],
  [[], "not an object"],
  [{}, "its id is undefined"],
  [{ id: "did:plc:other" }, 'its id is "did:plc:other"'],
  [{ id: DID, service: {} }, "service is not a list"],
  [{ id: DID, alsoKnownAs: "at://a.test" }, "alsoKnownAs is not a list"],
])("parseDidDocument() refuses: %#", (json, why) => {
  expect(() => parseDidDocument(json, { did: DID })).toThrow(why);
});

const withKey = (method: unknown): DidDocument => ({ id: DID, verificationMethod: [method] });
const GOOD = { id: "#atproto", type: "Multikey", controller: DID, publicKeyMultibase: KEY.slice(8) };

test("signingKeyOf() takes the first #atproto, by its short or its full id", () => {
  const other = { ...GOOD, publicKeyMultibase: signer("p256").didKey.slice(8) };
  expect(signingKeyOf(withKey(GOOD))).toBe(KEY);
  expect(signingKeyOf(withKey({ ...GOOD, id: `${DID}#atproto` }))).toBe(KEY);
  expect(signingKeyOf({ id: DID, verificationMethod: [{ ...GOOD, id: "#a" }, GOOD, other] })).toBe(KEY);
});

test.each([
  null,
  "text",
  { ...GOOD, controller: "did:plc:other" },
  { ...GOOD, id: "did:plc:other#atproto" },
  { ...GOOD, id: "atproto" },
  { ...GOOD, type: "JsonWebKey2020" },
  { ...GOOD, type: "EcdsaSecp256k1VerificationKey2019" },
  { ...GOOD, publicKeyMultibase: undefined },
  { ...GOOD, publicKeyMultibase: KEY.slice(9) },
  { ...GOOD, publicKeyMultibase: `z${"1".repeat(100_000)}` },
  { ...GOOD, publicKeyMultibase: "z0OIl" },
])("signingKeyOf() finds no key: %#", (method) => {
  expect(signingKeyOf(withKey(method))).toBeUndefined();
});

const withPds = (endpoint: unknown, more: object = {}): DidDocument => ({
  id: DID,
  service: [{ id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: endpoint, ...more }],
});

test.each([
  ["https://pds.example.com", "https://pds.example.com"],
  ["https://pds.example.com/", "https://pds.example.com"],
  ["https://PDS.example.com:8443", "https://pds.example.com:8443"],
  ["http://pds.example.com", undefined],
  ["https://pds.example.com/xrpc", undefined],
  ["https://pds.example.com?a", undefined],
  ["https://pds.example.com#a", undefined],
  ["https://user@pds.example.com", undefined],
  ["file:///etc/passwd", undefined],
  ["javascript:alert(1)", undefined],
  ["pds.example.com", undefined],
  [{ uri: "https://pds.example.com" }, undefined],
])("pdsEndpointOf() takes an https origin only: %#", (endpoint, expected) => {
  expect(pdsEndpointOf(withPds(endpoint))).toBe(expected as string);
});

test("pdsEndpointOf() takes http in development only, and only a PDS", () => {
  expect(pdsEndpointOf(withPds("http://localhost:2583"), { allowHttp: true })).toBe("http://localhost:2583");
  expect(pdsEndpointOf(withPds("https://a.example", { type: "Other" }))).toBeUndefined();
});

test.each([
  ["https://pds.test", "https://pds.test", true],
  ["https://pds.test:8443", "https://pds.test", false],
  ["http://localhost:1", "http://localhost:2", true],
  ["http://127.0.0.1:1", "http://localhost:2", false],
  ["https://localhost:1", "http://localhost:2", false],
  ["http://localhost:1", "https://pds.test", false],
  ["http://localhost.example:1", "http://localhost:2", false],
  [undefined, "http://localhost:2", false],
])("isOwnOrigin(%p, %p) is %p", (origin, own, is) => {
  expect(isOwnOrigin(origin, own)).toBe(is);
});

test("handleOf() skips what is no handle", () => {
  const alsoKnownAs = [
    "https://a.test",
    1,
    "at://did:plc:x",
    "at://-",
    "at://b.test/app",
    "at://C.test",
    "at://d.test",
  ];
  expect(handleOf({ id: DID, alsoKnownAs })).toBe("c.test");
  expect(handleOf({ id: DID, alsoKnownAs: [] })).toBeUndefined();
  expect(handleOf({ id: DID, alsoKnownAs: null })).toBeUndefined();
});
