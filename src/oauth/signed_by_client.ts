/** JWTs that a client signs with a key of its own: assertions of who it is, and request objects. */
import { calculateJwkThumbprint, type JWK, type JWTPayload } from "jose";
import { hashSecret, importJwsKey } from "../auth/mod.ts";
import type { Client } from "./client_metadata.ts";
import type { Clients } from "./clients.ts";
import { CLIENT_ALGORITHMS } from "./metadata.ts";
import { OAuthError, type OAuthErrorCode } from "./oauth_error.ts";

/** Older ones are refused, whatever they say of their end. */
export const JWT_AGE_MAX_S = 5 * 60;
/** How far a client's clock may be off. */
export const JWT_SKEW_S = 30;
const JTI_CHARS_MAX = 256;
const KID_CHARS_MAX = 256;
const JWT_CHARS_MAX = 48 * 1024;

/** The key that a client has signed with. */
export interface ClientKey {
  readonly kid: string;
  readonly alg: string;
  readonly jkt: string;
}

export interface ClientJwtsOptions {
  readonly clients: Pick<Clients, "key">;
  /** Remembers what may be used once. */
  readonly used: { useOnce(hash: string, options: { until: number; now: number }): Promise<boolean> };
  readonly issuer: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** What is verified, and how it is refused. */
interface Purpose {
  readonly name: string;
  readonly error: OAuthErrorCode;
  /** Allowed values of `typ`; undefined allows none to be there. */
  readonly types: readonly (string | undefined)[];
}

export const ASSERTION: Purpose = {
  name: "client_assertion",
  error: "invalid_client",
  types: [undefined, "JWT", "client-authentication+jwt"],
};
export const REQUEST_OBJECT: Purpose = {
  name: "request",
  error: "invalid_request_object",
  types: [undefined, "JWT", "oauth-authz-req+jwt"],
};

export class ClientJwts {
  readonly #options: ClientJwtsOptions;

  constructor(options: ClientJwtsOptions) {
    this.#options = options;
  }

  /** The claims of a JWT for us, fresh, used for the first time. Throws OAuthError with the purpose's code. */
  async verify(
    client: Client,
    jwt: string,
    purpose: Purpose,
  ): Promise<{ claims: JWTPayload; key: ClientKey }> {
    const refuse = (why: string, cause?: unknown) =>
      new OAuthError(purpose.error, `Could not accept the ${purpose.name}: ${why}`, { cause });
    const { kid, alg } = headOf(jwt, { client, purpose, refuse });
    const jwk = await this.#options.clients.key(client, kid);
    if (!jwk) throw refuse(`the client has no key "${kid}"`);
    if (jwk.alg !== undefined && jwk.alg !== alg) throw refuse(`its key is for "${jwk.alg}", not "${alg}"`);
    const claims = await claimsOf(jwt, { jwk: jwk as JWK, alg, refuse });
    await this.#check(claims, { client, refuse, purpose });
    return { claims, key: { kid, alg, jkt: await calculateJwkThumbprint(jwk as JWK, "sha256") } };
  }

  async #check(
    { iss, sub, aud, jti, iat, nbf, exp }: JWTPayload,
    { client, refuse, purpose }: { client: Client; refuse: Refuse; purpose: Purpose },
  ): Promise<void> {
    const { issuer, now, used } = this.#options;
    if (iss !== client.id) throw refuse("its iss is not the client_id");
    if (purpose === ASSERTION && sub !== client.id) throw refuse("its sub is not the client_id");
    const [audience, ...more] = [aud].flat();
    if (audience !== issuer || more.length > 0) throw refuse(`its aud is not "${issuer}"`);
    if (purpose === ASSERTION && exp === undefined) throw refuse("its exp is missing");
    const nowS = now() / 1000;
    if (exp !== undefined && !(typeof exp === "number" && exp > nowS - JWT_SKEW_S))
      throw refuse("it has expired");
    if (nbf !== undefined && !(typeof nbf === "number" && nbf <= nowS + JWT_SKEW_S))
      throw refuse("it is not good yet");
    if (typeof iat !== "number" || iat > nowS + JWT_SKEW_S)
      throw refuse("its iat is missing, or in the future");
    if (iat < nowS - JWT_AGE_MAX_S) throw refuse(`it is older than ${JWT_AGE_MAX_S / 60} minutes`);
    if (typeof jti !== "string" || jti === "" || jti.length > JTI_CHARS_MAX)
      throw refuse("its jti is missing");
    const hash = hashSecret(JSON.stringify([purpose.name, client.id, jti]));
    const until = (iat + JWT_AGE_MAX_S + JWT_SKEW_S) * 1000;
    if (!(await used.useOnce(hash, { until, now: now() }))) throw refuse("it was used before");
  }
}

async function claimsOf(
  jwt: string,
  { jwk, alg, refuse }: { jwk: JWK; alg: string; refuse: Refuse },
): Promise<JWTPayload> {
  try {
    const key = await importJwsKey(jwk, alg);
    const claims: unknown = JSON.parse(new TextDecoder().decode(await key.verify(jwt)));
    if (typeof claims === "object" && claims !== null && !Array.isArray(claims)) {
      return claims as JWTPayload;
    }
  } catch (cause) {
    throw refuse("its signature is wrong", cause);
  }
  throw refuse("it has no claims");
}

type Refuse = (why: string, cause?: unknown) => OAuthError;

function headOf(
  jwt: string,
  { client, purpose, refuse }: { client: Client; purpose: Purpose; refuse: Refuse },
): { kid: string; alg: string } {
  const head = jwt.length <= JWT_CHARS_MAX ? parseHead(jwt) : undefined;
  if (!head) throw refuse("it is no signed JWT");
  const { kid, alg, typ, crit } = head;
  if (crit !== undefined || !purpose.types.some((type) => type?.toLowerCase() === lower(typ))) {
    throw refuse("its header has a typ or crit that does not fit");
  }
  if (typeof alg !== "string" || !CLIENT_ALGORITHMS.some((known) => known === alg)) {
    throw refuse(`its alg is none of ${CLIENT_ALGORITHMS.join(", ")}`);
  }
  if (purpose === ASSERTION && client.authAlgorithm !== undefined && alg !== client.authAlgorithm) {
    throw refuse(`its alg is not "${client.authAlgorithm}", which the client's metadata says`);
  }
  if (typeof kid !== "string" || kid === "" || kid.length > KID_CHARS_MAX) throw refuse("its kid is missing");
  return { kid, alg };
}

function lower(value: unknown): unknown {
  return typeof value === "string" ? value.toLowerCase() : value;
}

function parseHead(jwt: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(jwt.split(".", 1)[0] ?? "", "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
