import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import type { AttemptKind, AttemptState } from "../storage/mod.ts";
import {
  ALICE,
  BOB,
  ENDPOINT,
  errorOf,
  HANDLE,
  KINDS,
  MINT,
  NOW,
  openStage,
  openStores,
  PDS,
  PDS_SIGNING,
  R,
  refusedByHost,
  SERVER,
  Stage,
  type StoreChange,
  type Stores,
  until,
} from "./_attempts_fixture.ts";
import type { Attempts, MintAnswer, ProvisionAnswer } from "./attempts.ts";

type Answer = Partial<ProvisionAnswer> & MintAnswer;

const rest = ({ rootCredentials: _, ...answer }: Answer) => answer;
const isStock = (kind: AttemptKind) => kind === "loopback" || kind === "remote";
const operationsOf = (kind: AttemptKind) => (kind === "native" ? 1 : 2);

/** One working community, whatever has happened on the way to it. */
async function expectOneCommunity(stage: Stage, answers: readonly Answer[]): Promise<void> {
  const { kind, plc, host, caller, stores } = stage;
  const dids = new Set(answers.map(({ communityDid }) => communityDid));
  const [did = ""] = dids;
  expect([...dids]).toEqual(plc.dids);
  expect(plc.rows).toHaveLength(operationsOf(kind));
  expect(plc.rows.some(({ nullified }) => nullified)).toBe(false);
  const state = await plc.stateOf(did);
  expect(state?.rotationKeys[0]).toBe(R.didKey);
  expect(stores.communities.find(did)).toMatchObject({
    createdBy: caller,
    handle: HANDLE,
    mode: kind === "mint" ? "minted" : "provisioned",
    kind: kind === "mint" ? null : kind,
  });
  expect(stores.members.members(did, { limit: 9 }).members).toMatchObject([
    { subject: caller, role: "owner", canPublish: true },
  ]);
  expect(host.births).toBe(kind === "mint" ? 0 : 1);
  const account = host.accounts.get(did);
  expect(account?.active).toBe(kind === "mint" ? undefined : true);
  if (!isStock(kind)) return;
  const name = `kith-${answers[0]?.attemptId}`;
  expect(stores.communities.secrets(did).appPassword).toBe(account?.appPasswords.get(name) ?? "none");
  const passwords = answers.flatMap(({ rootCredentials }) => rootCredentials ?? []);
  expect(passwords.map(({ password }) => password)).toEqual([account?.password ?? "none"]);
}

