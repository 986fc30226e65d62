import { expect, spyOn, test } from "bun:test";
import { KithError } from "../errors.ts";
import { FakeAccounts, FakePlc, FakeRepos } from "./_fixture.ts";
import { CreationRetries, finishCreations } from "./finish_creation.ts";

/** Accounts found "creating" at a start, by what the crash left of each. */
async function makeLeftovers(...names: ("with repo" | "in PLC" | "nowhere")[]) {
  const accounts = new FakeAccounts();
  const plc = new FakePlc();
  const repos = new FakeRepos();
  const problems: [did: string, code: string | undefined][] = [];
  for (const [index, name] of names.entries()) {
    const did = `did:plc:${index}`;
    await accounts.beginAccount({
      did,
      handle: `user${index}.test`,
      email: `user${index}@mail.test`,
      passwordHash: "hash",
      signingKey: { type: "k256", privateKey: new Uint8Array(32) },
      genesisOperation: new Uint8Array(),
      now: 0,
    });
    if (name !== "nowhere") plc.operations.set(did, {});
    if (name === "with repo") repos.dids.add(did);
  }
  const options = {
    accounts,
    plc,
    repos,
    onProblem: (did: string, error: unknown) => problems.push([did, (error as KithError).code]),
  };
  return { accounts, plc, repos, problems, options };
}

const stateOf = (accounts: FakeAccounts) => (index: number) => accounts.account(`did:plc:${index}`)?.state;

test("finishCreations completes what has a repo or a DID, and leaves nothing of the rest", async () => {
  const { accounts, repos, options } = await makeLeftovers("with repo", "in PLC", "nowhere");
  expect(await finishCreations(options)).toEqual({
    finished: ["did:plc:0", "did:plc:1"],
    abandoned: ["did:plc:2"],
    waiting: [],
  });
  expect([0, 1, 2].map(stateOf(accounts))).toEqual(["active", "active", undefined]);
  expect(repos.dids).toEqual(new Set(["did:plc:0", "did:plc:1"]));
  expect(await finishCreations(options)).toEqual({ finished: [], abandoned: [], waiting: [] });
});

test("finishCreations keeps what it cannot decide while the directory is silent, and asks it once", async () => {
  const { accounts, plc, problems, options } = await makeLeftovers(
    "in PLC",
    "nowhere",
    "with repo",
    "nowhere",
  );
  plc.mood = "silent";
  expect(await finishCreations(options)).toEqual({
    finished: ["did:plc:2"],
    abandoned: [],
    waiting: ["did:plc:0", "did:plc:1", "did:plc:3"],
  });
  expect([0, 1, 2, 3].map(stateOf(accounts))).toEqual(["creating", "creating", "active", "creating"]);
  expect(plc.asked).toBe(1);
  expect(problems).toEqual([["did:plc:0", "timeout"]]);
  plc.mood = "accepts";
  expect(await finishCreations(options)).toEqual({
    finished: ["did:plc:0"],
    abandoned: ["did:plc:1", "did:plc:3"],
    waiting: [],
  });
});

test("finishCreations lets one account wait whose repo cannot be made, and goes on with the next", async () => {
  const { repos, problems, options } = await makeLeftovers("in PLC", "with repo");
  const create = repos.createRepo.bind(repos);
  repos.createRepo = async (did) => {
    if (did === "did:plc:0") throw new KithError("storage_full", "no room");
    return create(did);
  };
  expect(await finishCreations(options)).toMatchObject({ finished: ["did:plc:1"], waiting: ["did:plc:0"] });
  expect(problems).toEqual([["did:plc:0", "storage_full"]]);
});

test("finishCreations leaves an account alone that is being created", async () => {
  const { accounts, options } = await makeLeftovers("nowhere", "in PLC");
  const outcome = await finishCreations({ ...options, isInFlight: (did) => did === "did:plc:0" });
  expect(outcome).toEqual({ finished: ["did:plc:1"], abandoned: [], waiting: [] });
  expect(stateOf(accounts)(0)).toBe("creating");
});

test("CreationRetries tries again until nothing waits", async () => {
  const { accounts, plc, options } = await makeLeftovers("in PLC");
  plc.mood = "silent";
  const finished = Promise.withResolvers<void>();
  const finish = accounts.finishCreation.bind(accounts);
  accounts.finishCreation = async (did, state) => {
    await finish(did, state);
    finished.resolve();
  };
  const retries = new CreationRetries({
    ...options,
    intervalMs: 1,
    onProblem: () => {
      if (plc.asked === 3) plc.mood = "accepts";
    },
  });
  expect(await retries.now()).toMatchObject({ waiting: ["did:plc:0"] });
  await finished.promise;
  expect(plc.asked).toBe(4);
  await retries.stop();
});

test("CreationRetries runs one at a time, and never after stop", async () => {
  const { plc, options } = await makeLeftovers("in PLC");
  plc.mood = "silent";
  const retries = new CreationRetries({ ...options, intervalMs: 1 });
  await Promise.all([retries.now(), retries.now()]);
  expect(plc.asked).toBe(1);
  await retries.stop();
  const timers = spyOn(globalThis, "setTimeout");
  retries.soon();
  expect(timers).not.toHaveBeenCalled();
  timers.mockRestore();
});

test("finishCreations keeps a mover only where its file is there, deactivated, and asks no directory", async () => {
  const { accounts, plc, repos, options } = await makeLeftovers("with repo", "nowhere");
  for (const row of accounts.rows.values()) Object.assign(row.begun, { genesisOperation: null });
  plc.mood = "silent";
  expect(await finishCreations(options)).toEqual({
    finished: ["did:plc:0"],
    abandoned: ["did:plc:1"],
    waiting: [],
  });
  expect([0, 1].map(stateOf(accounts))).toEqual(["deactivated", undefined]);
  expect([repos.dids.size, plc.asked]).toEqual([1, 0]);
});
