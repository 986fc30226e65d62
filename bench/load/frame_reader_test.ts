import { expect, test } from "bun:test";
import { encodeCbor } from "../../src/atproto/mod.ts";
import { FrameReader, revOf, seqOf } from "./frame_reader.ts";

/** A server's message of one frame. */
function frameOf(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  head[1] = length < 126 ? length : length < 65_536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

const SIZES = [0, 1, 125, 126, 65_535, 65_536];

test.each([1, 3, 1_000, 1_000_000])("counts and keeps messages in pieces of %p bytes", (size) => {
  const sent = Buffer.concat([
    ...SIZES.map((length) => frameOf(2, Buffer.alloc(length, 7))),
    frameOf(9, Buffer.from("ping")),
  ]);
  const kept: string[] = [];
  const counted: string[] = [];
  const keeper = new FrameReader({
    keepPayloads: true,
    onFrame: (op, { length }) => kept.push(`${op} ${length}`),
  });
  const counter = new FrameReader({ onFrame: (op, payload) => counted.push(`${op} ${payload}`) });
  const big = sent.subarray(0, size < 100 ? 400 : undefined);
  for (let at = 0; at < big.length; at += size) {
    keeper.feed(Buffer.from(big.subarray(at, at + size)));
    counter.feed(Buffer.from(big.subarray(at, at + size)));
  }
  const whole = size < 100 ? SIZES.slice(0, 4) : SIZES;
  const expected = whole.filter((length) => size >= 100 || length < 127).map((length) => `2 ${length}`);
  expect(kept).toEqual(size < 100 ? expected : [...expected, "9 4"]);
  expect(counted).toEqual(size < 100 ? expected.map(() => "2 ") : [...expected.map(() => "2 "), "9 ping"]);
});

test("revOf() and seqOf() find them in an event", () => {
  for (const seq of [5, 200, 60_000, 4_000_000_000, 1_800_000_000_000_000]) {
    const event = Buffer.from(encodeCbor({ seq, rev: "3lxyzabcdefgh", repo: "did:plc:someone" }));
    expect([seqOf(event), revOf(event)]).toEqual([seq, "3lxyzabcdefgh"]);
  }
  const other = Buffer.from(encodeCbor({ did: "did:plc:someone" }));
  expect([seqOf(other), revOf(other)]).toEqual([undefined, undefined]);
});