describe("Attempts", () => {
  test.each(KINDS)("makes a community (%s), and answers the same again", async (kind) => {
    await using stage = await openStage(kind);
    const { attempts } = stage.process();
    const answers = [await stage.make(attempts), await stage.make(attempts)];
    await expectOneCommunity(stage, answers);
    const [first, second] = answers;
    expect(first && rest(first)).toEqual(second && rest(second));
    expect(first?.canDo).not.toBeEmpty();
    expect(first?.cannotDo).not.toBeEmpty();
    expect(stage.attempt).toMatchObject({ state: "graduated", leaseUntil: null, lastError: null });
  });

  test("names in the DID what the host recommends, behind the caller's key and ours", async () => {
    await using stage = await openStage("remote");
    const { communityDid: did } = await stage.make(stage.process().attempts);
    const [genesis, update] = stage.plc.rows.map(({ operation }) => operation as Record<string, unknown>);
    const [r, c, ...others] = (update?.rotationKeys ?? []) as string[];
    expect([r, others]).toEqual([R.didKey, [PDS.didKey]]);
    expect(c).toStartWith("did:key:zDn");
    expect(genesis?.rotationKeys).toEqual([R.didKey, c]);
    expect(await stage.plc.stateOf(did)).toMatchObject({
      alsoKnownAs: [`at://${HANDLE}`],
      verificationMethods: { atproto: PDS_SIGNING.didKey },
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: ENDPOINT } },
    });
  });

  test("gives a native community one operation, and the server's key below the caller's", async () => {
    await using stage = await openStage("native");
    const { communityDid } = await stage.make(stage.process().attempts);
    expect((await stage.plc.stateOf(communityDid))?.rotationKeys).toEqual([R.didKey, SERVER.didKey]);
    expect(stage.stores.communities.secrets(communityDid)).toEqual({
      appPassword: null,
      subordinateKey: null,
      session: null,
    });
  });

  test("fault 18: mint leaves the caller's key alone in power, and keeps no other", async () => {
    await using stage = await openStage("mint");
    const { communityDid: did } = await stage.make(stage.process().attempts);
    expect(await stage.plc.stateOf(did)).toEqual({
      rotationKeys: [R.didKey],
      verificationMethods: {},
      alsoKnownAs: [`at://${HANDLE}`],
      services: {},
    });
    expect(stage.plc.rows[0]?.operation).toMatchObject({ rotationKeys: [R.didKey, expect.any(String)] });
    expect(stage.stores.communities.secrets(did).subordinateKey).toBeNull();
    const sealed = stage.stores.hub.readOne(
      "SELECT signing_key, subordinate_key, account_password FROM attempt",
    );
    expect(sealed).toEqual({ signing_key: null, subordinate_key: null, account_password: null });
  });

  test("fault 1: an attempt serves who began it, and graduates by what it was begun with", async () => {
    await using stage = await openStage("remote");
    stage.troubles.add({ call: "createAppPassword", when: "before" });
    const { attempts } = stage.process();
    const { communityDid } = await stage.make(attempts).catch(() => ({ communityDid: "" }));
    expect(communityDid).toBe("");
    const known = stage.attempt;
    expect(known?.state).toBe("activated");
    // another caller with the same key has an attempt of their own, and a changed request is no resume
    const change = { handle: "evil.pds.test", pdsEndpoint: "https://evil.test" };
    expect((await errorOf(stage.make(attempts, change))).code).toBe("idempotency_conflict");
    const bobs = new Stage(stage.stores, "remote", BOB);
    const bobsAnswer = await bobs.make(bobs.process().attempts);
    expect(bobsAnswer.communityDid).not.toBe(known?.did ?? "");
    const answer = await stage.make(attempts);
    expect(stage.stores.communities.find(answer.communityDid)).toMatchObject({
      createdBy: ALICE,
      handle: HANDLE,
      pdsEndpoint: ENDPOINT,
    });
  });

  test("fault 2, fault 3: kith makes the password, tells it once, and keeps neither it nor a session", async () => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    const answer = await stage.make(attempts);
    const password = answer.rootCredentials?.password ?? "";
    expect(password).toMatch(/^[\w-]{43}$/);
    expect(stage.host.accounts.get(answer.communityDid)?.password).toBe(password);
    expect((await stage.make(attempts)).rootCredentials).toBeUndefined();
    expect(stage.stores.store.secrets(answer.attemptId).accountPassword).toBeNull();
    expect(stage.stores.communities.secrets(answer.communityDid).session).toBeNull();
    expect(stage.troubles.journal).not.toContain("createSession");
  });

  test("fault 4: what graduates does so as a whole, and a crash before it loses nothing", async () => {
    await using stage = await openStage("remote");
    const graduate = async (): Promise<never> => {
      throw new KithError("storage_full", "the disk is full");
    };
    const error = await errorOf(stage.make(stage.process({ graduate }).attempts));
    expect(error.code).toBe("provisioning_failed");
    const did = stage.attempt?.did ?? "";
    expect(stage.stores.communities.find(did)).toBeUndefined();
    expect(stage.stores.members.members(did, { limit: 9 }).members).toEqual([]);
    await expectOneCommunity(stage, [await stage.make(stage.process().attempts)]);
  });

  test("fault 10: the temporary key ends with the second operation, ours goes on with the community", async () => {
    await using stage = await openStage("remote");
    stage.troubles.add({ call: "activate", when: "before" });
    const { attempts } = stage.process();
    await errorOf(stage.make(attempts));
    const id = stage.attempt?.id ?? "";
    expect(stage.attempt?.state).toBe("plcUpdated");
    expect(stage.stores.store.secrets(id).signingKey).toBeNull();
    const ours = stage.stores.store.secrets(id).subordinateKey;
    const { communityDid } = await stage.make(attempts);
    expect(stage.stores.communities.secrets(communityDid).subordinateKey).toEqual(ours);
    expect(stage.stores.store.secrets(id)).toMatchObject({ subordinateKey: null, request: undefined });
  });

  test("fault 12: the account is asked for by its DID, which no change of handle touches", async () => {
    await using stage = await openStage("remote");
    const asked: string[] = [];
    const { host } = stage;
    const createAppPassword = host.createAppPassword.bind(host);
    host.createAppPassword = (account) => {
      asked.push(account.did);
      return createAppPassword(account);
    };
    const { communityDid } = await stage.make(stage.process().attempts);
    expect(asked).toEqual([communityDid]);
  });

  test.each(["loopback", "remote"] as const)("hands the host (%s) a token of its own", async (kind) => {
    await using stage = await openStage(kind);
    await stage.make(stage.process().attempts);
    expect(stage.host.tokens).toHaveLength(1);
  });
});

