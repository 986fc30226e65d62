import { describe, expect, test } from "bun:test";
import {
  type AnyPlcOperation,
  buildDidDocument,
  createGenesis,
  createTombstone,
  createUpdate,
  type DidDocument,
  generatePrivateKey,
  type PlcOperation,
  type PlcState,
  plcStateOf,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { PlcRefusedError } from "../identity/mod.ts";
import type { Logger } from "../logger.ts";
import { WAITING_MAX } from "./_did_locks.ts";
import type { Account } from "./account.ts";
import { HandleRules } from "./handle_rules.ts";
import { type BegunChange, IdentityChanges } from "./identity_changes.ts";

const URL = "https://pds.test";
const keyOf = (fill: number) => {
  const privateKey = generatePrivateKey("k256", new Uint8Array(32).fill(fill));
  return { ...signerFromPrivateKey("k256", privateKey), type: "k256" as const, privateKey };
};
const signerOf = (fill: number) => signerFromPrivateKey("k256", keyOf(fill).privateKey);
const SERVER = signerOf(1);
const OWNER = signerOf(2);
const [OLD, NEW, FREE] = [keyOf(3), keyOf(4), keyOf(5)].map((key) => ({
  type: key.type,
  privateKey: key.privateKey,
  didKey: signerFromPrivateKey("k256", key.privateKey).didKey,
})) as [Held, Held, Held];
const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => QUIET };
type Held = { type: "k256"; privateKey: Uint8Array; didKey: string };

const GENESIS = createGenesis({
  signingKey: OLD.didKey,
  rotationKeys: [OWNER.didKey, SERVER.didKey],
  handle: "alice.test",
  pdsEndpoint: URL,
  signer: SERVER,
});
const ALICE = GENESIS.did;
const BOB = "did:plc:bob";
const WEB = "did:web:alice.example.com";

/** How the directory takes an operation; "late": it answers nothing, and has it only afterwards. */
type Mood = "accepts" | "refuses" | "fails" | "loses the answer" | "is silent" | "loses all";

/** The contracts of the stores, the directory and the repos; `journal` has what was done, in order. */
class World {
  readonly journal: string[] = [];
  readonly accounts = new Map<string, Account>();
  readonly rows = new Map<string, BegunChange>();
  readonly keys = new Map<string, string>();
  readonly elsewhere = new Map<string, string>();
  readonly reserved = new Map<string, Held>();
  mood: Mood = "accepts";
  last: AnyPlcOperation = GENESIS.operation;
  webDocument: DidDocument | KithError = new KithError("upstream_failure", "no answer");
  repoFailure: KithError | undefined;
  readonly changes: IdentityChanges;

  constructor() {
    this.add(ALICE, "alice.test");
    this.add(BOB, "bob.test");
    this.add(WEB, "web.test");
    this.changes = new IdentityChanges({
      accounts: {
        account: (did) => this.accounts.get(did),
        accountByHandle: (handle) => [...this.accounts.values()].find((row) => row.handle === handle),
        accountByEmail: () => undefined,
        signer: (did) => ({ didKey: this.keys.get(did) ?? "" }),
      },
      rows: {
        begin: async ({ did, handle, signingKey }) => {
          const taken = [...this.rows.values()].some((row) => handle !== undefined && row.handle === handle);
          if (taken) throw new KithError("handle_not_available", `Handle already taken: ${handle}`);
          this.journal.push(`begin ${handle ?? "key"}`);
          this.rows.set(did, { did, handle: handle ?? null, didKey: signingKey?.didKey ?? null });
        },
        find: (did) => this.rows.get(did),
        all: () => [...this.rows.values()],
        abandon: async (did) => {
          this.journal.push("abandon");
          this.rows.delete(did);
        },
      },
      repos: {
        changeIdentity: async (did, { handle, signingKey, before }) => {
          await before?.();
          if (this.repoFailure) throw this.repoFailure;
          this.journal.push(`commit ${handle ?? "key"}`);
          if (handle !== undefined) this.add(did, handle);
          if (signingKey !== undefined) this.keys.set(did, signingKey);
          this.rows.delete(did);
        },
      },
      plc: { lastOperation: async () => this.#lastOperation(), submit: this.#submit },
      documents: {
        resolve: async () => {
          if (this.webDocument instanceof KithError) throw this.webDocument;
          return this.webDocument;
        },
        forget: () => this.journal.push("forget"),
      },
      handles: new HandleRules([".test"], { hostname: "pds.example.com" }),
      handleResolver: { resolve: async (handle) => this.elsewhere.get(handle) },
      reservedKeys: { find: (id) => this.#reserved(id) },
      rotationSigner: SERVER,
      publicUrl: URL,
      logger: QUIET,
      now: () => 1234,
    });
  }

  add(
    did: string,
    handle: string,
    state: Account["state"] = this.accounts.get(did)?.state ?? "active",
  ): void {
    const rest = { email: null, emailConfirmedAt: null, passwordHash: "" };
    this.accounts.set(did, { did, handle, state, ...rest });
    if (!this.keys.has(did)) this.keys.set(did, OLD.didKey);
  }

  /** What the directory says. */
  get state(): PlcState {
    return plcStateOf(this.last) as PlcState;
  }

  #reserved(id: string) {
    const key = this.reserved.get(id);
    return key && { id, ...key };
  }

  #lastOperation(): AnyPlcOperation {
    if (this.mood === "is silent") throw new KithError("timeout", "no answer");
    return this.last;
  }

