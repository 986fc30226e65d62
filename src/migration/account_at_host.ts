/** An account at a server, signed in to: the calls of `SourceHost` and `TargetHost`, each answer checked, tokens renewed. */
import { z } from "zod";
import { KithError } from "../errors.ts";
import { type HostCall, isHostError, type Upload, XrpcHost } from "../identity/mod.ts";
import type {
  AccountFigures,
  Credentials,
  HostSurroundings,
  RecommendedCredentials,
  ServerDescription,
  SignedIn,
  SourceHost,
  TargetHost,
} from "./hosts.ts";
import type { Tokens } from "./move.ts";

/** A token that ends so soon is renewed before it is used: an upload cannot be taken back half-way. */
const RENEW_BEFORE_MS = 60_000;
/** Blobs up to this size are sent from memory, with their length, as some servers want it. */
const BLOB_BYTES_IN_MEMORY_MAX = 8 * 1024 * 1024;
const CURSOR_PAGE = 500;
const CAR_TYPE = "application/vnd.ipld.car";

const signedIn = z.object({
  did: z.string(),
  email: z.string().optional(),
  accessJwt: z.string(),
  refreshJwt: z.string(),
});
const description = z.object({
  did: z.string(),
  availableUserDomains: z.array(z.string()).default([]),
  inviteCodeRequired: z.boolean().default(false),
  phoneVerificationRequired: z.boolean().default(false),
});
const figures = z.object({
  activated: z.boolean(),
  validDid: z.boolean(),
  repoRev: z.string(),
  repoBlocks: z.number(),
  indexedRecords: z.number(),
  expectedBlobs: z.number(),
  importedBlobs: z.number(),
});
const credentials = z.object({
  rotationKeys: z.array(z.string()).optional(),
  recoveryKey: z.string().optional(),
  alsoKnownAs: z.array(z.string()).optional(),
  verificationMethods: z.record(z.string(), z.string()).optional(),
  services: z.record(z.string(), z.object({ type: z.string(), endpoint: z.string() })).optional(),
});
const missing = z.object({
  cursor: z.string().optional(),
  blobs: z.array(z.object({ cid: z.string(), recordUri: z.string() })),
});
const uploaded = z.object({ blob: z.object({ ref: z.object({ $link: z.string() }) }) });
const preferences = z.object({ preferences: z.array(z.unknown()) });

export interface AccountAtHostOptions extends HostSurroundings {
  /** Where the account is; every call but those of sessions goes there. */
  readonly url: string;
  /** Where one signs in: another host where the server stands behind an entryway. */
  readonly signInUrl: string;
  readonly tokens: Tokens | undefined;
  /** New tokens, which are to be kept; undefined once they are of no use. */
  readonly onTokens: (tokens: Tokens | undefined) => void;
  /** Signs in anew by asking the person, where the session has ended. */
  readonly onSessionLost: () => Promise<unknown>;
}

export class AccountAtHost implements SourceHost, TargetHost {
  readonly url: string;
  readonly #host: XrpcHost;
  readonly #signInHost: XrpcHost;
  readonly #options: AccountAtHostOptions;
  #tokens: Tokens | undefined;
  #renewal: Promise<void> | undefined;

  constructor(options: AccountAtHostOptions) {
    const { url, signInUrl } = options;
    this.url = url;
    this.#options = options;
    this.#host = new XrpcHost({ ...options, url });
    this.#signInHost = signInUrl === url ? this.#host : new XrpcHost({ ...options, url: signInUrl });
    this.#tokens = options.tokens;
  }

  get isSignedIn(): boolean {
    return this.#tokens !== undefined;
  }

  async signIn({ did, password, factorCode }: { did: string; password: string; factorCode?: string }) {
    const input = { identifier: did, password, ...(factorCode ? { authFactorToken: factorCode } : {}) };
    const nsid = "com.atproto.server.createSession";
    return this.#opened(nsid, { did, answer: await this.#signInHost.json(nsid, { input }) });
  }

  async signOut(): Promise<void> {
    const token = this.#tokens?.refreshJwt;
    this.#keep(undefined);
    if (token) await this.#signInHost.json("com.atproto.server.deleteSession", { input: null, token });
  }