describe("Attempts, asked twice", () => {
  test.each(KINDS)("fault 11: does the work once for two at the same time (%s)", async (kind) => {
    await using stage = await openStage(kind);
    const { attempts } = stage.process();
    const answers = await Promise.all([stage.make(attempts), stage.make(attempts), stage.make(attempts)]);
    await expectOneCommunity(stage, answers);
    expect(stage.troubles.count("createAccount")).toBe(kind === "mint" ? 0 : 1);
    expect(stage.troubles.count("submit")).toBe(operationsOf(kind));
  });

  test("fault 11: two resumes at the same time join", async () => {
    await using stage = await openStage("remote");
    stage.troubles.add({ call: "recommended", when: "before" });
    const { attempts } = stage.process();
    await errorOf(stage.make(attempts));
    const answers = await Promise.all([stage.make(attempts), stage.make(attempts)]);
    await expectOneCommunity(stage, answers);
    expect(stage.troubles.count("recommended")).toBe(2);
  });

  test("does nothing while another process holds the lease, and nothing that is kept late", async () => {
    await using stage = await openStage("remote");
    const { store } = stage.stores;
    const held = Promise.withResolvers<void>();
    const { host } = stage;
    const createAccount = host.createAccount.bind(host);
    host.createAccount = async (account) => {
      await createAccount(account);
      await held.promise;
    };
    const slow = errorOf(stage.make(stage.process().attempts));
    await until(() => host.births > 0);
    const other = stage.process();
    expect((await errorOf(stage.make(other.attempts))).code).toBe("lease_lost");
    // the lease runs out: another takes it, and what the first one has to keep is refused
    stage.clock.now += 3_600_000;
    host.createAccount = createAccount;
    await stage.make(other.attempts).catch((error) => error);
    held.resolve();
    expect((await slow).code).toBe("lease_lost");
    expect(store.byKey(ALICE, MINT.idempotencyKey)?.state).toBe("graduated");
    expect(stage.host.births).toBe(1);
  });

  test.each<[string, object]>([
    ["handle", { handle: "other.pds.test" }],
    ["rotation key", { rotationKey: PDS.didKey }],
    ["e-mail", { email: "other@mail.test" }],
    ["invite", { inviteCode: "other" }],
    ["declaration", { declaration: { collection: "dev.kith.test", rkey: "self", record: { a: 1 } } }],
  ])("refuses the key of another request: %s", async (_, change) => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    await stage.make(attempts);
    expect((await errorOf(stage.make(attempts, change))).code).toBe("idempotency_conflict");
    expect(stage.plc.dids).toHaveLength(1);
    const { rotationKey, idempotencyKey } = MINT;
    expect((await errorOf(attempts.mint(ALICE, { rotationKey, idempotencyKey }))).code).toBe(
      "idempotency_conflict",
    );
  });

  test("takes the same request for the same, in whatever order and case it is written", async () => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    const record = { b: [1, { d: true, c: null }], a: "x" };
    const declaration = { collection: "dev.kith.test", rkey: "self", record };
    const { attemptId } = await stage.make(attempts, { declaration });
    const turned = { $type: "dev.kith.test", a: "x", b: [1, { c: null, d: true }] };
    const again = { rkey: "self", record: turned, collection: "dev.kith.test" };
    const answer = await stage.make(attempts, { handle: HANDLE.toUpperCase(), declaration: again });
    expect(answer.attemptId).toBe(attemptId);
  });

  test("asks who may make communities only where one is begun, and holds the quotas", async () => {
    await using stage = await openStage("remote");
    stage.refuseCreator = new KithError("communities_disabled", "no");
    const { attempts } = stage.process();
    expect((await errorOf(stage.make(attempts))).code).toBe("communities_disabled");
    expect(stage.attempt).toBeUndefined();
    stage.refuseCreator = undefined;
    stage.troubles.add({ call: "createAppPassword", when: "before" });
    await errorOf(stage.make(attempts));
    const second = await errorOf(stage.make(attempts, { idempotencyKey: "idempotent-2" }));
    expect(second).toMatchObject({
      code: "community_quota",
      message: expect.stringContaining("idempotent-1"),
    });
    stage.refuseCreator = new KithError("communities_disabled", "no");
    expect((await stage.make(attempts)).communityDid).toStartWith("did:plc:");
  });

  test("tells the password to who asked last, of those who wait", async () => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    const step = Promise.withResolvers<void>();
    const { host } = stage;
    const activate = host.activate.bind(host);
    host.activate = async (account) => {
      await step.promise;
      await activate(account);
    };
    const first = stage.make(attempts);
    await until(() => stage.attempt?.state === "plcUpdated");
    const second = stage.make(attempts);
    // the first one's connection may be gone: what is told once is told to the second
    step.resolve();
    const answers = await Promise.all([first, second]);
    await expectOneCommunity(stage, answers);
    expect(answers.map(({ rootCredentials }) => rootCredentials !== undefined)).toEqual([false, true]);
  });
});

