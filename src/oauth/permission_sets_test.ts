import { expect, test } from "bun:test";
import { parsePermissionSet } from "../atproto/mod.ts";
import { expandScope, INCLUDES_MAX, WRITTEN_CHARS_MAX } from "./permission_sets.ts";

const NSID = "com.example.app.authFull";

/** A set of one permission, for so many kinds of records. */
function setsOf(collections: number) {
  const collection = Array.from({ length: collections }, (_, index) => `com.example.app.kind${index}`);
  const permissions = [{ type: "permission", resource: "repo", collection }];
  const document = { id: NSID, defs: { main: { type: "permission-set", permissions } } };
  return { resolve: async (nsid: string) => parsePermissionSet(document, { nsid }) };
}

const includes = (count: number): string =>
  Array.from({ length: count }, (_, index) => `include:${NSID}?aud=did:web:a${index}.test%23svc`).join(" ");

test("expandScope() writes sets out beside what stands in the scope itself", async () => {
  const scope = `atproto transition:email include:${NSID} blob:image/* unknown`;
  expect((await expandScope(scope, setsOf(1))).split(" ").toSorted()).toEqual(
    ["atproto", "transition:email", "blob:image/*", "repo:com.example.app.kind0"].toSorted(),
  );
});

test.each([
  ["a set that is not there", `atproto include:com.example.other`, 1, "cannot be found"],
  ["too many sets", `atproto ${includes(INCLUDES_MAX + 1)}`, 1, `more than ${INCLUDES_MAX} permission sets`],
  ["a set that holds too much", `atproto include:${NSID}`, WRITTEN_CHARS_MAX / 20, "hold more than"],
])("expandScope() refuses %s", async (_title, scope, collections, words) => {
  await expect(expandScope(scope, setsOf(collections))).rejects.toMatchObject({
    error: "invalid_scope",
    message: expect.stringContaining(words),
  });
});

test("expandScope() takes as many sets as are allowed", async () => {
  expect(await expandScope(`atproto ${includes(INCLUDES_MAX)}`, setsOf(1))).toBe(
    "atproto repo:com.example.app.kind0",
  );
});
