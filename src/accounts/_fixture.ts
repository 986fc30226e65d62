/** In-memory stand-ins for tests: the accounts store, the session store, the PLC directory and the repos. */
import { KithError } from "../errors.ts";
import { type PlcData, PlcRefusedError } from "../identity/mod.ts";
import type { Account, AccountState } from "./account.ts";
import type { AppPassword, AppPasswordRows } from "./app_passwords.ts";
import type { BirthRows, PlcClient, RepoBirths } from "./births.ts";
import type { InviteLookup } from "./create_account.ts";
import type { EmailTokenRows, TokenProof } from "./email_tokens.ts";
import type { CreatingRows } from "./finish_creation.ts";
import type { InviteCodeRows } from "./invites.ts";
import type { ReservedKey, ReservedKeyRows } from "./move_in.ts";
import type { RefreshRow, RefreshRows } from "./sessions.ts";

type BeginAccount = Parameters<BirthRows["beginAccount"]>[0];

/** The contract of the accounts and invite stores. `journal` has the calls of all fakes that share it, in order. */
export class FakeAccounts implements BirthRows, CreatingRows, InviteLookup, InviteCodeRows {
  readonly rows = new Map<string, Account & { begun: BeginAccount }>();
  readonly invites = new Map<string, number>();
  readonly journal: string[];

  constructor(journal: string[] = []) {
    this.journal = journal;
  }

  account(did: string): Account | undefined {
    return this.rows.get(did);
  }
  accountByHandle(handle: string): Account | undefined {
    return [...this.rows.values()].find((row) => row.handle === handle);
  }
  accountByEmail(email: string): Account | undefined {
    return [...this.rows.values()].find((row) => row.email === email);
  }
  creating(): (Account & { movesIn: boolean })[] {
    return [...this.rows.values()]
      .filter((row) => row.state === "creating")
      .map((row) => ({ ...row, movesIn: row.begun.genesisOperation === null }));
  }
  inviteIsUsable(code: string): boolean {
    return (this.invites.get(code) ?? 0) > 0;
  }
  async createCode({ code, uses }: { code: string; uses: number }): Promise<void> {
    this.invites.set(code, uses);
  }
  async beginAccount(begun: BeginAccount): Promise<void> {
    this.journal.push("begin");
    if (this.accountByHandle(begun.handle)) throw new KithError("handle_not_available", "Handle taken");
    if (begun.email !== null && this.accountByEmail(begun.email))
      throw new KithError("invalid_request", "Email taken");
    if (begun.inviteCode !== undefined) this.#useInvite(begun.inviteCode, 1);
    const { did, handle, email, passwordHash } = begun;
    const row = { did, handle, email, passwordHash, emailConfirmedAt: null, begun };
    this.rows.set(did, { ...row, state: "creating" });
  }
  async abandonAccount(did: string): Promise<void> {
    this.journal.push("abandon");
    const inviteCode = this.rows.get(did)?.begun.inviteCode;
    if (inviteCode !== undefined) this.#useInvite(inviteCode, -1);
    this.rows.delete(did);
  }
  async finishCreation(did: string, state: AccountState): Promise<void> {
    this.journal.push(`finish ${state}`);
    const row = this.rows.get(did);
    if (row) this.rows.set(did, { ...row, state });
  }
  #useInvite(code: string, uses: number): void {
    const left = (this.invites.get(code) ?? 0) - uses;
    if (left < 0) throw new KithError("invalid_invite_code", "Provided invite code not available");
    this.invites.set(code, left);
  }
}

/** The contract of the store of reserved keys. */
export class FakeReservedKeys implements ReservedKeyRows {
  readonly rows = new Map<string, ReservedKey>();

  find(id: string): ReservedKey | undefined {
    return this.rows.get(id);
  }
  async reserve(key: ReservedKey): Promise<string> {
    if (!this.rows.has(key.id)) this.rows.set(key.id, key);
    return this.rows.get(key.id)?.didKey ?? "";
  }
  async forget(id: string): Promise<void> {
    this.rows.delete(id);
  }
}

/** The contract of the session store. */
export class FakeRefreshRows implements RefreshRows {
  readonly rows = new Map<string, RefreshRow & { nextId?: string; graceUntil?: number }>();

  /** False: the password has been changed meanwhile. */
  secretIsCurrent = true;