  async describe(): Promise<ServerDescription> {
    const nsid = "com.atproto.server.describeServer";
    const answer = this.#read(nsid, description, await this.#host.json(nsid));
    return {
      did: answer.did,
      domains: answer.availableUserDomains,
      inviteRequired: answer.inviteCodeRequired,
      phoneRequired: answer.phoneVerificationRequired,
    };
  }

  async figures(): Promise<AccountFigures> {
    const nsid = "com.atproto.server.checkAccountStatus";
    return this.#read(nsid, figures, await this.#json(nsid));
  }

  async recommended(): Promise<RecommendedCredentials> {
    const nsid = "com.atproto.identity.getRecommendedDidCredentials";
    return this.#read(nsid, credentials, await this.#json(nsid)) as RecommendedCredentials;
  }

  async preferences(): Promise<readonly unknown[] | undefined> {
    const nsid = "app.bsky.actor.getPreferences";
    try {
      return this.#read(nsid, preferences, await this.#json(nsid)).preferences;
    } catch (error) {
      // A server without an AppView keeps none, and has many ways to say so.
      if (
        isHostError(error) &&
        ([404, 501].includes(error.status) || /no service configured/i.test(error.reason))
      )
        return undefined;
      throw error;
    }
  }

  async serviceToken(params: { aud: string; lxm: string }): Promise<string> {
    const nsid = "com.atproto.server.getServiceAuth";
    return this.#read(nsid, z.object({ token: z.string() }), await this.#json(nsid, { params })).token;
  }

