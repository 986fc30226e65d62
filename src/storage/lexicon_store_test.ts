import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { LexiconStore, type StoredLexicon } from "./lexicon_store.ts";

const lexicon = (nsid: string, more: Partial<StoredLexicon> = {}): StoredLexicon => {
  return {
    nsid,
    uri: `at://did:web:a.b/c/${nsid}`,
    cid: "bafy",
    bytes: new Uint8Array([1]),
    fetchedAt: 1,
    ...more,
  };
};

test("LexiconStore finds what it keeps, in its newest form, also once it is opened again", async () => {
  await using folder = new Fixture();
  const path = folder.file("lexicons.sqlite");
  const store = await LexiconStore.open(path, folder.options);
  expect(store.find("a.b.c")).toBeUndefined();
  await store.keep(lexicon("a.b.c"));
  const newer = lexicon("a.b.c", { cid: "bafynew", bytes: new Uint8Array([2, 3]), fetchedAt: 2 });
  await store.keep(newer);
  expect([store.find("a.b.c"), store.count()]).toEqual([newer, 1]);
  await store.close();
  const again = await LexiconStore.open(path, folder.options);
  expect(again.find("a.b.c")).toEqual(newer);
  await again.close();
});

test("LexiconStore.keep() drops what was fetched longest ago, past a number or past a size", async () => {
  await using folder = new Fixture();
  const bounds = { countMax: 3, bytesMax: 100 };
  const store = await LexiconStore.open(folder.file("lexicons.sqlite"), { ...folder.options, ...bounds });
  for (const [index, nsid] of ["a.a.a", "a.a.b", "a.a.c", "a.a.d"].entries()) {
    await store.keep(lexicon(nsid, { fetchedAt: index }));
  }
  expect(["a.a.a", "a.a.b", "a.a.c", "a.a.d"].map((nsid) => store.find(nsid) !== undefined)).toEqual([
    false,
    true,
    true,
    true,
  ]);
  await store.keep(lexicon("a.a.e", { fetchedAt: 9, bytes: new Uint8Array(99) }));
  expect([store.count(), store.find("a.a.d")?.nsid]).toEqual([2, "a.a.d"]);
  await store.close();
});

test("LexiconStore.open() makes a damaged file anew", async () => {
  await using folder = new Fixture();
  const path = folder.file("lexicons.sqlite");
  writeFileSync(path, Buffer.alloc(8192, "not a database"));
  const store = await LexiconStore.open(path, folder.options);
  expect(store.count()).toBe(0);
  await store.keep(lexicon("a.b.c"));
  expect(store.count()).toBe(1);
  await store.close();
});
