/**
 * Service auth: short-lived JWTs, signed by an account's key, by which servers speak for it to one another.
 * https://atproto.com/specs/xrpc#inter-service-authentication-jwt
 */
import { KithError } from "../errors.ts";
import { parseDidKey, verifySignature } from "./keys/mod.ts";
import type { Signer } from "./signer.ts";
import { isDid, isNsid } from "./syntax.ts";

export interface ServiceJwtOptions {
  /** The account's DID, without fragment. */
  readonly iss: string;
  /** DID of the service, by preference with the service's id: `did:web:api.example.com#svc`. */
  readonly aud: string;
  /** The method that the token is for. */
  readonly lxm?: string;
  /** Seconds since 1970. */
  readonly iat: number;
  /** Seconds since 1970. */
  readonly exp: number;
  /** Random, for the receiver to notice a replay. */
  readonly jti: string;
  readonly signer: Signer;
  /** Goes into the header as `kid`, such as `#atproto`; left out by default. */
  readonly keyId?: string;
}

export interface ServiceJwtClaims {
  readonly iss: string;
  readonly aud: string;
  readonly exp: number;
  readonly iat?: number;
  readonly lxm?: string;
  readonly jti?: string;
}

export interface ParsedServiceJwt {
  readonly header: { readonly alg: string; readonly typ?: unknown; readonly kid?: string };
  readonly claims: ServiceJwtClaims;
  /** What is signed, as ASCII. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

export interface CheckServiceJwtOptions {
  /** The receiver, exactly; several where it goes by several names (with and without service id). */
  readonly aud: string | readonly string[];
  readonly lxm: string;
  /** Who may have issued it, exactly, also with the id of a service (`did:plc:...#atproto_labeler`); any DID where absent. */
  readonly issuers?: readonly string[];
  readonly nowSeconds: number;
}

export interface VerifyServiceJwtOptions extends CheckServiceJwtOptions {
  /** The `#atproto` key of the issuer's DID document; of a labeler `#atproto_label`. */
  readonly didKey: string;
}

const JWT_CHARS_MAX = 8192;
const LABELER = "#atproto_labeler";
const PART = /^[A-Za-z0-9_-]+$/;
/** Types of tokens that are something else, whoever signed them. */
const OTHER_TYPES: ReadonlySet<string> = new Set(["at+jwt", "refresh+jwt", "dpop+jwt"]);

/** A signed service JWT. */
export function createServiceJwt(options: ServiceJwtOptions): string {
  const { iss, aud, lxm, exp, iat, jti, signer, keyId } = options;
  const header = encodePart({ typ: "JWT", alg: signer.jwtAlg, kid: keyId });
  const signed = `${header}.${encodePart({ iat, iss, aud, exp, lxm, jti })}`;
  return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed))).toString("base64url")}`;
}

/** Takes a token apart, without trusting it: `claims.iss` says whose key is needed. KithError invalid_token. */
export function parseServiceJwt(jwt: string): ParsedServiceJwt {
  const parts = jwt.length <= JWT_CHARS_MAX ? jwt.split(".") : [];
  const [head, body, tail] = parts;
  if (!head || !body || !tail || parts.length !== 3 || !parts.every((part) => PART.test(part))) {
    throw refusal("not a JWT");
  }
  const header = decodePart(head);
  const claims = decodePart(body);
  checkHeader(header, claims.iss);
  checkClaims(claims);
  return {
    header: header as ParsedServiceJwt["header"],
    claims: claims as unknown as ServiceJwtClaims,
    signed: Buffer.from(`${head}.${body}`),
    signature: new Uint8Array(Buffer.from(tail, "base64url")),
  };
}

/**
 * Checks all of a token but its signature, which needs the issuer's key: kind, audience, method, time.
 * KithError expired_token, or invalid_token for anything else.
 */
export function checkServiceJwt(jwt: string, options: CheckServiceJwtOptions): ParsedServiceJwt {
  const parsed = parseServiceJwt(jwt);
  const { claims } = parsed;
  const isKnown = options.issuers ? options.issuers.includes(claims.iss) : isDid(claims.iss);
  if (!isKnown) throw refusal(`its issuer is "${claims.iss}"`);
  const audiences = typeof options.aud === "string" ? [options.aud] : options.aud;
  if (!audiences.includes(claims.aud)) throw refusal(`its audience is "${claims.aud}"`);
  if (claims.lxm !== options.lxm) {
    const said = claims.lxm === undefined ? "no method" : `the method "${claims.lxm}"`;
    throw refusal(`it is for ${said}, not for "${options.lxm}"`);
  }
  if (claims.exp <= options.nowSeconds) {
    throw new KithError("expired_token", "Could not accept the service token: it has expired");
  }
  return parsed;
}

/**
 * Verifies a token: kind, audience, method, time and signature. Replays are the caller's to notice, by `jti`.
 * KithError expired_token, or invalid_token for anything else.
 */
export function verifyServiceJwt(jwt: string, options: VerifyServiceJwtOptions): ServiceJwtClaims {
  const { header, claims, signed, signature } = checkServiceJwt(jwt, options);
  const expected = parseDidKey(options.didKey).type === "k256" ? "ES256K" : "ES256";
  if (header.alg !== expected)
    throw refusal(`its algorithm is "${header.alg}", its issuer's key ${expected}`);
  // other software signs JWTs without low-S; nothing here depends on a token having one spelling
  if (!verifySignature(options.didKey, signed, signature, { allowMalleable: true })) {
    throw refusal("its signature is not by its issuer's key");
  }
  return claims;
}