/** Ends the process: nothing more is stored. */
class Killed extends Error {}

const die = (): never => {
  throw new Killed();
};

describe("Attempts, killed", () => {
  let stores: Stores;
  let callers = 0;
  const stageOf = (kind: AttemptKind) => new Stage(stores, kind, `did:plc:caller${callers++}`);
  beforeAll(async () => {
    stores = await openStores();
  });
  afterAll(async () => {
    await stores[Symbol.asyncDispose]();
  });

  /** The process dies around the keeping of a state; what is there of the one before is gone. */
  function dying(state: AttemptState, when: "before" | "after"): StoreChange & { died: boolean } {
    let died = false;
    const around = async <T>(reached: AttemptState, effect: () => Promise<T>): Promise<T> => {
      if (died || (reached === state && when === "before")) {
        died = true;
        die();
      }
      const result = await effect();
      if (reached !== state) return result;
      died = true;
      return die();
    };
    const { store } = stores;
    return {
      keep: (id, fence, change) => around(change.state, () => store.keep(id, fence, change)),
      graduate: (id, fence, options) => around("graduated", () => store.graduate(id, fence, options)),
      noteError: async () => die(),
      release: async () => die(),
      get died() {
        return died;
      },
    };
  }

  const WAYS: readonly (readonly [AttemptKind, readonly AttemptState[]])[] = [
    ["native", ["accountCreated", "activated", "declared", "graduated"]],
    ...(["loopback", "remote"] as const).map(
      (kind) =>
        [
          kind,
          [
            "accountCreated",
            "plcReady",
            "plcUpdated",
            "activated",
            "credentialReady",
            "declared",
            "graduated",
          ],
        ] as const,
    ),
    ["mint", ["plcUpdated", "graduated"]],
  ];
  const START: readonly AttemptState[] = ["preflighted", "genesisReady", "genesisSubmitted"];
  const KILLS = WAYS.flatMap(([kind, states]) =>
    [...START, ...states].flatMap((state) =>
      (["before", "after"] as const).map((when) => [kind, when, state] as const),
    ),
  );

  test.each(KILLS)("%s: %s it keeps %s, goes on to the same community", async (kind, when, state) => {
    const stage = stageOf(kind);
    const change = dying(state, when);
    await stage.make(stage.process(change).attempts).catch(() => {});
    expect(change.died).toBe(true);
    const did = stage.attempt?.did;
    const { attempts } = await stage.restart();
    const answers = await Promise.all([stage.make(attempts), stage.make(attempts)]);
    await expectOneCommunity(stage, answers);
    if (did) expect(answers[0]?.communityDid).toBe(did);
  });

  /** Every call to the outside, in the order of a run without trouble. */
  async function callsOf(kind: AttemptKind): Promise<string[]> {
    const stage = stageOf(kind);
    const declaration = { collection: "dev.kith.test", rkey: "self", record: { a: 1 } };
    await stage.make(stage.process().attempts, kind === "mint" ? {} : { declaration });
    return stage.troubles.journal;
  }

  test.each(KINDS)("%s: loses the answer of any one call, or the call, and goes on", async (kind) => {
    const calls = await callsOf(kind);
    const declaration = { collection: "dev.kith.test", rkey: "self", record: { a: 1 } };
    const request = kind === "mint" ? {} : { declaration };
    for (const [i, call] of calls.entries()) {
      const nth = calls.slice(0, i + 1).filter((name) => name === call).length;
      for (const when of ["before", "after"] as const) {
        const stage = stageOf(kind);
        const { attempts } = stage.process();
        // the ones of the same name before it go well
        let left = nth;
        const around = stage.troubles.around.bind(stage.troubles);
        stage.troubles.around = async (name, effect) => {
          if (name === call && --left === 0) stage.troubles.add({ call, when });
          return await around(name, effect);
        };
        const error = await errorOf(stage.make(attempts, request));
        const isPreflight = stage.plc.rows.length === 0 && stage.attempt === undefined;
        expect([call, when, error.code]).toEqual([
          call,
          when,
          isPreflight ? "timeout" : "provisioning_failed",
        ]);
        if (!isPreflight) expect(stage.attempt?.lastError).toMatchObject({ code: "timeout" });
        await expectOneCommunity(stage, [await stage.make(attempts, request)]);
        if (kind !== "mint") expect(stage.declared.at(-1)?.[1]).toEqual(declaration);
      }
    }
  });
});

