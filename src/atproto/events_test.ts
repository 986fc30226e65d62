import { expect, test } from "bun:test";
import { type CidLink, decode, encode, fromBytes, toBytes, toCidLink } from "@atcute/cbor";
import { readCar } from "@atproto/repo";
import { cidOfCbor, cidToString } from "./cid.ts";
import { buildCommit, signCommit } from "./commit.ts";
import {
  accountEvent,
  commitEvent,
  decodeFrame,
  type EventBody,
  errorFrame,
  identityEvent,
  infoFrame,
  sealFrame,
  syncEvent,
} from "./events.ts";
import { MemoryBlocks } from "./memory_blocks.ts";

const DID = "did:plc:wqgdnqlv2mwiio6pfchwtrff";
const TIME = "2026-11-21T08:00:00.000Z";
const SIGNER = { didKey: "did:key:z", jwtAlg: "ES256", sign: () => new Uint8Array(64) } as const;

function record(text: string) {
  const bytes = encode({ text });
  return { cid: cidOfCbor(bytes), bytes };
}

/** A first commit of two records and a second with one op of each kind. */
function twoCommits() {
  const blocks = new MemoryBlocks();
  const first = signCommit(
    buildCommit({
      did: DID,
      head: null,
      rev: "3mbbbbbbbbbb2",
      blocks,
      writes: ["a", "b"].map((key) => ({ action: "create", path: `a.b.c/${key}`, record: record(key) })),
    }),
    SIGNER,
  );
  blocks.add(first.newBlocks);
  const second = signCommit(
    buildCommit({
      did: DID,
      head: first.head,
      rev: "3mbbbbbbbbbc2",
      blocks,
      writes: [
        { action: "update", path: "a.b.c/b", record: record("new") },
        { action: "delete", path: "a.b.c/a" },
        { action: "create", path: "a.b.c/c", record: record("c") },
      ],
    }),
    SIGNER,
  );
  return { first, second };
}

/** The frame as a plain encoder makes it of header and payload. */
function plainFrame(t: string, payload: Record<string, unknown>): Uint8Array {
  return Buffer.concat([encode({ op: 1, t }), encode(payload)]);
}

function sealed(body: EventBody, seq: number): Uint8Array {
  return Buffer.from(sealFrame(body, seq));
}

test("commitEvent() of a first commit has a null since and no prevData", async () => {
  const { first } = twoCommits();
  const { op, t, payload } = decodeFrame(sealFrame(commitEvent(first, { time: TIME }), 1));
  expect({ op, t }).toEqual({ op: 1, t: "#commit" });
  expect(payload).toMatchObject({ seq: 1, repo: DID, since: null, rev: first.rev, time: TIME });
  expect("prevData" in payload).toBe(false);
});

test("commitEvent() is, byte for byte, the plain encoding of the payload", () => {
  const { first, second } = twoCommits();
  for (const seq of [1, 23, 24, 255, 256, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const frame = sealed(commitEvent(second, { time: TIME }), seq);
    const blocks = decodeFrame(frame).payload.blocks;
    const expected = plainFrame("#commit", {
      seq,
      repo: DID,
      time: TIME,
      rev: second.rev,
      since: first.rev,
      commit: toCidLink(second.commit.cid),
      blocks,
      blobs: [],
      tooBig: false,
      rebase: false,
      prevData: toCidLink(first.data),
      ops: [
        {
          action: "update",
          path: "a.b.c/b",
          cid: toCidLink(record("new").cid),
          prev: toCidLink(record("b").cid),
        },
        { action: "delete", path: "a.b.c/a", cid: null, prev: toCidLink(record("a").cid) },
        { action: "create", path: "a.b.c/c", cid: toCidLink(record("c").cid) },
      ],
    });
    expect(frame).toEqual(Buffer.from(expected));
  }
});

test("commitEvent() carries a CAR that @atproto/repo reads, its root the commit", async () => {
  const { second } = twoCommits();
  const { payload } = decodeFrame(sealFrame(commitEvent(second, { time: TIME }), 7));
  const { roots, blocks } = await readCar(fromBytes(payload.blocks as ReturnType<typeof toBytes>));
  expect(roots.map(String)).toEqual([cidToString(second.commit.cid)]);
  const sent = [second.commit, ...second.newBlocks, ...second.proof].map((block) => cidToString(block.cid));
  expect(blocks.entries().map(({ cid }) => String(cid))).toEqual(sent);
});

test("syncEvent() carries the commit alone", async () => {
  const { first } = twoCommits();
  const frame = sealed(syncEvent({ did: DID, rev: first.rev, commit: first.commit, time: TIME }), 300);
  const { payload } = decodeFrame(frame);
  const blocks = fromBytes(payload.blocks as ReturnType<typeof toBytes>);
  expect(frame).toEqual(
    Buffer.from(
      plainFrame("#sync", { seq: 300, did: DID, rev: first.rev, time: TIME, blocks: toBytes(blocks) }),
    ),
  );
  const car = await readCar(blocks);
  expect(car.blocks.size).toBe(1);
  expect(decode(car.blocks.entries()[0]?.bytes as Uint8Array).data as CidLink).toEqual(toCidLink(first.data));
});

test("identityEvent() and accountEvent() leave out what is not given", () => {
  const base = { did: DID, time: TIME };
  const cases: [EventBody, string, Record<string, unknown>][] = [
    [identityEvent(base), "#identity", base],
    [identityEvent({ ...base, handle: "a.test" }), "#identity", { ...base, handle: "a.test" }],
    [accountEvent({ ...base, active: true }), "#account", { ...base, active: true }],
    [
      accountEvent({ ...base, active: false, status: "deactivated" }),
      "#account",
      { ...base, active: false, status: "deactivated" },
    ],
  ];
  for (const [body, t, payload] of cases) {
    expect(sealed(body, 5)).toEqual(Buffer.from(plainFrame(t, { ...payload, seq: 5 })));
  }
});

test("sealFrame() refuses a seq that is none", () => {
  const body = identityEvent({ did: DID, time: TIME });
  for (const seq of [0, -1, 1.5, 2 ** 53, Number.NaN]) expect(() => sealFrame(body, seq)).toThrow(RangeError);
});

test("infoFrame() and errorFrame() are a header and a payload", () => {
  expect(decodeFrame(infoFrame("OutdatedCursor", "too old"))).toEqual({
    op: 1,
    t: "#info",
    payload: { name: "OutdatedCursor", message: "too old" },
  });
  expect(decodeFrame(errorFrame("FutureCursor"))).toEqual({
    op: -1,
    t: undefined,
    payload: { error: "FutureCursor" },
  });
});

test("decodeFrame() refuses what is not one header and one payload", () => {
  for (const bytes of [encode({ op: 1 }), encode(1), Buffer.concat([infoFrame("x"), encode(1)])]) {
    expect(() => decodeFrame(bytes)).toThrow();
  }
});
