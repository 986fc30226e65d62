import { expect, test } from "bun:test";
import { type Cid, cidOfRaw, cidToString } from "../atproto/mod.ts";
import { QUIET } from "./_fake_log.ts";
import { BlobHold } from "./blob_hold.ts";

const ALICE = "did:plc:alice";
const cid = (text: string): Cid => cidOfRaw(Buffer.from(text));

function make() {
  const did: string[] = [];
  const note = (what: string) => async (who: string, which?: Cid) =>
    void did.push(`${what} ${who}${which ? ` ${cidToString(which).slice(-4)}` : ""}`);
  const hold = new BlobHold<string>({
    blobs: {
      keep: async (upload, target) => void did.push(`keep ${upload} ${target.did}`),
      remove: note("remove"),
      removeAll: note("removeAll"),
      quarantine: note("quarantine"),
      release: note("release"),
      removeQuarantined: note("removeQuarantined"),
      quarantined: async () => [],
    },
    removeStrays: async (who, cids) => void did.push(`strays ${who} ${cids.length}`),
    logger: QUIET,
  });
  return { hold, did };
}

test("BlobHold passes everything on while nothing holds", async () => {
  const { hold, did } = make();
  const kept: string[] = [];
  const stop = hold.onKept((who) => kept.push(who));
  await hold.blobs.keep("x", { did: ALICE, cid: cid("a") });
  stop();
  await hold.blobs.keep("y", { did: ALICE, cid: cid("a") });
  await hold.blobs.remove(ALICE, cid("a"));
  await hold.blobs.removeAll(ALICE);
  expect(did.map((line) => line.split(" ")[0])).toEqual(["keep", "keep", "remove", "removeAll"]);
  expect(kept).toEqual([ALICE]);
});

test("BlobHold removes what was held by a turn of the repo, and dead accounts' blobs once nothing holds any more", async () => {
  const { hold, did } = make();
  const [first, second] = [hold.begin(), hold.begin()];
  await hold.blobs.remove(ALICE, cid("a"));
  await hold.blobs.remove(ALICE, cid("a"));
  await hold.blobs.remove(ALICE, cid("b"));
  const removal = hold.blobs.removeAll("did:plc:bob");
  first();
  first();
  await Promise.resolve();
  expect(did).toEqual([]);
  second();
  await removal;
  await Promise.resolve();
  expect(did.sort()).toEqual(["removeAll did:plc:bob", `strays ${ALICE} 2`]);
  const third = hold.begin();
  third();
  await Promise.resolve();
  expect(did.length).toBe(2);
});