describe("Attempts, refused", () => {
  test.each<[string, string, number]>([
    ["HandleNotAvailable", "handle_not_available", 400],
    ["InvalidHandle", "invalid_handle", 400],
    ["InvalidInviteCode", "invalid_invite_code", 400],
    ["InvalidRequest", "invalid_request", 400],
    ["UnsupportedDomain", "unsupported_domain", 400],
    ["Other", "upstream_failure", 403],
  ])("%s by the host: takes the DID back, and the key is free again", async (name, codeOf, status) => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    const error = refusedByHost(name, { status, reason: "not here" });
    stage.troubles.add({ call: "createAccount", when: "before", error });
    const told = await errorOf(stage.make(attempts));
    expect([String(told.code), told.message.includes("not here")]).toEqual([codeOf, true]);
    expect(stage.attempt).toBeUndefined();
    const [did = ""] = stage.plc.dids;
    expect(stage.plc.rows.map(({ operation }) => (operation as { type: string }).type)).toEqual([
      "plc_operation",
      "plc_tombstone",
    ]);
    const [archived] = stage.stores.archive.archived({ limit: 9 }).attempts;
    expect(archived).toMatchObject({ did, state: "reaping", tombstoneCid: stage.plc.rows[1]?.cid });
    expect(archived?.lastError?.message).toContain("not here");
    expect(stage.stores.archive.keys(archived?.id ?? "")?.subordinateKey).toHaveLength(32);
    const answer = await stage.make(attempts);
    expect(answer.communityDid).not.toBe(did);
    expect(stage.host.births).toBe(1);
  });

  test.each([401, 408, 429, 500, 503])("status %d is no refusal: nothing is taken back", async (status) => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    stage.troubles.add({ call: "createAccount", when: "before", error: refusedByHost("X", { status }) });
    expect((await errorOf(stage.make(attempts))).code).toBe("provisioning_failed");
    expect(stage.attempt?.state).toBe("genesisSubmitted");
    await expectOneCommunity(stage, [await stage.make(attempts)]);
  });

  test("a refusal of what was done already is none", async () => {
    await using stage = await openStage("remote");
    const { host } = stage;
    const createAccount = host.createAccount.bind(host);
    host.createAccount = async (account) => {
      await createAccount(account);
      throw refusedByHost("AlreadyExists")();
    };
    await expectOneCommunity(stage, [await stage.make(stage.process().attempts)]);
  });

  test("a native handle that was taken meanwhile is refused as it is, and the DID taken back", async () => {
    await using stage = await openStage("native");
    const { attempts } = stage.process();
    const error = () => new KithError("handle_not_available", "Handle already taken");
    stage.troubles.add({ call: "createAccount", when: "before", error });
    expect(await errorOf(stage.make(attempts))).toMatchObject({ message: "Handle already taken" });
    expect(stage.plc.rows).toHaveLength(2);
    expect(stage.stores.communities.countOf(ALICE)).toBe(0);
  });

  test.each(["auditLog", "submit"])("goes on taking back where the directory was down (%s)", async (call) => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    const error = refusedByHost("InvalidInviteCode");
    const { host } = stage;
    const createAccount = host.createAccount.bind(host);
    host.createAccount = async (account) => {
      stage.troubles.add({ call, when: "before" });
      stage.troubles.add({ call: "createAccount", when: "before", error });
      return await createAccount(account);
    };
    const told = await errorOf(stage.make(attempts));
    expect(told).toMatchObject({
      code: "provisioning_failed",
      message: expect.stringContaining("InvalidInviteCode"),
    });
    stage.troubles.clear();
    stage.troubles.add({ call: "createAccount", when: "before", error });
    host.createAccount = createAccount;
    const again = await errorOf(stage.make(attempts));
    expect([again.code, stage.attempt]).toEqual(["invalid_invite_code", undefined]);
    expect(stage.plc.rows.map(({ operation }) => (operation as { type: string }).type).at(-1)).toBe(
      "plc_tombstone",
    );
    expect(stage.plc.rows).toHaveLength(2);
  });

  test.each<[string, (stage: Stage) => void, string]>([
    ["describe", ({ troubles }) => troubles.add({ call: "describe", when: "before" }), "timeout"],
    ["PLC down", ({ troubles }) => troubles.add({ call: "auditLog", when: "before" }), "timeout"],
    [
      "handle",
      ({ troubles }) =>
        troubles.add({
          ...{ call: "preflight", when: "before" },
          error: () => new KithError("handle_not_available", "taken"),
        }),
      "handle_not_available",
    ],
    ["phone", ({ host }) => Object.assign(host.description, { phoneRequired: true }), "invalid_request"],
  ])("fault 6: what is found out before (%s) leaves nothing behind", async (_, arrange, told) => {
    await using stage = await openStage("remote");
    arrange(stage);
    const { attempts } = stage.process();
    const error = await errorOf(stage.make(attempts));
    expect(String(error.code)).toBe(told);
    expect(stage.plc.rows).toEqual([]);
    expect([stage.attempt, stage.host.accounts.size]).toEqual([undefined, 0]);
    const [archived] = stage.stores.archive.archived({ limit: 9 }).attempts;
    expect(archived).toMatchObject({ did: null, tombstoneCid: null, state: "failed" });
    stage.host.description.phoneRequired = false;
    await expectOneCommunity(stage, [await stage.make(attempts)]);
  });

  test("asks for an invite code before anything is made", async () => {
    await using stage = await openStage("remote");
    stage.host.description.inviteRequired = true;
    const error = await errorOf(stage.make(stage.process().attempts, { inviteCode: undefined }));
    expect([error.code, stage.plc.rows.length]).toEqual(["invalid_invite_code", 0]);
  });

  test("tries anew where a crash came between the refusal and its end", async () => {
    await using stage = await openStage("remote");
    stage.troubles.add({ call: "preflight", when: "before" });
    const keep = stage.stores.store.keep.bind(stage.stores.store);
    const dead = {
      keep: async (...given: Parameters<typeof keep>) => {
        await keep(...given);
        throw new Killed();
      },
    };
    await stage.make(stage.process(dead).attempts).catch(() => {});
    expect(stage.attempt?.state).toBe("failed");
    const { attempts } = await stage.restart();
    await expectOneCommunity(stage, [await stage.make(attempts)]);
  });

  test("refuses an account of the DID that is not by our password", async () => {
    await using stage = await openStage("remote");
    stage.host.hasAccount = async () => "foreign";
    const error = await errorOf(stage.make(stage.process().attempts));
    expect(error).toMatchObject({
      code: "provisioning_failed",
      message: expect.stringContaining("not ours"),
    });
    expect(stage.attempt?.state).toBe("genesisSubmitted");
  });

  test("refuses hostile recommendations, again and again, and sends nothing", async () => {
    await using stage = await openStage("remote");
    const { attempts } = stage.process();
    stage.host.recommendedChange = (usual) => ({ ...usual, rotationKeys: [R.didKey] });
    for (let calls = 0; calls < 2; calls++) {
      const error = await errorOf(stage.make(attempts));
      expect(error).toMatchObject({
        code: "provisioning_failed",
        message: expect.stringContaining("not its own"),
      });
    }
    expect([stage.attempt?.state, stage.plc.rows.length]).toEqual(["accountCreated", 1]);
    stage.host.recommendedChange = (usual) => usual;
    await expectOneCommunity(stage, [await stage.make(attempts)]);
  });

  test.each<[string, object, string]>([
    ["short key", { idempotencyKey: "short" }, "invalid_request"],
    ["key of spaces", { idempotencyKey: "          " }, "invalid_request"],
    ["handle", { handle: "no handle" }, "invalid_handle"],
    ["rotation key", { rotationKey: "did:key:z123456789012345" }, "invalid_request"],
    ["rotation key of ours", { rotationKey: SERVER.didKey }, "invalid_request"],
    ["lone surrogate", { email: "\ud800@mail.test" }, "invalid_request"],
    ["long invite", { inviteCode: "x".repeat(513) }, "invalid_request"],
    ["collection", { declaration: { collection: "no", rkey: "self", record: {} } }, "invalid_request"],
    ["rkey", { declaration: { collection: "dev.kith.test", rkey: "a/b", record: {} } }, "invalid_request"],
    ["record", { declaration: { collection: "dev.kith.test", rkey: "self", record: 5 } }, "invalid_record"],
    [
      "float",
      { declaration: { collection: "dev.kith.test", rkey: "self", record: { a: 0.5 } } },
      "invalid_record",
    ],
    [
      "large record",
      { declaration: { collection: "dev.kith.test", rkey: "self", record: { a: "x".repeat(70_000) } } },
      "invalid_request",
    ],
  ])("bad input is refused before it is stored: %s", async (_, change, told) => {
    await using stage = await openStage("remote");
    const error = await errorOf(stage.make(stage.process().attempts, change));
    expect(String(error.code)).toBe(told);
    expect(stage.stores.store.stuck({ now: NOW, idleMs: 0 })).toEqual([]);
  });
});

