/** Whether a community can still be acted for: asked of the PLC directory and of its account's server, now. */
import { type DidDocument, pdsEndpointOf } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PlcDirectory } from "../identity/mod.ts";
import type { Community, CommunityStore } from "../storage/mod.ts";
import type { HostFor } from "./hosts/host.ts";
import { ConsentEnded } from "./oauth/oauth_sessions.ts";
import { ownHandleOf } from "./own_handle.ts";
import { stockOf } from "./publisher.ts";
import { AppPasswordRefused, type StockCommunity } from "./sessions.ts";

export type HealthStatus =
  | "healthy"
  | "expired"
  | "unreachable"
  | "moved"
  | "deactivated"
  | "takendown"
  | "gone";

export interface HealthCheck {
  readonly name: "identity" | "rotationKeys" | "account" | "credentials";
  readonly ok: boolean;
  /** What is wrong, and what to do. */
  readonly message?: string;
}

export interface Health {
  readonly status: HealthStatus;
  readonly handle: string | undefined;
  readonly checks: readonly HealthCheck[];
}

export interface HealthsOptions {
  readonly communities: Pick<CommunityStore, "setHandle">;
  readonly plc: Pick<PlcDirectory, "data">;
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  readonly hostFor: HostFor;
  /** Of a handle. Throws KithError handle_not_found, timeout, upstream_failure. */
  didOf(handle: string): Promise<string>;
  /** Whether its server still lets us in. Throws AppPasswordRefused or ConsentEnded where it does not. */
  checkSession(community: StockCommunity): Promise<unknown>;
  readonly allowHttp: boolean;
}

/** A check, and what it says about the whole where it fails. */
type Judged = HealthCheck & { readonly status?: HealthStatus };

export class Healths {
  readonly #options: HealthsOptions;

  constructor(options: HealthsOptions) {
    this.#options = options;
  }

  /** Never rejects for what the world outside does: that is what it tells. */
  async of(community: Community): Promise<Health> {
    const [identity, handle] = await this.#identity(community);
    const checks: Judged[] = [identity];
    if (community.did.startsWith("did:plc:") && community.rotationKey !== null)
      checks.push(await this.#rotationKeys(community));
    if (community.kind !== null && identity.ok) checks.push(await this.#account(community));
    const isThere = checks.every(({ status }) => status === undefined);
    const stock = community.kind === null ? undefined : stockOf(community);
    if (isThere && stock) checks.push(await this.#credentials(stock));
    if (handle !== undefined && handle !== community.handle)
      await this.#options.communities.setHandle(community.did, handle);
    return {
      status: checks.find(({ status }) => status !== undefined)?.status ?? "healthy",
      handle,
      checks: checks.map(({ status: _, ...check }) => check),
    };
  }

  async #identity({ did, kind, pdsEndpoint }: Community): Promise<[Judged, string | undefined]> {
    const name = "identity";
    const { didOf, allowHttp: devMode } = this.#options;
    try {
      const document = await this.#options.dids.resolve(did, { fresh: true });
      const handle = await ownHandleOf(document, { did, didOf, devMode });
      const endpoint = pdsEndpointOf(document, { allowHttp: this.#options.allowHttp });
      if (kind === null || sameOrigin(endpoint, pdsEndpoint)) return [{ name, ok: true }, handle];
      const where = endpoint === undefined ? "no server" : `"${endpoint}"`;
      const message = `The DID names ${where} now, and not "${pdsEndpoint}": the account has moved away. An owner can delete the community here, and adopt the account anew`;
      return [{ name, ok: false, message, status: "moved" }, handle];
    } catch (error) {
      return [{ name, ...failed(error, "The DID could not be resolved") }, undefined];
    }
  }

  async #rotationKeys({ did, rotationKey }: Community): Promise<Judged> {
    const name = "rotationKeys";
    try {
      const { rotationKeys } = await this.#options.plc.data(did);
      if (rotationKeys[0] === rotationKey) return { name, ok: true };
      const message = `The DID's first rotation key is "${rotationKeys[0]}" and not the owner's "${rotationKey}"`;
      return { name, ok: false, message };
    } catch (error) {
      return { name, ...failed(error, "The PLC directory could not be asked") };
    }
  }

  async #account({ did, kind, pdsEndpoint }: Community): Promise<Judged> {
    const name = "account";
    try {
      const host = this.#options.hostFor(kind ?? "native", pdsEndpoint ?? "");
      const state = await host.hasAccount({ did });
      if (state === "none") {
        return { name, ok: false, message: `There is no account at "${host.endpoint}"`, status: "gone" };
      }
      if (state !== "inactive") return { name, ok: true };
      const message = `The account at "${host.endpoint}" is not active`;
      return { name, ok: false, message, status: "deactivated" };
    } catch (error) {
      return { name, ...failed(error, `"${pdsEndpoint}" could not be asked`) };
    }
  }

  async #credentials(community: StockCommunity): Promise<Judged> {
    const name = "credentials";
    try {
      await this.#options.checkSession(community);
      return { name, ok: true };
    } catch (error) {
      const isConsent = error instanceof ConsentEnded;
      if (!isConsent && !(error instanceof AppPasswordRefused))
        return { name, ...failed(error, `"${community.pdsEndpoint}" could not be asked`) };
      // What has ended is forgotten: an account that let us in by a consent has neither then.
      const isPassword = error instanceof AppPasswordRefused && error.cause !== undefined;
      const what = isPassword ? "The app password is not taken any more" : "The consent has ended";
      const message = `${what}: an owner has to give another app password, or ask for a consent (reauth)`;
      return { name, ok: false, message, status: "expired" };
    }
  }
}

function failed(error: unknown, action: string): Omit<Judged, "name"> {
  if (!(error instanceof KithError)) throw error;
  const isGone = error.code === "did_not_found" || error.code === "did_deactivated";
  return { ok: false, message: `${action}: ${error.message}`, status: isGone ? "gone" : "unreachable" };
}

function sameOrigin(a: string | undefined, b: string | null): boolean {
  if (a === undefined || b === null) return false;
  return URL.parse(a)?.origin === URL.parse(b)?.origin;
}