  readonly #submit = async (did: string, operation: AnyPlcOperation): Promise<void> => {
    this.journal.push("plc");
    if (this.mood === "refuses") throw new PlcRefusedError(did, { status: 400, reason: "Invalid op" });
    if (this.mood !== "fails") this.last = operation;
    if (this.mood === "loses all") this.mood = "is silent";
    if (this.mood !== "accepts") throw new KithError("upstream_failure", "connection reset");
  };
}

const outcomeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error) => error.code,
  );

describe("IdentityChanges.updateHandle", () => {
  test("reserves, tells the directory, then commits; other aliases stay", async () => {
    const world = new World();
    const change = (state: PlcState) => ({
      ...state,
      alsoKnownAs: ["https://alice.example.com", "at://alice.test", "at://old.test"],
    });
    world.last = createUpdate(GENESIS.operation, { signer: SERVER, change });
    await world.changes.updateHandle(ALICE, "Alicia.TEST", "open");
    expect(world.journal).toEqual(["begin alicia.test", "plc", "forget", "commit alicia.test"]);
    expect(world.state.alsoKnownAs).toEqual([
      "https://alice.example.com",
      "at://alicia.test",
      "at://old.test",
    ]);
    expect((world.last as PlcOperation).rotationKeys).toEqual([OWNER.didKey, SERVER.didKey]);
    expect(world.accounts.get(ALICE)?.handle).toBe("alicia.test");
  });

  test("tells the network again of the same one, and mends a directory that lags behind", async () => {
    const world = new World();
    world.add(ALICE, "www.test");
    await world.changes.updateHandle(ALICE, "www.test", "open");
    expect(world.journal).toEqual(["plc", "forget", "commit www.test"]);
    await world.changes.updateHandle(ALICE, "WWW.test", "open");
    expect(world.journal.slice(3)).toEqual(["forget", "commit www.test"]);
  });

  const refusals: [title: string, text: string, claim: "open" | "invited" | "admin", code: string][] = [
    ["what is no handle", "not a handle", "open", "invalid_handle"],
    ["a short label", "ab.test", "open", "invalid_handle"],
    ["two labels", "a.b.test", "admin", "invalid_handle"],
    ["a reserved name", "www.test", "open", "handle_not_available"],
    ["another's handle", "bob.test", "open", "handle_not_available"],
    ["another's handle, to the admin", "bob.test", "admin", "handle_not_available"],
    ["a domain that leads nowhere", "nowhere.example.com", "open", "invalid_handle"],
    ["a domain that leads elsewhere", "bob.example.com", "open", "invalid_handle"],
    ["a domain that leads elsewhere, to the admin", "bob.example.com", "admin", "invalid_handle"],
    ["a reserved top-level domain", "alice.local", "open", "invalid_handle"],
    ["the server's own name", "pds.example.com", "open", "invalid_handle"],
  ];
  test.each(refusals)("refuses %s", async (_title, text, claim, code) => {
    const world = new World();
    world.elsewhere.set("bob.example.com", BOB);
    expect(await outcomeOf(world.changes.updateHandle(ALICE, text, claim))).toBe(code);
    expect(world.journal).toEqual([]);
  });

  test.each([
    ["a domain of its own", "alice.example.com", "open"],
    ["the server's own name, where that leads to it", "pds.example.com", "open"],
    ["a reserved name, to who was invited", "www.test", "invited"],
    ["the server's own name, to the admin", "pds.example.com", "admin"],
    ["a reserved name of any length, to the admin", "me.test", "admin"],
  ] as const)("gives %s", async (_title, handle, claim) => {
    const world = new World();
    if (claim === "open") world.elsewhere.set(handle, ALICE);
    await world.changes.updateHandle(ALICE, handle, claim);
    expect(world.accounts.get(ALICE)?.handle).toBe(handle);
    expect(world.state.alsoKnownAs).toEqual([`at://${handle}`]);
  });

  test.each([
    ["refuses", "invalid_request", false],
    ["fails", "upstream_failure", false],
    ["is silent", "timeout", false],
    ["loses the answer", "done", false],
    ["loses all", "upstream_failure", true],
  ] as const)("where the directory %s: %s", async (mood, code, waits) => {
    const world = new World();
    world.mood = mood;
    expect(await outcomeOf(world.changes.updateHandle(ALICE, "alicia.test", "open"))).toBe(code);
    expect(world.rows.has(ALICE)).toBe(waits);
    expect(world.accounts.get(ALICE)?.handle).toBe(code === "done" ? "alicia.test" : "alice.test");
    // Neither is anybody else given the name that may be in the directory.
    expect(await outcomeOf(world.changes.updateHandle(BOB, "alicia.test", "open"))).not.toBe("done");
    world.mood = "accepts";
    await world.changes.settleAll();
    expect(world.rows.size).toBe(0);
    expect(world.accounts.get(ALICE)?.handle).toBe(
      world.state.alsoKnownAs[0]?.slice("at://".length) as string,
    );
    await world.changes.stop();
  });

  test("keeps what the directory has where the file cannot be written, and finishes it later", async () => {
    const world = new World();
    world.repoFailure = new KithError("storage_full", "no room");
    expect(await outcomeOf(world.changes.updateHandle(ALICE, "alicia.test", "open"))).toBe("storage_full");
    await world.changes.settleAll();
    expect(world.rows.size).toBe(1);
    world.repoFailure = undefined;
    // Whatever is asked for next, the one before is brought to its end first.
    await world.changes.updateHandle(ALICE, "alison.test", "open");
    expect(world.journal.filter((step) => step.startsWith("commit"))).toEqual([
      "commit alicia.test",
      "commit alison.test",
    ]);
    await world.changes.stop();
  });

  test("of two who ask for one handle at the same time gives it to one", async () => {
    const world = new World();
    const other = createGenesis({
      signingKey: OLD.didKey,
      rotationKeys: [SERVER.didKey],
      handle: "bob.test",
      pdsEndpoint: URL,
      signer: SERVER,
    });
    world.add(other.did, "carol.test");
    const outcomes = await Promise.all(
      [ALICE, other.did].map((did) => outcomeOf(world.changes.updateHandle(did, "same.test", "open"))),
    );
    expect(outcomes.sort()).toEqual(["done", "handle_not_available"]);
  });

  test("asks the DID document of a did:web to name it already", async () => {
    const world = new World();
    expect(await outcomeOf(world.changes.updateHandle(WEB, "webby.test", "open"))).toBe("upstream_failure");
    world.webDocument = buildDidDocument(WEB, { ...world.state, alsoKnownAs: ["at://web.test"] });
    expect(await outcomeOf(world.changes.updateHandle(WEB, "webby.test", "open"))).toBe("invalid_request");
    expect(world.rows.size).toBe(0);
    world.webDocument = buildDidDocument(WEB, { ...world.state, alsoKnownAs: ["at://webby.test"] });
    await world.changes.updateHandle(WEB, "webby.test", "open");
    expect(world.accounts.get(WEB)?.handle).toBe("webby.test");
    expect(world.journal).not.toContain("plc");
  });

  test("refuses where the DID is not for this server to change", async () => {
    const world = new World();
    const update = () => outcomeOf(world.changes.updateHandle(ALICE, "alicia.test", "open"));
    const make = (change: Partial<PlcState>) =>
      createUpdate(GENESIS.operation, { signer: SERVER, change: (state) => ({ ...state, ...change }) });
    world.last = make({ rotationKeys: [OWNER.didKey] });
    expect(await update()).toBe("invalid_request");
    world.last = createTombstone(GENESIS.operation, { signer: SERVER });
    expect(await update()).toBe("invalid_request");
    world.last = make({
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://new.test" } },
    });
    world.add(ALICE, "alice.test", "deactivated");
    expect(await update()).toBe("invalid_request");
    expect([world.rows.size, world.journal.includes("plc")]).toEqual([0, false]);
    expect(await outcomeOf(world.changes.updateHandle("did:plc:nobody", "x.test", "open"))).toBe(
      "account_not_found",
    );
  });

  test("lets no more than a few wait for one account", async () => {
    const world = new World();
    const asked = Array.from({ length: WAITING_MAX + 2 }, (_, at) =>
      outcomeOf(world.changes.updateHandle(ALICE, `name${at}.test`, "open")),
    );
    expect((await Promise.all(asked)).filter((outcome) => outcome === "busy")).toHaveLength(1);
    expect(world.accounts.get(ALICE)?.handle).toBe(`name${WAITING_MAX}.test`);
  });
});

