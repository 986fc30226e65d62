/** What an XRPC method is to the router: a lexicon schema, who may call it, and a handler. */
import type {
  InferOutput,
  ObjectSchema,
  XRPCLexBodyParam,
  XRPCProcedureMetadata,
  XRPCQueryMetadata,
} from "@atcute/lexicons/validations";
import type { Permissions } from "../atproto/mod.ts";
import type { AuthKind, Principal } from "../auth/mod.ts";
import { KithError } from "../errors.ts";
import type { Charge } from "./limits/rate_limits.ts";

/** Largest JSON body of a method that does not name its own bound, in bytes after decoding. */
export const JSON_BODY_BYTES_MAX = 150 * 1024;

export type MethodSchema = XRPCQueryMetadata | XRPCProcedureMetadata;

export type ParamsOf<S extends MethodSchema> = S["params"] extends ObjectSchema
  ? InferOutput<S["params"]>
  : Record<string, never>;

export type InputOf<S extends MethodSchema> = S extends { readonly input: XRPCLexBodyParam<infer Body> }
  ? InferOutput<Body>
  : undefined;

/** One call, as a handler sees it. */
export interface Call<P = unknown, I = unknown> {
  /** Query parameters, validated and with the lexicon's defaults. */
  readonly params: P;
  /** The JSON body, validated; undefined where the method takes none, or takes raw bytes. */
  readonly input: I;
  /** The raw body, decoded as Content-Encoding says; null where the method does not take raw bytes, or none came. */
  readonly body: ReadableStream<Uint8Array> | null;
  /** Null only where `auth` is "none" or "optional". */
  readonly principal: Principal | null;
  readonly request: Request;
  readonly requestId: string;
  /** The client's address, after trusted proxies. */
  readonly ip: string;
  /** Aborted when a stopping server waits no longer for what has not arrived. */
  readonly stopping?: AbortSignal | undefined;
  /** Headers to set on the answer. */
  readonly headers: Headers;
}

/** An answer whose JSON is written already: sent as it is. */
export class JsonText {
  /** As bytes it is UTF-8. */
  readonly text: string | Uint8Array<ArrayBuffer>;

  constructor(text: string | Uint8Array<ArrayBuffer>) {
    this.text = text;
  }

  parse(): unknown {
    return JSON.parse(typeof this.text === "string" ? this.text : new TextDecoder().decode(this.text));
  }
}

/** Kinds of `auth` that admit no user, and so no app either. */
type UserlessAuth = "none" | "refresh" | "service" | "optionalService" | "moderator" | "admin";

/**
 * Which apps that a user has let in may call: any, none, or those whose permissions suffice. The function names the scope that
 * is missing, and undefined where none is.
 */
export type OAuthRule<P = unknown, I = unknown> =
  | "any"
  | "refused"
  | ((permissions: Permissions, call: Call<P, I>) => string | undefined);

/** Who may call: where users may, it has to be said for their apps too. */
type Access<P, I> =
  | { readonly auth: UserlessAuth; readonly oauth?: never }
  | { readonly auth: Exclude<AuthKind, UserlessAuth>; readonly oauth: OAuthRule<P, I> };

export type MethodOptions<S extends MethodSchema> = Access<ParamsOf<S>, InputOf<S>> & MethodParts<S>;

export interface MethodParts<S extends MethodSchema> {
  /** Bound of the JSON body in bytes, after decoding; `JSON_BODY_BYTES_MAX` where absent. */
  readonly bodyBytesMax?: number;
  /** What one call draws from whose budgets, beside its network's requests; asked once the call is read. See `limits/charges.ts`. */
  limit?(call: Call<ParamsOf<S>, InputOf<S>>): Charge | Promise<Charge>;
  /** True where calls do not count among their network's requests, because `limit` is enough. */
  readonly limitedApart?: boolean;
  /** True for a call that is another service's to answer, by its `atproto-proxy` header; no call is where absent. */
  goesOn?(request: Request): boolean;
  /**
   * The answer: a JSON value or its `JsonText`, undefined for none (200, empty), or a Response to send as it is. A KithError becomes the
   * XRPC error of `error_table.ts`; anything else thrown is answered 500 without details.
   */
  handler(call: Call<ParamsOf<S>, InputOf<S>>): unknown;
}

/** A method with its types erased, as the router holds it. */
export interface Method {
  readonly nsid: string;
  readonly kind: "query" | "procedure";
  readonly schema: MethodSchema;
  readonly auth: AuthKind;
  /** Undefined where `auth` admits no user. */
  readonly oauth: OAuthRule | undefined;
  readonly bodyBytesMax: number;
  readonly limit: ((call: Call) => Charge | Promise<Charge>) | undefined;
  readonly limitedApart: boolean;
  readonly goesOn: ((request: Request) => boolean) | undefined;
  handler(call: Call): unknown;
}

/**
 * A method from its lexicon (`mainSchema` of @atcute/atproto or @atcute/bluesky). The router validates parameters and
 * JSON input against it before the handler runs; a lexicon whose input is a blob gets `call.body` instead.
 */
export function method<S extends MethodSchema>(schema: S, options: MethodOptions<S>): Method {
  return {
    nsid: schema.nsid,
    kind: schema.type === "xrpc_query" ? "query" : "procedure",
    schema,
    auth: options.auth,
    oauth: options.oauth as OAuthRule | undefined,
    bodyBytesMax: options.bodyBytesMax ?? JSON_BODY_BYTES_MAX,
    limit: options.limit as Method["limit"],
    limitedApart: options.limitedApart === true,
    goesOn: options.goesOn,
    handler: options.handler,
  };
}

/** Throws KithError scope_missing where the caller is an app that may not make this call. */
export function refuseUnpermitted({ nsid, oauth }: Method, call: Call): void {
  const { principal } = call;
  if (principal?.kind !== "oauth" || oauth === "any") return;
  if (oauth === undefined || oauth === "refused") {
    throw new KithError(
      "scope_missing",
      `Could not call "${nsid}": no app may, only its owner's own session`,
    );
  }
  requireScope(oauth(principal.permissions, call), nsid);
}

/** Throws KithError scope_missing, which names it, where a scope is missing. */
export function requireScope(missing: string | undefined, nsid: string): void {
  if (missing === undefined) return;
  throw new KithError("scope_missing", `Could not call "${nsid}": missing required scope "${missing}"`);
}

/** The DID of a signed-in caller, of a method whose `auth` admits only users. */
export function callerDid(call: Call): string {
  if (call.principal === null || call.principal.kind === "admin") {
    throw new TypeError("callerDid() on a call without a user: the method's auth is wrong");
  }
  return call.principal.did;
}

/** Answers that depend on who asks must not reach anybody else through a cache. */
export function setPrivate(headers: Headers): void {
  headers.set("Cache-Control", "private");
  headers.set("Vary", "Authorization");
}
