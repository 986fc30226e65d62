/** A stock PDS, by the calls that any of them answers. https://github.com/bluesky-social/atproto/tree/main/packages/pds */

import { randomBytes } from "node:crypto";
import type { ZodType } from "zod";
import { HandleRules, isEmailAddress } from "../../accounts/mod.ts";
import { type DidDocument, isReservedHandle, normalizeHandle } from "../../atproto/mod.ts";
import { isKithError, KithError } from "../../errors.ts";
import { type HostError, isHostError, type XrpcHost } from "../../identity/mod.ts";
import * as answers from "./_stock_answers.ts";
import { read } from "./_stock_answers.ts";
import { type EndpointRules, normalizeEndpoint } from "./endpoint.ts";
import type {
  AccountAccess,
  HostClient,
  HostDescription,
  HostKind,
  HostSession,
  NewHostAccount,
  RecommendedCredentials,
} from "./host.ts";

export interface StockHostOptions extends EndpointRules {
  readonly kind: Exclude<HostKind, "native">;
  readonly host: XrpcHost;
  /** Of DIDs that are no did:web of the host itself. */
  readonly dids: { resolve(did: string, options: { fresh: boolean }): Promise<DidDocument> };
  /** This server's own, where it is the host. */
  readonly serviceDid?: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const SERVER = "com.atproto.server";
/** Nobody has found what hashes to 24 times the first letter. */
const NOBODY = `did:plc:${"a".repeat(24)}`;
const REHEARSAL_PASSWORD_BYTES = 32;

/** Every sign-in with the account's password is ended at once: nothing of it is kept. */
export class StockHost implements HostClient {
  readonly kind: HostKind;
  readonly endpoint: string;
  readonly #options: StockHostOptions;

  constructor(options: StockHostOptions) {
    this.kind = options.kind;
    this.endpoint = options.host.url;
    this.#options = options;
  }

  async describe(): Promise<HostDescription> {
    const nsid = `${SERVER}.describeServer`;
    const answer = this.#read(nsid, answers.description, await this.#options.host.json(nsid));
    const { did, availableUserDomains, inviteCodeRequired, phoneVerificationRequired } = answer;
    await this.#checkOwn(did);
    return {
      did,
      domains: availableUserDomains.map((domain) => `.${domain.toLowerCase().replace(/^\./, "")}`),
      inviteRequired: inviteCodeRequired,
      phoneRequired: phoneVerificationRequired,
      ...(this.kind === "loopback" ? { publicUrl: this.endpoint } : {}),
    };
  }

  async preflight(wanted: { handle: string; email?: string; inviteCode?: string }): Promise<void> {
    const handle = normalizeHandle(wanted.handle);
    const email = wanted.email ?? "";
    if (email === "") throw this.#refusal("invalid_email", "an account there needs an e-mail address");
    if (!isEmailAddress(email))
      throw this.#refusal("invalid_email", `"${email.slice(0, 254)}" is no e-mail address`);
    const { domains, inviteRequired, phoneRequired } = await this.describe();
    if (phoneRequired)
      throw this.#refusal("invalid_request", "it asks for a phone number, which only a person can confirm");
    if (inviteRequired && !wanted.inviteCode)
      throw this.#refusal("invalid_invite_code", "it asks for an invite code");
    const isFree = await this.#isAvailable(handle, { email, domains });
    // Where the host does not say that it is free, the rules of the reference say best why not.
    if (isFree !== true) new HandleRules(domains).check(handle, "open");
    if (isFree === false || (await this.#isTaken(handle)))
      throw this.#refusal("handle_not_available", `the handle "${handle}" is not available`);
    await this.#rehearse({ handle, email, inviteCode: wanted.inviteCode });
  }

  /**
   * Asks for an account of a DID that nobody has, without the proof that it would need: a host that looks at everything else
   * first, as the reference does, says so what it would refuse. That the proof is missing is the good answer.
   */
  async #rehearse({
    handle,
    email,
    inviteCode,
  }: {
    handle: string;
    email: string;
    inviteCode: string | undefined;
  }): Promise<void> {
    const password = randomBytes(REHEARSAL_PASSWORD_BYTES).toString("base64url");
    const input = { did: NOBODY, handle, email, password, ...(inviteCode ? { inviteCode } : {}) };
    try {
      await this.#options.host.json(`${SERVER}.createAccount`, { input });
    } catch (error) {
      if (isKithError(error, "rate_limited")) throw error;
      if (!isHostError(error) || error.status !== 400) return;
      const code = codeOfRefusal(error);
      if (code !== undefined) throw this.#refusal(code, error.reason || error.error);
    }
  }