/** The DID of an issuer, and the id of the key by which it signs (without `#`): a labeler has one of its own. */
export function serviceIssuer(iss: string): { did: string; keyId: "atproto" | "atproto_label" } {
  return iss.endsWith(LABELER)
    ? { did: iss.slice(0, -LABELER.length), keyId: "atproto_label" }
    : { did: iss, keyId: "atproto" };
}

function refusal(why: string): KithError {
  return new KithError("invalid_token", `Could not accept the service token: ${why.slice(0, 300)}`);
}

function encodePart(json: object): string {
  return Buffer.from(JSON.stringify(json)).toString("base64url");
}

function decodePart(part: string): Readonly<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
  } catch (cause) {
    throw new KithError("invalid_token", "Could not accept the service token: not JSON inside", { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw refusal("not an object inside");
  return json as Readonly<Record<string, unknown>>;
}

function checkHeader(header: Readonly<Record<string, unknown>>, iss: unknown): void {
  const { alg, typ, kid, crit } = header;
  if (alg !== "ES256" && alg !== "ES256K") throw refusal(`its algorithm is ${JSON.stringify(alg)}`);
  if (typeof typ === "string" && OTHER_TYPES.has(typ.toLowerCase())) throw refusal(`its type is "${typ}"`);
  if (crit !== undefined) throw refusal("it demands extensions");
  const id = `#${serviceIssuer(String(iss)).keyId}`;
  if (kid !== undefined && kid !== id && kid !== serviceIssuer(String(iss)).did + id) {
    throw refusal(`its key is ${JSON.stringify(kid)}, not "${id}"`);
  }
}

function checkClaims(claims: Readonly<Record<string, unknown>>): void {
  const { iss, aud, exp, iat, lxm, jti } = claims;
  if (typeof iss !== "string" || !isDid(serviceIssuer(iss).did)) {
    throw refusal(`its issuer is ${JSON.stringify(iss)}, not a DID`);
  }
  if (typeof aud !== "string") throw refusal("it has no audience");
  if (typeof exp !== "number" || !Number.isFinite(exp)) throw refusal("it has no expiry");
  if (iat !== undefined && typeof iat !== "number") throw refusal("its iat is not a number");
  if (lxm !== undefined && !isNsid(lxm)) throw refusal(`its method is ${JSON.stringify(lxm)}`);
  if (jti !== undefined && typeof jti !== "string") throw refusal("its jti is not text");
}
