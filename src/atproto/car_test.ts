import { describe, expect, test } from "bun:test";
import { Random } from "../../tests/random.ts";
import { hasVectors, vectorBytes, vectorJson } from "../../tests/vectors.ts";
import { isKithError } from "../errors.ts";
import type { Block } from "./block.ts";
import { carEntries, carHeader, encodeCar, readCar, readCarStream } from "./car.ts";
import { encodeCbor } from "./cbor.ts";
import { cidEquals, cidOfCbor, cidOfRaw, cidToString } from "./cid.ts";

function block(value: unknown): Block {
  const bytes = encodeCbor(value);
  return { cid: cidOfCbor(bytes), bytes };
}

const raw: Block = { cid: cidOfRaw(new Uint8Array(0)), bytes: new Uint8Array(0) };
const BLOCKS = [block({ a: 1 }), block(["x".repeat(200)]), raw, block("y".repeat(70_000))];
const ROOT = BLOCKS[0]!.cid;
const FILE = encodeCar([ROOT], BLOCKS);

async function* inChunks(bytes: Uint8Array, size: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const end = at + Math.max(1, size());
    yield bytes.subarray(at, end);
    at = end;
  }
}

async function stream(
  bytes: Uint8Array,
  options: { limits?: object; size?: () => number } = {},
): Promise<Block[]> {
  const car = await readCarStream(inChunks(bytes, options.size ?? (() => 1000)), options.limits);
  const blocks: Block[] = [];
  for await (const batch of car.batches) {
    expect(batch.length).toBeGreaterThan(0);
    blocks.push(...batch);
  }
  return blocks;
}

const texts = (blocks: readonly Block[]): string[] =>
  blocks.map(({ cid, bytes }) => `${cidToString(cid)} ${Buffer.from(bytes).toString("base64")}`);

describe.skipIf(!hasVectors("car"))("car vectors", () => {
  interface Fixture {
    readonly root: string;
    readonly blocks: readonly { readonly cid: string; readonly bytes: string }[];
    readonly car: string;
  }

  test("readCar() and encodeCar() agree with the fixtures byte for byte", async () => {
    for (const { root, blocks, car } of vectorJson<Fixture[]>("car/car-file-fixtures.json")) {
      const bytes = new Uint8Array(Buffer.from(car, "base64"));
      const read = readCar(bytes);
      expect(read.roots.map(cidToString)).toEqual([root]);
      expect(read.blocks.map(({ cid }) => cidToString(cid))).toEqual(blocks.map(({ cid }) => cid));
      blocks.forEach(({ bytes: expected }, i) => {
        expect(Buffer.from(read.blocks[i]!.bytes).equals(Buffer.from(expected, "base64"))).toBe(true);
      });
      expect(encodeCar(read.roots, read.blocks)).toEqual(bytes);
      expect(texts(await stream(bytes))).toEqual(texts(read.blocks));
    }
  });

  test("readCar() reads a real repository, whose bytes encodeCar() gives back", () => {
    const bytes = vectorBytes("car/greenground.repo.car");
    const { roots, blocks } = readCar(bytes);
    expect(roots).toHaveLength(1);
    expect(blocks.some(({ cid }) => cidEquals(cid, roots[0]!))).toBe(true);
    expect(encodeCar(roots, blocks)).toEqual(bytes);
  });
});

test("carHeader() and carEntries() are the parts of encodeCar()", () => {
  const entries = BLOCKS.map(({ cid, bytes }) => ({ cid: cid.bytes, bytes }));
  expect(Buffer.concat([carHeader([ROOT]), carEntries(entries)]).equals(FILE)).toBe(true);
  expect(carEntries([])).toHaveLength(0);
});

test("readCar() gives back what encodeCar() was given, repeats and order included", () => {
  const twice = [...BLOCKS, BLOCKS[0]!];
  const { roots, blocks } = readCar(encodeCar([ROOT, raw.cid], twice));
  expect(roots.map(cidToString)).toEqual([ROOT, raw.cid].map(cidToString));
  expect(texts(blocks)).toEqual(texts(twice));
  expect(readCar(encodeCar([], []))).toEqual({ roots: [], blocks: [] });
});

test("readCarStream() reads chunks of any size", async () => {
  const random = new Random(5);
  for (let i = 0; i < 20; i++) {
    const size = random.pick([() => 1, () => random.below(50), () => 40_000, () => FILE.length]);
    expect(texts(await stream(FILE, { size }))).toEqual(texts(BLOCKS));
  }
});