describe("IdentityChanges.updateSigningKey", () => {
  const keyIn = ({ state }: World) => state.verificationMethods.atproto as string;

  test.each(["its DID", "nobody"])("takes a key that is reserved for %s", async (whom) => {
    const world = new World();
    world.reserved.set(whom === "nobody" ? NEW.didKey : ALICE, NEW);
    await world.changes.updateSigningKey(ALICE, NEW.didKey);
    expect(world.journal).toEqual(["begin key", "plc", "forget", "commit key"]);
    expect([keyIn(world), world.keys.get(ALICE)]).toEqual([NEW.didKey, NEW.didKey]);
    await world.changes.updateSigningKey(ALICE, NEW.didKey);
    expect(world.journal.slice(4)).toEqual(["forget", "commit key"]);
  });

  test("refuses a key that is not held here, or for another", async () => {
    const world = new World();
    world.reserved.set(BOB, NEW);
    for (const didKey of [
      NEW.didKey,
      FREE.didKey,
      "did:key:zabc",
      "did:plc:x",
      `did:key:z${"a".repeat(999)}`,
    ]) {
      expect(await outcomeOf(world.changes.updateSigningKey(ALICE, didKey))).toBe("invalid_request");
    }
    expect(world.journal).toEqual([]);
  });

  test.each([
    ["refuses", "invalid_request"],
    ["fails", "upstream_failure"],
    ["is silent", "timeout"],
    ["loses the answer", "done"],
    ["loses all", "upstream_failure"],
  ] as const)("where the directory %s the account signs on: %s", async (mood, code) => {
    const world = new World();
    world.reserved.set(NEW.didKey, NEW);
    world.mood = mood;
    expect(await outcomeOf(world.changes.updateSigningKey(ALICE, NEW.didKey))).toBe(code);
    expect(world.keys.get(ALICE)).toBe(code === "done" ? NEW.didKey : OLD.didKey);
    world.mood = "accepts";
    await world.changes.settleAll();
    expect(world.rows.size).toBe(0);
    expect(world.keys.get(ALICE)).toBe(keyIn(world));
    await world.changes.stop();
  });
});

