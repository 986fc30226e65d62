import { expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { HostError } from "../identity/mod.ts";
import { copyBlobs } from "./copy_blobs.ts";
import { createAccount } from "./create_account.ts";
import type { Move } from "./move.ts";
import type { StepContext } from "./step_context.ts";

const SOURCE = "https://old.example";
const TARGET = "https://new.example";

/** A step's surroundings, as far as the test gives them. */
function contextOf(move: Partial<Move>, parts: object): StepContext {
  const file = {
    move: { did: "did:plc:a", handle: "a.old.example", target: { url: TARGET, did: "did:web:new" }, ...move },
    patch: (change: Partial<Move>) => Object.assign(file.move, change),
  };
  const reporter = { step() {}, note() {}, progress() {} };
  return { file, reporter, ...parts } as unknown as StepContext;
}

test.each([
  ["that no run before has asked for is not this move's", undefined, true],
  ["whose answer was lost is this move's", { handle: "a.new.example", hadOne: false }, false],
])("createAccount: an account %s", async (_, created, hadOne) => {
  const exists = { host: TARGET, nsid: "createAccount", status: 400, error: "AlreadyExists", reason: "" };
  const description = { did: "did:web:new", domains: [".new.example"], inviteRequired: false };
  const context = contextOf(created ? { created } : {}, {
    source: {
      url: SOURCE,
      describe: async () => ({ domains: [".old.example"] }),
      serviceToken: async () => "t",
    },
    target: {
      url: TARGET,
      hasAccount: async () => false,
      describe: async () => description,
      createAccount: () => Promise.reject(new HostError(exists)),
    },
    asker: {
      handle: async () => "a.new.example",
      email: async () => "a@example.com",
      targetPassword: async () => "x",
    },
  });
  expect(await createAccount(context)).toBe("on");
  expect(context.file.move.created).toMatchObject({ hadOne });
});

test("copyBlobs ends only once no blob is under way any more, and begins none after one that ends it", async () => {
  const journal: string[] = [];
  const slow = Promise.withResolvers<void>();
  const blobs = Array.from({ length: 40 }, (_, at) => ({ cid: `c${at}`, recordUri: "at://x" }));
  const context = contextOf(
    { lostBlobs: [] },
    {
      source: {
        url: SOURCE,
        blob: async (_did: string, cid: string) => ({ type: "a/b", body: new Uint8Array(), cid }),
      },
      target: {
        url: TARGET,
        missingBlobs: async () => ({ blobs }),
        uploadBlob: async (upload: () => Promise<{ cid: string }>) => {
          const { cid } = await upload();
          journal.push(`begun ${cid}`);
          if (cid === "c0") throw new KithError("rate_limited", "later");
          await slow.promise;
          journal.push(`ended ${cid}`);
          return cid;
        },
      },
    },
  );
  const outcome = copyBlobs(context).catch((error: unknown) =>
    journal.push(String((error as KithError).code)),
  );
  await new Promise((resolve) => setImmediate(resolve));
  slow.resolve();
  await outcome;
  const begun = ["c0", "c1", "c2", "c3"].map((cid) => `begun ${cid}`);
  const ended = ["c1", "c2", "c3"].map((cid) => `ended ${cid}`);
  expect(journal).toEqual([...begun, ...ended, "rate_limited"]);
});