describe("Attempts, declaring", () => {
  const declaration = { collection: "dev.kith.test", rkey: "self", record: { a: 1 } };
  const declared = (attempts: Attempts, stage: Stage) => stage.make(attempts, { declaration });

  test.each(["native", "remote"] as const)(
    "writes the record of a %s community once it is active",
    async (kind) => {
      await using stage = await openStage(kind);
      const { communityDid: did } = await declared(stage.process().attempts, stage);
      const appPassword = stage.stores.communities.secrets(did).appPassword;
      expect(stage.declared).toEqual([[{ did, kind, pdsEndpoint: ENDPOINT, appPassword }, declaration]]);
    },
  );

  test("does not give up a community whose record is refused, and says so", async () => {
    await using stage = await openStage("remote");
    const error = () => new KithError("invalid_record", "it lacks a name");
    stage.troubles.add({ call: "declare", when: "before", error });
    const { attempts } = stage.process();
    const answer = await declared(attempts, stage);
    expect(answer.cannotDo.at(-1)).toContain("it lacks a name");
    const again = await declared(attempts, stage);
    expect(again.cannotDo).toEqual(answer.cannotDo);
    await expectOneCommunity(stage, [answer, again]);
  });
});

test("no column of the file holds the caller's private key, or a password or key that is not sealed", async () => {
  await using stage = await openStage("remote");
  stage.troubles.add({ call: "recommended", when: "before" });
  const { attempts } = stage.process();
  await errorOf(stage.make(attempts));
  const { store, hub, audit } = stage.stores;
  const id = stage.attempt?.id ?? "";
  const secrets = store.secrets(id);
  const told = [
    new Uint8Array(32).fill(1),
    secrets.accountPassword,
    secrets.signingKey,
    secrets.subordinateKey,
  ];
  const texts = told.flatMap((secret) => {
    const bytes = Buffer.from(secret ?? "");
    return [bytes, Buffer.from(bytes.toString("hex")), Buffer.from(bytes.toString("base64url"))];
  });
  const rows = ["attempt", "community_audit"].flatMap((table) => hub.read<object>(`SELECT * FROM ${table}`));
  const all = Buffer.concat(
    rows.flatMap((row) =>
      Object.values(row).map((value) => Buffer.from(value instanceof Uint8Array ? value : String(value))),
    ),
  );
  for (const text of texts) expect(all.includes(text)).toBe(false);
  const opened = JSON.stringify({ ...secrets, signingKey: [...(secrets.signingKey ?? [])] });
  expect(opened).not.toContain("1,1,1,1,1,1");
  const actions = audit.ofAttempt(id, { limit: 50 }).entries.map(({ action }) => action);
  expect(actions.toReversed()).toEqual(
    ["planned", "preflighted", "genesisReady", "genesisSubmitted", "accountCreated"].map(
      (name) => `attempt.${name}`,
    ),
  );
});