describe("IdentityChanges.settleAll", () => {
  /** What kill -9 leaves at each step: whether the directory has the change, and what becomes of it. */
  test.each([
    ["the name was reserved", false],
    ["the directory had it", true],
  ])("after a crash when %s", async (_title, hasIt) => {
    const world = new World();
    world.rows.set(ALICE, { did: ALICE, handle: "alicia.test", didKey: null });
    if (hasIt) {
      const change = (state: PlcState) => ({ ...state, alsoKnownAs: ["at://alicia.test"] });
      world.last = createUpdate(GENESIS.operation, { signer: SERVER, change });
    }
    world.mood = "is silent";
    await world.changes.settleAll();
    expect(world.rows.size).toBe(1);
    world.mood = "accepts";
    await world.changes.settleAll();
    expect(world.journal).toEqual(hasIt ? ["forget", "commit alicia.test"] : ["abandon"]);
    await world.changes.stop();
  });

  test("drops what is of an account that is gone, and goes on past one that waits", async () => {
    const world = new World();
    world.rows.set(WEB, { did: WEB, handle: "webby.test", didKey: null });
    world.rows.set(BOB, { did: BOB, handle: "bobby.test", didKey: null });
    world.add(BOB, "bob.test", "deleting");
    await world.changes.settleAll();
    expect([...world.rows.keys()]).toEqual([WEB]);
    world.webDocument = new KithError("did_not_found", "no longer there");
    await world.changes.settleAll();
    expect(world.rows.size).toBe(0);
    await world.changes.stop();
  });
});
