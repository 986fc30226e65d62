/** For tests of attempts: the real stores, a directory that judges as the real one does, and a server that is made up. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ProvisionActors } from "../actors/mod.ts";
import { didOfGenesis, parseServiceJwt, plcStateOf, signerFromPrivateKey } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { EmbeddedPlc, HostError, type PlcDirectory, type PlcStoreRow } from "../identity/mod.ts";
import { createLogger } from "../logger.ts";
import {
  type Attempt,
  AttemptArchive,
  type AttemptKind,
  AttemptStore,
  CommunityAudit,
  CommunityInviteStore,
  CommunityMemberStore,
  CommunityStore,
  Hub,
  Keyring,
  Maintenance,
} from "../storage/mod.ts";
import { Attempts, type MintAnswer, type ProvisionAnswer } from "./attempts.ts";
import type {
  AccountAccess,
  HostClient,
  HostKind,
  NewHostAccount,
  RecommendedCredentials,
} from "./hosts/host.ts";
import { lastOf, operationFrom } from "./plc_operations.ts";
import type { Declaration, MintRequest, ProvisionRequest } from "./provision_request.ts";
import { Reaper } from "./reap.ts";
import type { DeclaringCommunity, StepParts } from "./steps/step_context.ts";

export const ALICE = "did:plc:alice";
export const BOB = "did:plc:bob";
export const ENDPOINT = "https://pds.test";
export const HANDLE = "group.pds.test";
export const NOW = 1_790_000_000_000;
export const HOUR_MS = 3_600_000;

const key = (byte: number, type: "k256" | "p256" = "k256") =>
  signerFromPrivateKey(type, new Uint8Array(32).fill(byte));
/** The caller's: only this file has its private half. */
export const R = key(1);
export const SERVER = key(2);
export const PDS = key(3);
export const PDS_SIGNING = key(4);
export const KINDS: readonly AttemptKind[] = ["native", "loopback", "remote", "mint"];

export const REQUESTS: Readonly<Record<HostKind, ProvisionRequest>> = {
  native: { idempotencyKey: "idempotent-1", handle: HANDLE, rotationKey: R.didKey },
  loopback: stockRequest("loopback"),
  remote: stockRequest("remote"),
};
export const MINT: MintRequest = { idempotencyKey: "idempotent-1", rotationKey: R.didKey, handle: HANDLE };

function stockRequest(kind: HostKind): ProvisionRequest {
  return {
    idempotencyKey: "idempotent-1",
    handle: HANDLE,
    rotationKey: R.didKey,
    hosting: "stock",
    pdsEndpoint: kind === "remote" ? ENDPOINT : "https://own.test",
    email: "group@mail.test",
    inviteCode: "invite-1",
  };
}

export interface Clock {
  /** Milliseconds since 1970. */
  now: number;
}

/** What goes wrong at a call, before or after its effect. */
export interface Trouble {
  readonly call: string;
  readonly when: "before" | "after";
  readonly error?: () => unknown;
  /** Of how many calls; one where absent. */
  times?: number;
}

export class Troubles {
  #list: Trouble[] = [];
  /** Every call that was made, in order. */
  readonly journal: string[] = [];

  add(...troubles: Trouble[]): void {
    this.#list.push(...troubles);
  }

  clear(): void {
    this.#list = [];
  }

  async around<T>(call: string, effect: () => T | Promise<T>): Promise<T> {
    this.journal.push(call);
    this.#meet(call, "before");
    const result = await effect();
    this.#meet(call, "after");
    return result;
  }

  #meet(call: string, when: Trouble["when"]): void {
    const trouble = this.#list.find((one) => one.call === call && one.when === when && one.times !== 0);
    if (!trouble) return;
    trouble.times = (trouble.times ?? 1) - 1;
    throw trouble.error?.() ?? new KithError("timeout", `The call ${call} was lost`);
  }

  count(call: string): number {
    return this.journal.filter((made) => made === call).length;
  }
}

export function refusedByHost(error: string, { status = 400, reason = "no" } = {}): () => unknown {
  return () =>
    new HostError({ host: ENDPOINT, nsid: "com.atproto.server.createAccount", status, error, reason });
}

interface FakeAccount {
  readonly handle: string;
  readonly password: string | undefined;
  readonly appPasswords: Map<string, string>;
  active: boolean;
}

/** A host of any kind: what it knows is in the maps, what it recommends can be changed. */
export class FakeHost implements HostClient {
  readonly endpoint = ENDPOINT;
  readonly accounts = new Map<string, FakeAccount>();
  readonly tokens: string[] = [];
  recommendedChange: (usual: RecommendedCredentials) => RecommendedCredentials = (usual) => usual;
  description = {
    did: "did:web:pds.test",
    domains: [".pds.test"],
    inviteRequired: false,
    phoneRequired: false,
  };
  /** How often an account was made. */
  births = 0;