  async createAccount(account: NewHostAccount): Promise<void> {
    const nsid = `${SERVER}.createAccount`;
    const { did, handle, email, password, inviteCode, serviceToken: token } = account;
    const input = { did, handle, email, password, ...(inviteCode ? { inviteCode } : {}) };
    const answer = await this.#options.host.json(nsid, { input, ...(token === undefined ? {} : { token }) });
    await this.endSession(this.#sessionOf(nsid, { did, answer }));
  }

  async hasAccount({ did, password }: AccountAccess): Promise<"none" | "inactive" | "active" | "foreign"> {
    const isActive = await this.#isActive(did);
    if (isActive === undefined) return "none";
    if (password === undefined) return isActive ? "active" : "inactive";
    try {
      return await this.#signedIn({ did, password }, async ({ active }) => (active ? "active" : "inactive"));
    } catch (error) {
      if (isWrongPassword(error)) return "foreign";
      throw error;
    }
  }

  async recommended(account: AccountAccess): Promise<RecommendedCredentials> {
    const nsid = "com.atproto.identity.getRecommendedDidCredentials";
    return await this.#signedIn(account, async ({ accessJwt: token }) => {
      const answer = this.#read(nsid, answers.credentials, await this.#options.host.json(nsid, { token }));
      return answer as RecommendedCredentials;
    });
  }

