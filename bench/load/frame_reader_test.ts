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

const SMALL = [0, 1, 125, 126];
const LARGE = [...SMALL, 65_535, 65_536];

test.each([
  [1, SMALL],
  [3, SMALL],
  [1_000, LARGE],
  [1_000_000, LARGE],
])("counts and keeps messages in pieces of %p bytes", (piece, sizes) => {
  const messages = sizes.map((length) => frameOf(2, Buffer.alloc(length, 7)));
  const sent = Buffer.concat([...messages, frameOf(9, Buffer.from("ping"))]);
  const kept: string[] = [];
  const counted: string[] = [];
  const keeper = new FrameReader({
    keepPayloads: true,
    onFrame: (opcode, payload) => kept.push(`${opcode} ${payload.length}`),
  });
  const counter = new FrameReader({ onFrame: (opcode, payload) => counted.push(`${opcode} ${payload}`) });
  for (let at = 0; at < sent.length; at += piece) {
    keeper.feed(Buffer.from(sent.subarray(at, at + piece)));
    counter.feed(Buffer.from(sent.subarray(at, at + piece)));
  }
  expect(kept).toEqual([...sizes.map((length) => `2 ${length}`), "9 4"]);
  expect(counted).toEqual([...sizes.map(() => "2 "), "9 ping"]);
});

test("revOf() and seqOf() find them in an event", () => {
  for (const seq of [5, 200, 60_000, 4_000_000_000, 1_800_000_000_000_000]) {
    const event = Buffer.from(encodeCbor({ seq, rev: "3lxyzabcdefgh", repo: "did:plc:someone" }));
    expect([seqOf(event), revOf(event)]).toEqual([seq, "3lxyzabcdefgh"]);
  }
  const other = Buffer.from(encodeCbor({ did: "did:plc:someone" }));
  expect([seqOf(other), revOf(other)]).toEqual([undefined, undefined]);
});