  async repo(did: string): Promise<ReadableStream<Uint8Array>> {
    const { body } = await this.#authed((token) =>
      this.#host.bytes("com.atproto.sync.getRepo", { params: { did }, token }),
    );
    if (body === null) throw new KithError("upstream_failure", `"${this.url}" answered getRepo with nothing`);
    return body;
  }

  async blob(did: string, cid: string): Promise<Upload> {
    const { body, headers } = await this.#authed((token) =>
      this.#host.bytes("com.atproto.sync.getBlob", { params: { did, cid }, token }),
    );
    const type = headers.get("content-type") ?? "application/octet-stream";
    const length = Number(headers.get("content-length") ?? Number.NaN);
    if (body === null) return { type, body: new Uint8Array() };
    if (!(length <= BLOB_BYTES_IN_MEMORY_MAX))
      return { type, body, ...(Number.isSafeInteger(length) ? { bytes: length } : {}) };
    return { type, body: new Uint8Array(await new Response(body).arrayBuffer()) };
  }

  async requestCode(): Promise<void> {
    await this.#json("com.atproto.identity.requestPlcOperationSignature", { input: null });
  }

  async sign(input: Required<Credentials> & { token: string }): Promise<unknown> {
    const nsid = "com.atproto.identity.signPlcOperation";
    const answer = await this.#json(nsid, { input }, { renews: false });
    return this.#read(nsid, z.object({ operation: z.unknown() }), answer).operation;
  }

  async deactivate(): Promise<void> {
    await this.#json("com.atproto.server.deactivateAccount", { input: {}, isRepeatable: true });
  }

  async hasAccount(did: string): Promise<boolean> {
    try {
      const answer = await this.#host.json("com.atproto.sync.getRepoStatus", { params: { did } });
      // A server may remember whom it has deleted.
      return (answer as { status?: unknown } | null)?.status !== "deleted";
    } catch (error) {
      if (isHostError(error) && error.status < 500) return false;
      throw error;
    }
  }

  async createAccount(given: Parameters<TargetHost["createAccount"]>[0]): Promise<SignedIn> {
    const nsid = "com.atproto.server.createAccount";
    const { serviceToken: token, ...input } = given;
    return this.#opened(nsid, { did: given.did, answer: await this.#host.json(nsid, { input, token }) });
  }

  async importRepo(upload: () => Promise<Upload>): Promise<void> {
    const typed = async () => ({ ...(await upload()), type: CAR_TYPE });
    await this.#json("com.atproto.repo.importRepo", { upload: typed, isRepeatable: true });
  }

  async missingBlobs(cursor?: string) {
    const nsid = "com.atproto.repo.listMissingBlobs";
    return this.#read(nsid, missing, await this.#json(nsid, { params: { limit: CURSOR_PAGE, cursor } }));
  }

  async uploadBlob(upload: () => Promise<Upload>): Promise<string> {
    const nsid = "com.atproto.repo.uploadBlob";
    return this.#read(nsid, uploaded, await this.#json(nsid, { upload, isRepeatable: true })).blob.ref.$link;
  }

  async putPreferences(preferences: readonly unknown[]): Promise<void> {
    await this.#json("app.bsky.actor.putPreferences", { input: { preferences }, isRepeatable: true });
  }

  async submit(operation: unknown): Promise<void> {
    await this.#json("com.atproto.identity.submitPlcOperation", { input: { operation } });
  }

  async activate(): Promise<void> {
    await this.#json("com.atproto.server.activateAccount", { input: null, isRepeatable: true });
  }

  async endAt(at: Date): Promise<void> {
    const input = { deleteAfter: at.toISOString() };
    await this.#json("com.atproto.server.deactivateAccount", { input, isRepeatable: true });
  }

  async requestDelete(): Promise<void> {
    await this.#json("com.atproto.server.requestAccountDelete", { input: null });
  }

  async delete(input: { did: string; password: string; token: string }): Promise<void> {
    await this.#host.json("com.atproto.server.deleteAccount", { input });
  }

  #opened(nsid: string, { did, answer }: { did: string; answer: unknown }): SignedIn {
    const { did: answered, email, accessJwt, refreshJwt } = this.#read(nsid, signedIn, answer);
    if (answered !== did) {
      const message = `"${this.url}" answered ${nsid} for "${answered}", not for "${did}"`;
      throw new KithError("upstream_failure", message, { hint: "Do not go on with this server." });
    }
    const tokens = { accessJwt, refreshJwt };
    this.#keep(tokens);
    return { did, email, tokens };
  }

  #read<T>(nsid: string, schema: z.ZodType<T>, answer: unknown): T {
    const { data, error } = schema.safeParse(answer);
    if (error === undefined) return data;
    const where = error.issues.map(({ path }) => path.join(".") || "the answer").join(", ");
    throw new KithError("upstream_failure", `"${this.url}" answered ${nsid} wrongly: ${where}`);
  }

  #json(nsid: string, call: Omit<HostCall, "token"> = {}, options = { renews: true }): Promise<unknown> {
    return this.#authed((token) => this.#host.json(nsid, { ...call, token }), options);
  }

  /** `renews` is false where ExpiredToken may be said of another token than the session's. */
  async #authed<T>(call: (token: string) => Promise<T>, { renews } = { renews: true }): Promise<T> {
    if (this.#tokens === undefined || this.#endsSoon(this.#tokens.accessJwt)) await this.#renew();
    try {
      return await call(this.#accessToken());
    } catch (error) {
      if (!renews || !isHostError(error, "ExpiredToken")) throw error;
      await this.#renew();
      return await call(this.#accessToken());
    }
  }

  #accessToken(): string {
    const token = this.#tokens?.accessJwt;
    if (token === undefined) throw new KithError("auth_missing", `Not signed in at "${this.url}"`);
    return token;
  }

  /** Many calls may wait for the same renewal. */
  async #renew(): Promise<void> {
    this.#renewal ??= this.#renewNow().finally(() => {
      this.#renewal = undefined;
    });
    await this.#renewal;
  }

  async #renewNow(): Promise<void> {
    const token = this.#tokens?.refreshJwt;
    if (token !== undefined) {
      const nsid = "com.atproto.server.refreshSession";
      try {
        const answer = await this.#signInHost.json(nsid, { input: null, token, isRepeatable: true });
        const { accessJwt, refreshJwt } = this.#read(nsid, signedIn.omit({ email: true }), answer);
        return this.#keep({ accessJwt, refreshJwt });
      } catch (error) {
        if (!isHostError(error) || error.status >= 500) throw error;
        this.#keep(undefined);
      }
    }
    await this.#options.onSessionLost();
  }

  #keep(tokens: Tokens | undefined): void {
    this.#tokens = tokens;
    this.#options.onTokens(tokens);
  }

  #endsSoon(jwt: string): boolean {
    try {
      const { exp } = JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString()) as {
        exp?: unknown;
      };
      return typeof exp === "number" && exp * 1_000 - this.#options.now() < RENEW_BEFORE_MS;
    } catch {
      // It need not be a JWT that we can read.
      return false;
    }
  }
}
