import { expect, test } from "bun:test";
import { findings, readOwners, servedMethods, tableRows } from "./methods.ts";

const served = await servedMethods();

test("every method is in the table, with a test, and the table and the errors are up to date", () => {
  expect(findings(served, readOwners())).toEqual([]);
});

test("findings() sees a method that is in no class, and one without a test", () => {
  const owners = readOwners();
  const { "com.atproto.label.queryLabels": _, ...others } = owners.others;
  const extra = {
    nsid: "dev.kith.nothing.atAll",
    kind: "query",
    auth: "none",
    oauth: undefined,
    limit: undefined,
  } as const;
  const found = findings([...served, extra], { ...owners, others });
  expect(found).toContain('no test names "dev.kith.nothing.atAll"');
  expect(found.some((line) => line.startsWith("docs/methods.md is out of date"))).toBe(true);
});

test("tableRows() takes what is answered as such, whatever else is said of it", () => {
  const nsid = "com.atproto.server.getSession";
  const others = { [nsid]: { kind: "query", owner: "entryway", call: "passed on" } };
  const rows = tableRows(served, { others, withService: [], homes: {} }).filter((row) => row.nsid === nsid);
  expect(rows).toEqual([
    expect.objectContaining({
      nsid,
      answers: "kith",
      auth: "access",
      test: expect.stringMatching(/^tests\/e2e\//),
    }),
  ]);
});

/** What is costly, guesses secrets, or sends mail. */
const LIMITED = [
  "com.atproto.identity.requestPlcOperationSignature",
  "com.atproto.identity.updateHandle",
  "com.atproto.repo.applyWrites",
  "com.atproto.repo.createRecord",
  "com.atproto.repo.deleteRecord",
  "com.atproto.repo.putRecord",
  "com.atproto.repo.uploadBlob",
  "com.atproto.server.createAccount",
  "com.atproto.server.createSession",
  "com.atproto.server.deleteAccount",
  "com.atproto.server.requestAccountDelete",
  "com.atproto.server.requestEmailConfirmation",
  "com.atproto.server.requestEmailUpdate",
  "com.atproto.server.requestPasswordReset",
  "com.atproto.server.resetPassword",
  "com.atproto.sync.getRepo",
];

test.each(LIMITED)("%s has a rate limit of its own where it is answered", (nsid) => {
  const method = served.find((one) => one.nsid === nsid);
  if (method) expect(typeof method.limit).toBe("function");
});