  async activate(account: AccountAccess): Promise<void> {
    const nsid = `${SERVER}.activateAccount`;
    await this.#signedIn(account, ({ accessJwt: token }) =>
      this.#options.host.json(nsid, { input: null, token, isRepeatable: true }),
    );
  }

  async createAppPassword({ name, ...account }: AccountAccess & { name: string }): Promise<string> {
    return await this.#signedIn(account, async ({ accessJwt: token }) => {
      const { host } = this.#options;
      const listing = `${SERVER}.listAppPasswords`;
      const { passwords } = this.#read(listing, answers.appPasswords, await host.json(listing, { token }));
      // Its password was lost on the way to us.
      if (passwords.some((known) => known.name === name)) {
        await host.json(`${SERVER}.revokeAppPassword`, { input: { name }, token, isRepeatable: true });
      }
      const nsid = `${SERVER}.createAppPassword`;
      const answer = await host.json(nsid, { input: { name, privileged: false }, token });
      return this.#read(nsid, answers.appPassword, answer).password;
    });
  }

  async createSession({
    identifier,
    password,
  }: {
    identifier: string;
    password: string;
  }): Promise<HostSession> {
    const nsid = `${SERVER}.createSession`;
    const answer = await this.#options.host.json(nsid, {
      input: { identifier, password },
      isRepeatable: true,
    });
    return this.#sessionOf(nsid, { did: identifier.startsWith("did:") ? identifier : undefined, answer });
  }

  async removeHalfMade({ did, password }: AccountAccess): Promise<string> {
    const account = { did, password };
    const state = await this.hasAccount(account);
    if (state === "none") return `there is no account at "${this.endpoint}"`;
    if (password === undefined || state === "foreign")
      return `the account at "${this.endpoint}" stays as it is: its password is not ours`;
    const nsid = `${SERVER}.deactivateAccount`;
    const deleteAfter = new Date(this.#options.now()).toISOString();
    await this.#signedIn(account, ({ accessJwt: token }) =>
      this.#options.host.json(nsid, { input: { deleteAfter }, token, isRepeatable: true }),
    );
    return `the account at "${this.endpoint}" is deactivated, and may be deleted there from now on`;
  }

  /** A token for the host is one for whomever its DID names: so the DID has to be the host's. */
  async #checkOwn(did: string): Promise<void> {
    const { serviceDid, dids } = this.#options;
    if (did === serviceDid || did.toLowerCase() === didWebOf(this.endpoint)) return;
    const refuse = (why: string) =>
      new KithError("upstream_failure", `"${this.endpoint}" says that it is "${did}", ${why}`);
    const document = await dids.resolve(did, { fresh: true }).catch((cause: unknown) => {
      if (isKithError(cause, "timeout")) throw cause;
      if (isKithError(cause)) throw refuse("which does not resolve");
      throw cause;
    });
    if (!this.#isNamedIn(document)) throw refuse("whose document does not name it");
  }

  #isNamedIn({ service }: DidDocument): boolean {
    const entries = Array.isArray(service) ? service.slice(0, 20) : [];
    return entries.some((entry: { serviceEndpoint?: unknown } | null) => {
      const named = entry?.serviceEndpoint;
      if (typeof named !== "string") return false;
      try {
        return normalizeEndpoint(named, this.#options) === this.endpoint;
      } catch {
        return false;
      }
    });
  }

  /** By the host's own word; undefined where it has no such method. Only its own handles can be had before there is a DID. */
  async #isAvailable(
    handle: string,
    { email, domains }: { email: string; domains: readonly string[] },
  ): Promise<boolean | undefined> {
    if (!domains.some((domain) => handle.endsWith(domain))) {
      const ends = domains.length === 0 ? "it gives none" : `its handles end with ${domains.join(", ")}`;
      const why = `the handle "${handle}" is not one of its own: ${ends}`;
      throw this.#refusal("unsupported_domain", why.slice(0, 600));
    }
    if (isReservedHandle(handle, { allowTest: this.#options.devMode }))
      throw this.#refusal("invalid_handle", `the top-level domain of "${handle}" is reserved`);
    const nsid = "com.atproto.temp.checkHandleAvailability";
    try {
      const answer = await this.#options.host.json(nsid, { params: { handle, email } });
      const { result } = this.#read(nsid, answers.availability, answer);
      return result.$type === `${nsid}#resultAvailable`;
    } catch (error) {
      if (isHostError(error, "InvalidEmail"))
        throw this.#refusal("invalid_email", error.reason || "it does not take the e-mail address");
      if (isSettled(error)) return undefined;
      throw error;
    }
  }

  async #isTaken(handle: string): Promise<boolean> {
    const nsid = "com.atproto.identity.resolveHandle";
    try {
      this.#read(nsid, answers.resolved, await this.#options.host.json(nsid, { params: { handle } }));
      return true;
    } catch (error) {
      if (isSettled(error)) return false;
      throw error;
    }
  }

  /** Undefined where there is no account. */
  async #isActive(did: string): Promise<boolean | undefined> {
    const nsid = "com.atproto.sync.getRepoStatus";
    try {
      const answer = await this.#options.host.json(nsid, { params: { did } });
      const { did: answered, active, status } = this.#read(nsid, answers.repoStatus, answer);
      if (answered !== did) throw this.#wrongDid(nsid, { did, answered });
      // A server may remember whom it has deleted.
      return status === "deleted" ? undefined : active;
    } catch (error) {
      if (isHostError(error, "RepoNotFound", "AccountNotFound", "NotFound")) return undefined;
      if (isHostError(error, "RepoDeactivated", "RepoTakendown", "RepoSuspended")) return false;
      throw error;
    }
  }

  async #signedIn<T>(
    { did, password }: AccountAccess,
    work: (session: HostSession) => Promise<T>,
  ): Promise<T> {
    if (password === undefined) throw this.#refusal("auth_required", `the password of "${did}" is not known`);
    const session = await this.createSession({ identifier: did, password });
    try {
      return await work(session);
    } finally {
      await this.endSession(session);
    }
  }

  async endSession({ refreshJwt: token }: HostSession): Promise<void> {
    try {
      await this.#options.host.json(`${SERVER}.deleteSession`, { input: null, token });
    } catch (error) {
      if (!isKithError(error)) throw error;
    }
  }

  #sessionOf(nsid: string, { did, answer }: { did: string | undefined; answer: unknown }): HostSession {
    const { handle, active, status, ...session } = this.#read(nsid, answers.session, answer);
    if (did !== undefined && session.did !== did) throw this.#wrongDid(nsid, { did, answered: session.did });
    return {
      ...session,
      ...(handle === undefined ? {} : { handle }),
      active: active ?? status === undefined,
    };
  }

  #wrongDid(nsid: string, { did, answered }: { did: string; answered: string }): KithError {
    const message = `"${this.endpoint}" answered ${nsid} for "${answered.slice(0, 200)}", not for "${did}"`;
    return new KithError("upstream_failure", message, { hint: "Do not go on with this server." });
  }

  #refusal(code: KithError["code"], why: string): KithError {
    return new KithError(code, `Could not make an account at "${this.endpoint}": ${why}`);
  }

  #read<T>(nsid: string, schema: ZodType<T>, answer: unknown): T {
    return read(answer, { url: this.endpoint, nsid, schema });
  }
}

/** The did:web of an origin. */
export function didWebOf(origin: string): string {
  return `did:web:${new URL(origin).host.replace(":", "%3a")}`.toLowerCase();
}

/** What a host would refuse; the reference says of most things InvalidRequest. Undefined where it is not about what was asked for. */
function codeOfRefusal({ error, reason }: HostError): KithError["code"] | undefined {
  switch (error) {
    case "InvalidHandle":
      return "invalid_handle";
    case "HandleNotAvailable":
      return "handle_not_available";
    case "UnsupportedDomain":
      return "unsupported_domain";
    case "InvalidInviteCode":
      return "invalid_invite_code";
    case "InvalidEmail":
      return "invalid_email";
    case "InvalidRequest":
      if (/e-?mail/i.test(reason)) return "invalid_email";
      return /handle/i.test(reason) ? "handle_not_available" : undefined;
    default:
      return undefined;
  }
}

/** An answer that says no, or that there is no such method: asking again would not change it. */
function isSettled(error: unknown): error is HostError {
  return isHostError(error) && (error.status < 500 || error.status === 501) && error.status !== 429;
}

function isWrongPassword(error: unknown): boolean {
  return isHostError(error) && error.status === 401 && !/takedown|suspend|factor/i.test(error.error);
}