  async insert({ secretHash: _, ...row }: RefreshRow & { secretHash?: string }): Promise<boolean> {
    if (this.secretIsCurrent) this.rows.set(row.id, row);
    return this.secretIsCurrent;
  }
  find(id: string): RefreshRow | undefined {
    return this.rows.get(id);
  }
  async rotate(
    id: string,
    next: { nextId: string; expiresAt: number; graceUntil: number; now: number },
  ): Promise<RefreshRow | undefined> {
    const row = this.rows.get(id);
    if (!row || row.expiresAt <= next.now) return undefined;
    if (row.nextId === undefined) {
      const { nextId, expiresAt } = next;
      this.rows.set(id, { ...row, nextId, graceUntil: next.graceUntil });
      this.rows.set(nextId, { ...row, id: nextId, expiresAt });
      return this.rows.get(nextId);
    }
    if (next.now > (row.graceUntil ?? 0)) {
      await this.removeFamily(row.familyId);
      return undefined;
    }
    return this.rows.get(row.nextId);
  }
  async removeFamily(familyId: string): Promise<void> {
    for (const [id, row] of this.rows) if (row.familyId === familyId) this.rows.delete(id);
  }
}

/** The contract of the store of app passwords, without its sessions. */
export class FakeAppPasswords implements AppPasswordRows {
  readonly rows: Parameters<AppPasswordRows["create"]>[0][] = [];

  async create(row: Parameters<AppPasswordRows["create"]>[0]): Promise<void> {
    const known = this.list(row.did);
    if (known.length >= row.accountMax || known.some(({ name }) => name === row.name)) {
      throw new KithError("invalid_request", "there is one of this name");
    }
    this.rows.push(row);
  }
  list(did: string): Parameters<AppPasswordRows["create"]>[0][] {
    return this.rows.filter((row) => row.did === did);
  }
  find(did: string, passwordHash: string): AppPassword | undefined {
    return this.list(did).find((row) => row.passwordHash === passwordHash);
  }
  async remove(did: string, name: string): Promise<void> {
    const at = this.rows.findIndex((row) => row.did === did && row.name === name);
    if (at >= 0) this.rows.splice(at, 1);
  }
}

/** The contract of the store of e-mail tokens. */
export class FakeEmailTokens implements EmailTokenRows {
  readonly rows = new Map<string, Parameters<EmailTokenRows["put"]>[0]>();

  async put(row: Parameters<EmailTokenRows["put"]>[0]): Promise<void> {
    this.rows.set(`${row.did} ${row.purpose}`, row);
  }
  byHash(purpose: string, tokenHash: string): { did: string } | undefined {
    return [...this.rows.values()].find((row) => row.purpose === purpose && row.tokenHash === tokenHash);
  }
  check(did: string, { purpose, tokenHash, now }: TokenProof): void {
    const row = this.rows.get(`${did} ${purpose}`);
    if (row?.tokenHash !== tokenHash) throw new KithError("invalid_token", "Token is invalid");
    if (row.expiresAt <= now) throw new KithError("expired_token", "Token is expired");
  }
  async take(did: string, proof: TokenProof): Promise<void> {
    this.check(did, proof);
    this.rows.delete(`${did} ${proof.purpose}`);
  }
}

/** A PLC directory that answers as told: it accepts, refuses, is silent, or loses only the answer. */
export class FakePlc implements PlcClient {
  readonly operations = new Map<string, unknown>();
  mood: "accepts" | "refuses" | "silent" | "loses the answer" | "silent after refusing" = "accepts";
  readonly journal: string[];
  asked = 0;

  constructor(journal: string[] = []) {
    this.journal = journal;
  }

  async submit(did: string, operation: unknown): Promise<void> {
    this.journal.push("plc");
    if (this.mood.endsWith("refusing") || this.mood === "refuses") {
      throw new PlcRefusedError(did, { status: 400, reason: "Invalid Signature on op" });
    }
    if (this.mood !== "silent") this.operations.set(did, operation);
    if (this.mood !== "accepts") throw new KithError("upstream_failure", "connection reset");
  }
  async data(did: string): Promise<PlcData> {
    this.asked += 1;
    if (this.mood.startsWith("silent")) throw new KithError("timeout", "no answer");
    if (!this.operations.has(did)) throw new KithError("did_not_found", "not registered");
    return { did, rotationKeys: [], verificationMethods: {}, alsoKnownAs: [], services: {} };
  }
}

/** Repos that are there or not; `failure` is thrown by createRepo while set. */
export class FakeRepos implements RepoBirths {
  readonly dids = new Set<string>();
  failure: Error | undefined;
  readonly journal: string[];

  constructor(journal: string[] = []) {
    this.journal = journal;
  }

  async createRepo(did: string): Promise<void> {
    this.journal.push("repo");
    if (this.failure) throw this.failure;
    this.dids.add(did);
  }
  hasRepo(did: string): boolean {
    return this.dids.has(did);
  }
}
