/**
 * The service proxy: calls of methods that this server does not answer go on to another service, in the name of the account
 * that makes them, by a token that its key signs. https://atproto.com/specs/xrpc#service-proxying
 */
import type { Authenticator } from "../../auth/mod.ts";
import { KithError } from "../../errors.ts";
import { sendAsItIs } from "../answers.ts";
import { requireRpc } from "../oauth_rules.ts";
import type { RequestContext } from "../router.ts";
import { readDecoded } from "./_decode.ts";
import { isProtectedMethod, mayCall } from "./guarded_methods.ts";
import { jsonObject } from "./json_object.ts";
import type { ProxyTarget, ProxyTargets, ServiceRef } from "./proxy_targets.ts";
import type { ServiceJwts } from "./service_jwts.ts";
import { UpstreamError } from "./upstream_error.ts";

/** Of a refusal so much is read. */
const ERROR_BYTES_MAX = 64 * 1024;

const REQUEST_HEADERS = ["accept-language", "atproto-accept-labelers", "x-bsky-topics"];
const REQUEST_BODY_HEADERS = ["content-type", "content-encoding", "content-length"];
/** Headers of the protocol's own that services and apps agree upon. */
const EXTENSION_PREFIX = "x-atproto-";
const RESPONSE_HEADERS = ["atproto-repo-rev", "atproto-content-labelers", "retry-after"];
const RESPONSE_BODY_HEADERS = ["content-type", "content-encoding", "content-language"];

export interface UpstreamRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | ReadableStream<Uint8Array>;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly bytesMax: number;
  readonly retriesMax?: number;
  readonly signal?: AbortSignal;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: Headers;
  /** As it is sent, with its Content-Encoding. */
  readonly body: ReadableStream<Uint8Array> | null;
}

export interface ServiceProxyOptions {
  readonly targets: ProxyTargets;
  readonly authenticator: Authenticator;
  readonly serviceJwts: Pick<ServiceJwts, "make">;
  /** A client that is safe with URLs that others chose, and keeps to the bounds that it is given. */
  send(url: string, request: UpstreamRequest): Promise<UpstreamResponse>;
  /** Whether tokens are made out to `did#service` rather than to the DID alone. */
  readonly audienceWithService: boolean;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly bytesMax: number;
  readonly retriesMax: number;
}

/** Whose call is passed on, of what, and to whom. */
export interface PassOn {
  /** The account; undefined: in nobody's name. */
  readonly did: string | undefined;
  readonly nsid: string;
  readonly to: ServiceRef;
  /** Whom the token is made out to, where it is not the service itself. */
  readonly aud?: ServiceRef;
  /** The method that the token is for, where it is not the called one. */
  readonly lxm?: string;
  /** Encodings that the answer may have, where it will be read here; otherwise those of the caller. */
  readonly acceptEncoding?: string;
}

/** A call of our own to a service. */
export interface Ask {
  readonly did: string | undefined;
  readonly nsid: string;
  readonly to: ServiceRef;
  readonly params?: URLSearchParams;
  /** The input of a procedure. */
  readonly json?: unknown;
  /** The call that it is made for: its language and labelers go along. */
  readonly request?: Request;
}

