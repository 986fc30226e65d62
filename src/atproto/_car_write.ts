import { encode, toCidLink } from "@atcute/cbor";
import type { Block } from "./block.ts";
import { CID_BYTES, type Cid } from "./cid.ts";

/** Bytes of a CAR header with one root: its length prefix of one byte and a map of two. */
export const CAR_HEADER_BYTES = 59;

/** Bytes that a block takes in a CAR. */
export function carBlockBytes(blockBytes: number): number {
  const length = CID_BYTES + blockBytes;
  return varintBytes(length) + length;
}

/** A CAR v1 with one root, in one allocation. https://ipld.io/specs/transport/car/carv1/ */
export function writeCar(root: Cid, blocks: readonly Block[]): Uint8Array {
  const header = encode({ version: 1, roots: [toCidLink(root)] });
  let size = varintBytes(header.length) + header.length;
  for (const block of blocks) size += carBlockBytes(block.bytes.length);
  const out = new Uint8Array(size);
  let at = writeVarint(out, 0, header.length);
  out.set(header, at);
  at += header.length;
  for (const { cid, bytes } of blocks) {
    at = writeVarint(out, at, CID_BYTES + bytes.length);
    out.set(cid.bytes, at);
    out.set(bytes, at + CID_BYTES);
    at += CID_BYTES + bytes.length;
  }
  return out;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

function writeVarint(out: Uint8Array, start: number, value: number): number {
  let at = start;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out[at++] = (rest & 0x7f) | 0x80;
  out[at++] = rest;
  return at;
}
