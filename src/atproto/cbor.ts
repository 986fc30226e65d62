/**
 * DRISL, the deterministic subset of CBOR that repositories are made of: strict both ways, so that what decodes always
 * encodes to the same bytes. Our own rather than @atcute/cbor because that one takes hostile input at its word: nested
 * array headers make it allocate without limit, and wide unsorted maps take quadratic time.
 * https://dasl.ing/drisl.html, https://atproto.com/specs/data-model
 */

export { type Bytes, type CidLink, fromBytes, fromCidLink, toBytes, toCidLink } from "@atcute/cbor";
export { decodeCbor, decodeFirstCbor } from "./_cbor_decode.ts";
export { cborBytesHead, encodeCbor } from "./_cbor_encode.ts";
