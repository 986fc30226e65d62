import { expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import {
  LEXICON_FAILED_MS,
  LEXICON_KEPT_MS,
  LEXICON_LOOKUPS_MAX,
  LEXICON_STALE_MS,
  LEXICON_WAITING_MAX,
  LexiconCache,
  type LexiconRow,
} from "./lexicon_cache.ts";
import type { ResolvedLexicon } from "./lexicon_resolver.ts";

const NSID = "com.example.note";
const FRESH_MS = 3_600_000;
const notFound = new KithError("lexicon_not_found", "there is none");
const failed = new KithError("upstream_failure", "no answer");

/** A cache over a network that a test answers for. */
function setUp() {
  const rows = new Map<string, LexiconRow>();
  const world = { now: 1_000, version: 1, error: undefined as KithError | undefined, keepFails: false };
  const problems: string[] = [];
  const asked: string[] = [];
  const held: (() => void)[] = [];
  let holds = false;
  const versionOf = (nsid: string, version: number): ResolvedLexicon => {
    return { nsid, uri: "at://a/b/c", cid: `v${version}`, bytes: new Uint8Array([version]) };
  };
  const cache = new LexiconCache({
    resolver: {
      resolve: async (nsid) => {
        asked.push(nsid);
        if (holds) await new Promise<void>((go) => held.push(go));
        if (world.error) throw world.error;
        return versionOf(nsid, world.version);
      },
    },
    rows: {
      find: (nsid) => rows.get(nsid),
      keep: async (row) => {
        if (world.keepFails) throw new KithError("storage_full", "no room");
        rows.set(row.nsid, row);
      },
    },
    freshMs: FRESH_MS,
    onProblem: (nsid) => problems.push(nsid),
    now: () => world.now,
  });
  const find = (nsid = NSID): Promise<string> =>
    cache.find(nsid).then(
      ({ cid }) => cid,
      (error: KithError) => error.code,
    );
  /** Lets what is under way come to its end. */
  const settle = () => new Promise<void>((done) => setImmediate(done));
  const hold = (on: boolean): void => {
    holds = on;
    for (const go of held.splice(0)) go();
  };
  return { cache, world, rows, asked, problems, held, find, settle, hold };
}

test("LexiconCache uses a fresh one, then one that is refreshed meanwhile, then waits for the new one", async () => {
  const { world, asked, find, settle } = setUp();
  expect(await find()).toBe("v1");
  world.version = 2;
  world.now += FRESH_MS - 1;
  expect([await find(), asked.length]).toEqual(["v1", 1]);
  world.now += 1;
  expect(await find()).toBe("v1");
  await settle();
  expect([await find(), asked.length]).toEqual(["v2", 2]);
  world.version = 3;
  world.now += LEXICON_STALE_MS;
  expect(await find()).toBe("v3");
});

test("LexiconCache goes on with an old one while the network fails, but not for ever", async () => {
  const { world, find, settle } = setUp();
  await find();
  world.error = failed;
  for (const ageMs of [FRESH_MS, LEXICON_STALE_MS, LEXICON_KEPT_MS - 1]) {
    world.now = 1_000 + ageMs;
    expect(await find()).toBe("v1");
    await settle();
  }
  world.now = 1_000 + LEXICON_KEPT_MS + LEXICON_FAILED_MS;
  expect(await find()).toBe("upstream_failure");
});

test.each([notFound, failed])("LexiconCache does not ask again at once after %s", async (error) => {
  const { world, asked, find } = setUp();
  world.error = error;
  expect(await find()).toBe(error.code);
  world.error = undefined;
  world.now += LEXICON_FAILED_MS - 1;
  expect([await find(), asked.length]).toEqual([error.code, 1]);
  world.now += 1;
  expect([await find(), asked.length]).toEqual(["v1", 2]);
});

test("LexiconCache asks once for all that ask at a time, and a few lexicons at a time", async () => {
  const { asked, held, find, hold, settle } = setUp();
  hold(true);
  const same = Array.from({ length: 5 }, () => find());
  await settle();
  expect(asked).toEqual([NSID]);
  const others = Array.from({ length: LEXICON_LOOKUPS_MAX - 1 + LEXICON_WAITING_MAX }, (_, i) =>
    find(`com.example.n${i}`),
  );
  await settle();
  expect([asked.length, held.length]).toEqual([LEXICON_LOOKUPS_MAX, LEXICON_LOOKUPS_MAX]);
  expect(await find("com.example.last")).toBe("busy");
  hold(false);
  expect(new Set(await Promise.all([...same, ...others]))).toEqual(new Set(["v1"]));
  expect(await find("com.example.last")).toBe("v1");
});

test("LexiconCache serves what it cannot keep, and keeps nothing once it is stopped", async () => {
  const { cache, world, rows, problems, find, hold, settle } = setUp();
  world.keepFails = true;
  expect(await find()).toBe("v1");
  await settle();
  expect([problems, rows.size]).toEqual([[NSID], 0]);
  world.keepFails = false;
  hold(true);
  const late = find();
  await settle();
  await cache.stop();
  hold(false);
  expect([await late, rows.size]).toEqual(["v1", 0]);
  expect(await find()).toBe("shutting_down");
});
