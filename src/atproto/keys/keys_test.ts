import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fromBase58Btc } from "@atcute/multibase";
import { Secp256k1Keypair } from "@atproto/crypto";
import { p256 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { Random } from "../../../tests/random.ts";
import { hasVectors, vectorJson } from "../../../tests/vectors.ts";
import { type Curve, flipS, isHighS } from "./_curve.ts";
import { loadK256Native } from "./_k256_native.ts";
import { k256Noble } from "./_k256_noble.ts";
import { p256Native } from "./_p256.ts";
import {
  formatDidKey,
  generatePrivateKey,
  type KeyType,
  parseDidKey,
  publicKeyToDidKey,
  signerFromPrivateKey,
  verifySignature,
} from "./mod.ts";

const FOLDER = "atproto-interop-tests/crypto";
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

const native = loadK256Native();
const K256: readonly [string, Curve][] = [
  ["noble", k256Noble],
  ...(native === undefined ? [] : [["native", native] as [string, Curve]]),
];
const CURVES: readonly [string, KeyType, Curve][] = [
  ...K256.map(([name, curve]): [string, KeyType, Curve] => [`k256 ${name}`, "k256", curve]),
  ["p256", "p256", p256Native],
];

test("loadK256Native() loads where a prebuilt file is for this machine", () => {
  const { platform, arch } = process;
  const glibc =
    platform === "linux" && arch === "x64" && !process.report?.getReport()?.toString().includes("musl");
  if (glibc || (platform === "darwin" && arch === "arm64")) expect(native).toBeDefined();
});

interface SignatureCase {
  readonly comment: string;
  readonly messageBase64: string;
  readonly publicKeyDid: string;
  readonly publicKeyMultibase: string;
  readonly signatureBase64: string;
  readonly validSignature: boolean;
  readonly tags: readonly string[];
}

describe.skipIf(!hasVectors(FOLDER))("crypto vectors", () => {
  const cases = hasVectors(FOLDER) ? vectorJson<SignatureCase[]>(`${FOLDER}/signature-fixtures.json`) : [];

  test.each(cases)("verifySignature(): $comment", (fixture) => {
    const message = Buffer.from(fixture.messageBase64, "base64");
    const signature = Buffer.from(fixture.signatureBase64, "base64");
    expect(verifySignature(fixture.publicKeyDid, message, signature)).toBe(fixture.validSignature);
    const malleable = fixture.validSignature || fixture.tags.includes("high-s");
    expect(verifySignature(fixture.publicKeyDid, message, signature, { allowMalleable: true })).toBe(
      malleable,
    );
    const { type, publicKey } = parseDidKey(fixture.publicKeyDid);
    expect(formatDidKey(type, publicKey)).toBe(fixture.publicKeyDid);
    expect(publicKeyToDidKey(type, fromBase58Btc(fixture.publicKeyMultibase.slice(1)))).toBe(
      fixture.publicKeyDid,
    );
    for (const [, candidate, curve] of CURVES) {
      if (candidate !== type || signature.length !== 64) continue;
      expect(curve.verifyWith(publicKey)(message, signature)).toBe(fixture.validSignature);
    }
  });

  test("signerFromPrivateKey() derives the did:key of the W3C examples", () => {
    interface Example {
      readonly privateKeyBytesHex?: string;
      readonly privateKeyBytesBase58?: string;
      readonly publicDidKey: string;
    }
    for (const { privateKeyBytesHex, publicDidKey } of vectorJson<Example[]>(
      `${FOLDER}/w3c_didkey_K256.json`,
    )) {
      const privateKey = Uint8Array.from(Buffer.from(privateKeyBytesHex as string, "hex"));
      expect(signerFromPrivateKey("k256", privateKey).didKey).toBe(publicDidKey);
      for (const [, curve] of K256) {
        expect(formatDidKey("k256", curve.publicKeyOf(privateKey))).toBe(publicDidKey);
      }
    }
    for (const { privateKeyBytesBase58, publicDidKey } of vectorJson<Example[]>(
      `${FOLDER}/w3c_didkey_P256.json`,
    )) {
      const privateKey = fromBase58Btc(privateKeyBytesBase58 as string);
      expect(signerFromPrivateKey("p256", privateKey).didKey).toBe(publicDidKey);
    }
  });
});

test.each(CURVES)(
  "%s: every signature is low-S, verifies, and its high-S twin does not",
  (_, type, curve) => {
    const random = new Random(3);
    for (let i = 0; i < 40; i++) {
      const privateKey = generatePrivateKey(type, random.bytes(32));
      const publicKey = curve.publicKeyOf(privateKey);
      const message = random.bytes(random.below(300));
      const signature = curve.signWith(privateKey)(message);
      const verify = curve.verifyWith(publicKey);
      expect(signature).toHaveLength(64);
      expect(signature.constructor).toBe(Uint8Array);
      expect(isHighS(signature, curve.order)).toBe(false);
      expect(verify(message, signature)).toBe(true);
      const high = flipS(signature, curve.order);
      expect(isHighS(high, curve.order)).toBe(true);
      expect(verify(message, high)).toBe(false);
      signature[random.below(64)]! ^= 1;
      expect(verify(message, signature)).toBe(false);
    }
  },
);

test("k256: both implementations make the same signature and accept each other's", () => {
  const random = new Random(4);
  for (let i = 0; i < 40; i++) {
    const privateKey = random.bytes(32);
    const message = random.bytes(random.below(300));
    const signatures = K256.map(([, curve]) =>
      Buffer.from(curve.signWith(privateKey)(message)).toString("hex"),
    );
    expect(new Set(signatures).size).toBe(1);
    const publicKeys = K256.map(([, curve]) => Buffer.from(curve.publicKeyOf(privateKey)).toString("hex"));
    expect(new Set(publicKeys).size).toBe(1);
  }
});

test("signatures are those that @atproto/crypto accepts and makes", async () => {
  const theirs = await Secp256k1Keypair.create({ exportable: true });
  const ours = signerFromPrivateKey("k256", await theirs.export());
  expect(ours.didKey).toBe(theirs.did());
  expect(ours.sign(utf8("hello"))).toEqual(await theirs.sign(utf8("hello")));
});

test.each(["k256", "p256"] as const)("verifySignature() of %s never throws on a wrong signature", (type) => {
  const signer = signerFromPrivateKey(type, new Uint8Array(32).fill(9));
  const signature = signer.sign(utf8("a"));
  expect(signer.jwtAlg).toBe(type === "k256" ? "ES256K" : "ES256");
  expect(verifySignature(signer.didKey, utf8("a"), signature)).toBe(true);
  const { order } = type === "k256" ? k256Noble : p256Native;
  const n = Buffer.from(order.toString(16).padStart(64, "0"), "hex");
  const wrong = [
    new Uint8Array(64),
    new Uint8Array(64).fill(255),
    new Uint8Array(0),
    signature.subarray(0, 63),
    Buffer.concat([signature, new Uint8Array(1)]),
    Buffer.concat([n, signature.subarray(32)]),
    Buffer.concat([signature.subarray(0, 32), n]),
    Buffer.concat([signature.subarray(0, 32), new Uint8Array(32)]),
  ];
  for (const candidate of wrong) {
    expect(verifySignature(signer.didKey, utf8("a"), candidate)).toBe(false);
    expect(verifySignature(signer.didKey, utf8("a"), candidate, { allowMalleable: true })).toBe(false);
  }
});

test("private keys of zero, the order, and the wrong length are refused", () => {
  for (const [, type, curve] of CURVES) {
    const n = Uint8Array.from(Buffer.from(curve.order.toString(16).padStart(64, "0"), "hex"));
    for (const bytes of [new Uint8Array(32), n, new Uint8Array(31).fill(1), new Uint8Array(33).fill(1)]) {
      expect(curve.isPrivateKey(bytes)).toBe(false);
      expect(() => signerFromPrivateKey(type, bytes)).toThrow(RangeError);
      expect(() => generatePrivateKey(type, bytes)).toThrow(RangeError);
    }
  }
});

test("signerFromPrivateKey() holds a copy of the key", () => {
  const privateKey = new Uint8Array(32).fill(5);
  const signer = signerFromPrivateKey("k256", privateKey);
  privateKey.fill(0);
  expect(verifySignature(signer.didKey, utf8("a"), signer.sign(utf8("a")))).toBe(true);
});

test.each([
  "",
  "did:key:",
  "did:key:z",
  "did:key:zQ3sh",
  "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
  `did:key:z${"1".repeat(1000)}`,
  "did:web:example.com",
  "did:key:uzQ3sh0O",
])("parseDidKey() refuses %p", (didKey) => {
  expect(() => parseDidKey(didKey)).toThrow("Could not read the key");
});

test("public keys off the curve, hybrid or of the wrong length are refused by every implementation", () => {
  const off = new Uint8Array(33).fill(0xff);
  off[0] = 2;
  for (const [name, type, curve] of CURVES) {
    const point = (type === "k256" ? secp256k1 : p256).getPublicKey(new Uint8Array(32).fill(3), false);
    expect(curve.compress(point), name).toEqual(curve.publicKeyOf(new Uint8Array(32).fill(3)));
    const hybrid = Uint8Array.from(point);
    hybrid[0] = 6 + ((point[64] as number) & 1);
    for (const bytes of [
      off,
      hybrid,
      new Uint8Array(33),
      new Uint8Array(65),
      new Uint8Array(0),
      new Uint8Array(1),
    ]) {
      expect(curve.compress(bytes), `${name} ${bytes.length}`).toBeUndefined();
    }
    expect(() => parseDidKey(formatDidKey(type, off))).toThrow("not a point of its curve");
  }
});

test("k256 works without the native module, and says the same", async () => {
  const script = `
    Object.defineProperty(process, "arch", { value: "riscv64" });
    const { signerFromPrivateKey, verifySignature } = await import(${JSON.stringify(join(import.meta.dir, "mod.ts"))});
    const { loadK256Native } = await import(${JSON.stringify(join(import.meta.dir, "_k256_native.ts"))});
    const signer = signerFromPrivateKey("k256", new Uint8Array(32).fill(6));
    const signature = signer.sign(new Uint8Array(10));
    const ok = verifySignature(signer.didKey, new Uint8Array(10), signature);
    console.log(JSON.stringify([loadK256Native() === undefined, ok, Buffer.from(signature).toString("hex")]));
  `;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
  const text = await new Response(child.stdout).text();
  const ours = signerFromPrivateKey("k256", new Uint8Array(32).fill(6)).sign(new Uint8Array(10));
  expect(JSON.parse(text)).toEqual([true, true, Buffer.from(ours).toString("hex")]);
});