export class ServiceProxy {
  readonly #options: ServiceProxyOptions;

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
  }

  get targets(): ProxyTargets {
    return this.#options.targets;
  }

  /** Bytes of an answer that is read here. */
  get bytesMax(): number {
    return this.#options.bytesMax;
  }

  /**
   * Answers a call of a method that is not served here. Throws KithErrors method_not_implemented where there is no service to
   * pass it on to, method_not_allowed, those of authentication, and those of `passOn`.
   */
  async handle(
    request: Request,
    { nsid, context, headers }: { nsid: string; context: RequestContext; headers: Headers },
  ): Promise<Response> {
    const to = this.targets.wanted(request, nsid);
    if (!to) throw new KithError("method_not_implemented", `Could not call "${nsid}": it is not served here`);
    if (isProtectedMethod(nsid)) throw new KithError("invalid_token", "Bad token method");
    if (!isPassedOn(request.method)) {
      headers.set("Allow", "GET, HEAD, POST");
      throw new KithError("method_not_allowed", `Could not call "${nsid}": use GET or POST`);
    }
    const principal = await this.#options.authenticator.authenticate(request, "access", { nsid });
    if (principal?.kind !== "user" && principal?.kind !== "oauth") {
      throw new TypeError("A session without a user");
    }
    context.did = principal.did;
    requireRpc(principal, { nsid, lxm: nsid, to });
    if (!mayCall(principal, nsid)) throw new KithError("invalid_token", "Bad token method");
    return this.answer(request, await this.passOn(request, { did: principal.did, nsid, to }));
  }

  /** Answers a call from the default AppView, in nobody's name; undefined where none is set. */
  answerAnonymously(request: Request, nsid: string): Promise<Response> | undefined {
    const to = this.targets.appView;
    if (!to) return undefined;
    return this.passOn(request, { did: undefined, nsid, to }).then((answer) => this.answer(request, answer));
  }

  /**
   * Sends a call on as it came. The answer's status is below 300; its body is to be read or cancelled. Throws KithErrors
   * invalid_request (no such service), upstream_failure, timeout, and UpstreamError for what the service refused.
   */
  async passOn(request: Request, call: PassOn): Promise<UpstreamResponse> {
    const target = await this.targets.resolve(call.to);
    const { search } = new URL(request.url);
    const method = request.method as UpstreamRequest["method"];
    const withBody = method === "POST";
    const acceptEncoding = call.acceptEncoding ?? (request.headers.get("accept-encoding") || "identity");
    return this.#send(`${target.url}/xrpc/${call.nsid}${search}`, {
      method,
      headers: {
        ...forwarded(request.headers, withBody),
        "accept-encoding": acceptEncoding,
        ...this.#authorization(target, call),
      },
      ...(withBody && request.body ? { body: request.body } : {}),
      ...this.#bounds(),
      signal: request.signal,
    });
  }

  /** A service's answer as the answer to our caller. */
  answer(request: Request, { status, headers, body }: UpstreamResponse): Response {
    sendAsItIs(request);
    const answer = picked(headers, [...RESPONSE_HEADERS, ...RESPONSE_BODY_HEADERS]);
    // Others' documents must not act in the name of this server's pages.
    answer.set("X-Content-Type-Options", "nosniff");
    answer.set("Content-Security-Policy", "default-src 'none'; sandbox");
    return new Response(body, { status, headers: answer });
  }

  /** A service's answer that was read, and perhaps changed: with those of its headers that are the caller's. */
  answerRead(json: object, { from, to }: { from: Headers; to: Headers }): object {
    for (const [name, value] of picked(from, RESPONSE_HEADERS)) to.set(name, value);
    return json;
  }

  /** The JSON object that a service answers to a call of our own. Throws as `passOn`. */
  async ask(call: Ask): Promise<{ json: Record<string, unknown>; headers: Headers }> {
    const target = await this.targets.resolve(call.to);
    const query = call.params?.size ? `?${call.params}` : "";
    const isProcedure = call.json !== undefined;
    const { headers, body } = await this.#send(`${target.url}/xrpc/${call.nsid}${query}`, {
      method: isProcedure ? "POST" : "GET",
      headers: {
        ...(call.request ? forwarded(call.request.headers, false) : {}),
        "accept-encoding": "gzip",
        ...this.#authorization(target, call),
        ...(isProcedure ? { "content-type": "application/json" } : {}),
      },
      ...(isProcedure ? { body: JSON.stringify(call.json) } : {}),
      ...this.#bounds(),
    });
    const bytes = await this.read({ headers, body });
    const json = bytes.byteLength === 0 ? {} : jsonObject(bytes);
    if (!json) throw new KithError("upstream_failure", `The answer to "${call.nsid}" is not JSON`);
    return { json, headers };
  }

  /** The bytes of an answer, decoded. Throws KithError upstream_failure, timeout. */
  read({ headers, body }: Pick<UpstreamResponse, "headers" | "body">): Promise<Uint8Array> {
    return readDecoded(body, { encoding: headers.get("content-encoding"), bytesMax: this.bytesMax });
  }

  #authorization(
    target: ProxyTarget,
    {
      did,
      nsid,
      aud = target,
      lxm = nsid,
    }: { did: string | undefined; nsid: string; aud?: ServiceRef; lxm?: string },
  ): Record<string, string> {
    if (did === undefined) return {};
    const { audienceWithService, serviceJwts } = this.#options;
    const audience = audienceWithService ? `${aud.did}#${aud.serviceId}` : aud.did;
    return { authorization: `Bearer ${serviceJwts.make({ iss: did, aud: audience, lxm })}` };
  }

  #bounds(): Pick<UpstreamRequest, "headersTimeoutMs" | "bodyTimeoutMs" | "bytesMax" | "retriesMax"> {
    const { headersTimeoutMs, bodyTimeoutMs, bytesMax, retriesMax } = this.#options;
    return { headersTimeoutMs, bodyTimeoutMs, bytesMax, retriesMax };
  }

  async #send(url: string, request: UpstreamRequest): Promise<UpstreamResponse> {
    // Only what changes nothing is ever sent twice.
    const retriesMax = request.method === "POST" ? 0 : request.retriesMax;
    const response = await this.#options.send(url, { ...request, retriesMax });
    if (response.status < 400) return response;
    throw await upstreamError(response);
  }
}

function isPassedOn(verb: string): boolean {
  return verb === "GET" || verb === "HEAD" || verb === "POST";
}

function forwarded(headers: Headers, withBody: boolean): Record<string, string> {
  const names = withBody ? [...REQUEST_HEADERS, ...REQUEST_BODY_HEADERS] : REQUEST_HEADERS;
  const kept = Object.fromEntries(picked(headers, names));
  for (const [name, value] of headers) if (name.startsWith(EXTENSION_PREFIX)) kept[name] = value;
  return kept;
}

function picked(headers: Headers, names: readonly string[]): Headers {
  const found = new Headers();
  for (const name of names) {
    const value = headers.get(name);
    // An empty list of labelers says something: none at all.
    if (value !== null) found.set(name, value);
  }
  return found;
}

async function upstreamError({ status, headers, body }: UpstreamResponse): Promise<UpstreamError> {
  const encoding = headers.get("content-encoding");
  const bytes = await readDecoded(body, { encoding, bytesMax: ERROR_BYTES_MAX }).catch(() => undefined);
  const json = bytes && jsonObject(bytes);
  return new UpstreamError({ status, json, headers: picked(headers, RESPONSE_HEADERS) });
}