  constructor(
    readonly kind: HostKind,
    readonly troubles: Troubles,
    readonly plc: PlcDirectory,
    readonly clock: Clock,
  ) {}

  describe() {
    return this.troubles.around("describe", () => this.description);
  }
  preflight({ handle }: { handle: string }): Promise<void> {
    return this.troubles.around("preflight", () => {
      const isTaken = [...this.accounts.values()].some((account) => account.handle === handle);
      if (isTaken) throw new KithError("handle_not_available", `Handle already taken: ${handle}`);
    });
  }
  createAccount(account: NewHostAccount): Promise<void> {
    return this.troubles.around("createAccount", async () => {
      const { did, handle, password, serviceToken, native } = account;
      if (this.kind === "native") {
        if (!native || didOfGenesis(operationFrom(native.genesis)) !== did) throw new Error("no genesis");
      } else {
        await this.#checkToken(did, serviceToken ?? "");
      }
      if (this.accounts.has(did)) throw refusedByHost("AlreadyExists")();
      this.births++;
      const active = this.kind === "native";
      this.accounts.set(did, { handle, password, appPasswords: new Map(), active });
    });
  }
  async #checkToken(did: string, token: string): Promise<void> {
    this.tokens.push(token);
    const { claims, header } = parseServiceJwt(token);
    const named = await this.plc.data(did);
    if (claims.iss !== did || claims.aud !== this.description.did) throw refusedByHost("BadJwt")();
    if (claims.lxm !== "com.atproto.server.createAccount") throw refusedByHost("BadJwt")();
    if (claims.exp * 1000 !== this.clock.now + 60_000 || header.alg !== "ES256K")
      throw refusedByHost("BadJwt")();
    if (!named.verificationMethods.atproto) throw refusedByHost("BadJwt")();
  }
  hasAccount({ did, password }: AccountAccess) {
    return this.troubles.around("hasAccount", () => {
      const account = this.accounts.get(did);
      if (!account) return "none" as const;
      const isKnown = password === undefined || account.password === password;
      if (this.kind !== "native" && !isKnown) return "foreign" as const;
      return account.active ? ("active" as const) : ("inactive" as const);
    });
  }
  recommended({ did }: AccountAccess): Promise<RecommendedCredentials> {
    return this.troubles.around("recommended", () =>
      this.recommendedChange({
        rotationKeys: [PDS.didKey],
        alsoKnownAs: [`at://${this.accounts.get(did)?.handle}`],
        verificationMethods: { atproto: PDS_SIGNING.didKey },
        services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: ENDPOINT } },
      }),
    );
  }
  activate({ did }: AccountAccess): Promise<void> {
    return this.troubles.around("activate", async () => {
      const account = this.accounts.get(did);
      const { rotationKeys, services } = await this.plc.data(did);
      const isRight = rotationKeys.includes(PDS.didKey) && services.atproto_pds?.endpoint === ENDPOINT;
      if (!account || !isRight) throw refusedByHost("InvalidRequest")();
      account.active = true;
    });
  }
  createAppPassword({ did, name }: AccountAccess & { name: string }): Promise<string> {
    return this.troubles.around("createAppPassword", () => {
      const { appPasswords } = this.accounts.get(did) as FakeAccount;
      const made = `app-${appPasswords.size}-${this.troubles.count("createAppPassword")}`;
      appPasswords.set(name, made);
      return made;
    });
  }
  createSession(): Promise<never> {
    return Promise.reject(new Error("no session is to be made for an attempt"));
  }
  async endSession(): Promise<void> {}
  removeHalfMade({ did }: AccountAccess): Promise<string> {
    return this.troubles.around("removeHalfMade", () => {
      const had = this.accounts.delete(did);
      return had ? "the account is removed" : "there is no account";
    });
  }
}

/** Judges as the real one does. Calls can go wrong. */
export class FakePlc implements PlcDirectory {
  readonly rows: (PlcStoreRow & { nullified: boolean })[] = [];
  readonly troubles: Troubles;
  readonly #plc: EmbeddedPlc;