test("readCarStream() gives blocks with no memory of the chunks', batch after batch, and cancels its source when left", async () => {
  let cancelled = false;
  let taken = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = Uint8Array.from(taken++ === 0 ? FILE : FILE.subarray(carHeader([ROOT]).length));
        yield chunk;
        chunk.fill(0);
      }
    } finally {
      cancelled = true;
    }
  }
  const car = await readCarStream(source());
  const kept: Block[] = [];
  for await (const batch of car.batches) {
    kept.push(...batch);
    if (kept.length >= 3 * BLOCKS.length) break;
  }
  expect(texts(kept)).toEqual(texts([...BLOCKS, ...BLOCKS, ...BLOCKS]));
  expect([taken, cancelled]).toEqual([3, true]);
});

test.each([
  ["blocks", 5_000, 10],
  ["bytes", 40, 100_000],
])("readCarStream() bounds the %s of a batch, however large the chunks are", async (_, count, bytes) => {
  const many = Array.from({ length: count }, (_, i) => block([i, "x".repeat(bytes)]));
  const car = await readCarStream(inChunks(encodeCar([ROOT], many), () => 1e9));
  const read: Block[] = [];
  for await (const batch of car.batches) {
    expect(batch.length).toBeLessThanOrEqual(2_000);
    expect(batch.slice(1).reduce((sum, item) => sum + item.bytes.length, 0)).toBeLessThanOrEqual(1024 * 1024);
    read.push(...batch);
  }
  expect(texts(read)).toEqual(texts(many));
});

/** What is wrong with a file, by both readers, which must agree. */
async function problem(bytes: Uint8Array, limits: object = {}): Promise<string> {
  const told: string[] = [];
  for (const read of [async () => readCar(bytes, limits), () => stream(bytes, { limits })]) {
    try {
      await read();
      told.push("accepted");
    } catch (error) {
      if (!isKithError(error, "invalid_request")) throw error;
      told.push(error.message);
    }
  }
  expect(told[0]).toBe(told[1]!);
  return told[0]!;
}

test("readCar() refuses a block that does not hash to its CID, unless told not to look", async () => {
  const broken = Uint8Array.from(FILE);
  broken[broken.length - 1]! ^= 1;
  expect(await problem(broken)).toContain("does not hash to its CID");
  expect(await problem(broken, { verify: false })).toBe("accepted");
});

test("readCar() keeps its limits", async () => {
  expect(await problem(FILE, { blocksMax: 4 })).toBe("accepted");
  expect(await problem(FILE, { blocksMax: 3 })).toContain("too many blocks");
  expect(await problem(FILE, { bytesMax: FILE.length })).toBe("accepted");
  expect(await problem(FILE, { bytesMax: FILE.length - 1 })).toContain("too many bytes");
});

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
const after = (entry: Uint8Array): Uint8Array => Uint8Array.from(Buffer.concat([carHeader([ROOT]), entry]));

test.each([
  ["an empty file", new Uint8Array(0), "cut off"],
  ["a cut header", FILE.subarray(0, 20), "cut off"],
  ["a cut block", FILE.subarray(0, FILE.length - 1), "cut off"],
  ["a version 2 pragma", hex("0aa16776657273696f6e02"), "not that of CAR version 1"],
  ["a header of null", hex("01f6"), "not that of CAR version 1"],
  ["a header of rubbish", hex("01ff"), "malformed"],
  ["roots that are no CIDs", Uint8Array.from([15, ...encodeCbor({ version: 1, roots: ["a"] })]), "header is"],
  ["an empty entry", after(hex("00")), "too short for a CID"],
  ["an entry of 4 GiB", after(hex("ffffffff0f")), "at most"],
  ["an endless length", after(hex("ffffffffffffffffff01")), "too long"],
  ["a padded length", after(hex("8000")), "shortest form"],
  ["a CIDv0", after(Uint8Array.from([36, 0x12, 0x20, ...new Uint8Array(34)])), "without a CID of SHA-256"],
])("readCar() refuses %s", async (_, bytes, why) => {
  expect(await problem(bytes)).toContain(why);
});

test("readCar() of broken files either refuses or gives blocks that hash to their CIDs", () => {
  const random = new Random(11);
  const file = encodeCar([ROOT], BLOCKS.slice(0, 3));
  for (let i = 0; i < 5000; i++) {
    const bytes = file.slice(0, 1 + random.below(file.length));
    for (let flips = random.below(4); flips > 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    try {
      readCar(bytes);
    } catch (error) {
      if (!isKithError(error, "invalid_request")) throw error;
    }
  }
});