  constructor(troubles: Troubles, clock: Clock) {
    this.troubles = troubles;
    const { rows } = this;
    this.#plc = new EmbeddedPlc({
      now: () => clock.now,
      store: {
        append: (row, nullified) => {
          for (const [i, old] of rows.entries()) {
            if (old.did === row.did && nullified.includes(old.cid)) rows[i] = { ...old, nullified: true };
          }
          rows.push(row);
        },
        log: (did) => rows.filter((row) => row.did === did),
        export: () => rows,
        lastCreatedAt: () => rows.at(-1)?.createdAt,
      },
    });
  }

  submit: PlcDirectory["submit"] = (did, operation) =>
    this.troubles.around("submit", () => this.#plc.submit(did, operation));
  document: PlcDirectory["document"] = (did) => this.#plc.document(did);
  data: PlcDirectory["data"] = (did) => this.#plc.data(did);
  lastOperation: PlcDirectory["lastOperation"] = (did) => this.#plc.lastOperation(did);
  auditLog: PlcDirectory["auditLog"] = (did) =>
    this.troubles.around("auditLog", () => this.#plc.auditLog(did));

  /** DIDs that have been registered. */
  get dids(): string[] {
    return [...new Set(this.rows.map(({ did }) => did))];
  }

  async stateOf(did: string) {
    const last = lastOf(await this.#plc.auditLog(did));
    return last && plcStateOf(last);
  }
}

export type Stores = Awaited<ReturnType<typeof openStores>>;

export async function openStores() {
  const folder = mkdtempSync(join(tmpdir(), "kith-attempts-"));
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  const hub = await Hub.open(join(folder, "accounts.sqlite"), { maintenance, onFatal });
  const keyring = Keyring.open(join(folder, "master.key"));
  return {
    hub,
    store: new AttemptStore(hub, keyring),
    archive: new AttemptArchive(hub, keyring),
    communities: new CommunityStore(hub, keyring),
    members: new CommunityMemberStore(hub),
    invites: new CommunityInviteStore(hub),
    audit: new CommunityAudit(hub),
    async [Symbol.asyncDispose]() {
      await hub.close();
      await maintenance.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Calls of the store that go otherwise. */
export type StoreChange = Partial<Pick<AttemptStore, "keep" | "graduate" | "noteError" | "release">>;

/** A world of its own beside others over the same stores: a directory, a server, and processes that come and go. */
export class Stage {
  readonly troubles = new Troubles();
  readonly clock: Clock = { now: NOW };
  readonly plc = new FakePlc(this.troubles, this.clock);
  readonly host: FakeHost;
  readonly declared: [DeclaringCommunity, Declaration][] = [];
  readonly parts: StepParts;
  readonly ownKeys = [SERVER.didKey];
  quotas = { inFlightMax: 1, perCallerPerDayMax: 9, perDayMax: 10_000, communitiesMax: 9 };
  refuseCreator: KithError | undefined;

  constructor(
    readonly stores: Stores,
    readonly kind: AttemptKind,
    /** Who asks. */
    readonly caller = ALICE,
  ) {
    this.host = new FakeHost(kind === "mint" ? "native" : kind, this.troubles, this.plc, this.clock);
    this.parts = {
      plc: this.plc,
      hostFor: () => this.host,
      rotationSigner: SERVER,
      keyType: "k256",
      declare: (community, declaration) =>
        this.troubles.around("declare", () => void this.declared.push([community, declaration])),
      now: () => this.clock.now,
    };
  }

  /** What a process has in its memory. */
  process(change: StoreChange = {}) {
    const { stores, parts } = this;
    const store = new Proxy(stores.store, {
      get: (target, name) => {
        const value: unknown = Object.hasOwn(change, name)
          ? Reflect.get(change, name)
          : Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const shared = {
      ...{ store, parts, actors: new ProvisionActors(), archive: stores.archive },
      logger: createLogger({ level: "fatal" }),
    };
    const attempts = new Attempts({
      ...shared,
      communities: this.stores.communities,
      quotas: this.quotas,
      chooseHost: () => ({ kind: this.host.kind, endpoint: ENDPOINT }),
      checkCreator: () => {
        if (this.refuseCreator) throw this.refuseCreator;
      },
      ownKeys: this.ownKeys,
    });
    return { attempts, actors: shared.actors, reaper: new Reaper(shared) };
  }

  /** A new process after a crash: the leases of the one before are ended. */
  async restart() {
    const made = this.process();
    await made.attempts.start();
    return made;
  }

  /** Asks for the community. */
  make(
    attempts: Attempts,
    change: Partial<ProvisionRequest> = {},
  ): Promise<Partial<ProvisionAnswer> & MintAnswer> {
    const { kind, caller } = this;
    if (kind === "mint") return attempts.mint(caller, { ...MINT, ...change });
    return attempts.provision(caller, { ...REQUESTS[kind], ...change });
  }

  /** The attempt, where it has not been archived. */
  get attempt(): Attempt | undefined {
    return this.stores.store.byKey(this.caller, MINT.idempotencyKey);
  }
}

/** A stage with stores of its own. */
export async function openStage(kind: AttemptKind) {
  const stores = await openStores();
  return Object.assign(new Stage(stores, kind), {
    [Symbol.asyncDispose]: () => stores[Symbol.asyncDispose](),
  });
}

export async function errorOf(promise: Promise<unknown>): Promise<KithError> {
  const error = await promise.then(
    () => new Error("nothing was thrown"),
    (thrown: unknown) => thrown,
  );
  if (!isKithError(error)) throw error;
  return error;
}

/** Waits for a condition; the test's own timeout ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
