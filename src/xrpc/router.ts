/** From a request below /xrpc to the handler of its method, and from what the handler gives to an answer. */
import { isNsid } from "../atproto/mod.ts";
import { type Authenticator, dpopChallenge } from "../auth/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { queryOf, readParams } from "./_params.ts";
import { compressJson, jsonAnswer, setCommonHeaders, stamp } from "./answers.ts";
import { decodedBody, readJsonInput } from "./body.ts";
import { toXrpcError } from "./error_table.ts";
import { declaresError, type LexiconCheck } from "./lexicon_check.ts";
import { type Left, RateLimited, type RateLimits, setLimitHeaders, tighter } from "./limits/rate_limits.ts";
import { type Call, JsonText, type Method, refuseUnpermitted, setPrivate } from "./method.ts";
import { UpstreamError } from "./proxy/upstream_error.ts";

/** How long a caller is asked to wait after a 503, in seconds. */
const RETRY_AFTER_S = 5;

/** What the edge knows of a request before any method sees it. */
export interface RequestContext {
  readonly requestId: string;
  /** The client's address, after trusted proxies. */
  readonly ip: string;
  /** Filled in while the request runs, for the log. */
  nsid?: string;
  did?: string;
  /** What was thrown, for the log. */
  failure?: unknown;
  /** What the caller may still do, of the budget that is nearest to its end. */
  left?: Left | undefined;
}

/** Answers calls of methods that are not served here, or throws. */
export interface MethodProxy {
  handle(
    request: Request,
    call: { nsid: string; context: RequestContext; headers: Headers },
  ): Promise<Response>;
}

/** What is to be answered. */
export interface Arrival {
  readonly nsid: string;
  /** What stands behind the question mark of its address; read from there where absent. */
  readonly query?: string | undefined;
  readonly context: RequestContext;
}

export interface RouterOptions {
  readonly methods: readonly Method[];
  readonly authenticator: Authenticator;
  /** Without it a method that is not served here is not implemented. */
  readonly proxy?: MethodProxy | undefined;
  /** Without them nothing is limited. */
  readonly limits?: RateLimits | undefined;
  /** Holds every answer against its lexicon: in dev mode. */
  readonly lexiconCheck?: LexiconCheck | undefined;
  /** Aborted when a stopping server waits no longer for bodies that have not arrived. */
  readonly stopping?: AbortSignal | undefined;
}

export class Router {
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #authenticator: Authenticator;
  readonly #proxy: MethodProxy | undefined;
  readonly #limits: RateLimits | undefined;
  readonly #lexiconCheck: LexiconCheck | undefined;
  readonly #stopping: AbortSignal | undefined;

  /** Throws TypeError where two methods have the same NSID. */
  constructor({ methods, authenticator, proxy, limits, lexiconCheck, stopping }: RouterOptions) {
    this.#proxy = proxy;
    this.#limits = limits;
    this.#lexiconCheck = lexiconCheck;
    this.#methods = new Map(methods.map((method) => [method.nsid, method]));
    if (this.#methods.size !== methods.length) throw new TypeError("Two methods have the same NSID");
    this.#authenticator = authenticator;
    this.#stopping = stopping;
  }

  /**
   * Answers one request for the method `nsid`, whole: with the headers that every answer has. Never rejects: whatever is
   * thrown becomes an error answer.
   */
  async handle(request: Request, { nsid, query, context }: Arrival): Promise<Response> {
    const headers = new Headers(this.#authenticator.answerHeaders?.(request));
    let method = this.#methods.get(nsid);
    let call: Call | undefined;
    try {
      if (method?.goesOn?.(request)) method = undefined;
      if (method?.limitedApart !== true)
        context.left = this.#limits?.countRequest({ request, ip: context.ip });
      if (!method) refuseBadNsid(nsid);
      if (!method) return await this.#passOn(request, { nsid, context, headers });
      refuseWrongVerb(method, request.method);
      context.nsid = method.nsid;
      if (method.auth !== "none") setPrivate(headers);
      call = await this.#readCall(request, { method, query, context, headers });
      refuseUnpermitted(method, call);
      if (this.#limits && method.limit) await this.#charge(this.#limits, { method, call, context });
      const output = await method.handler(call);
      this.#lexiconCheck?.answer(method, output);
      return await answerOf(output, { request, context, headers });
    } catch (error) {
      const thrown = method ? ofAccount(method, error) : error;
      context.failure = thrown;
      if (method) this.#lexiconCheck?.error(method, thrown);
      if (context.left) setLimitHeaders(headers, context.left);
      if (call?.principal?.kind === "service") call.principal.release();
      const { requestId } = context;
      return whole(errorResponse(thrown, { requestId, headers }), { request, requestId });
    }
  }

  async #charge(
    limits: RateLimits,
    { method, call, context }: { method: Method; call: Call; context: RequestContext },
  ): Promise<void> {
    const charge = await method.limit?.(call);
    if (charge) context.left = tighter(context.left, limits.charge(charge, call));
  }

  async #passOn(
    request: Request,
    call: { nsid: string; context: RequestContext; headers: Headers },
  ): Promise<Response> {
    const { nsid, context, headers } = call;
    if (!this.#proxy)
      throw new KithError("method_not_implemented", `Could not call "${nsid}": it is not served here`);
    setPrivate(headers);
    context.nsid = nsid;
    return answerOf(await this.#proxy.handle(request, call), { request, context, headers });
  }

  /** Cheap checks first: parameters, then who is calling, then the body. */
  async #readCall(
    request: Request,
    { method, query, context, headers }: Omit<Arrival, "nsid"> & { method: Method; headers: Headers },
  ): Promise<Call> {
    const params = readParams(method.schema.params, query ?? queryOf(request));
    const principal =
      method.auth === "none" ? null : await this.#authenticator.authenticate(request, method.auth, method);
    if (principal && principal.kind !== "admin") context.did = principal.did;
    const expected = method.schema.type === "xrpc_procedure" ? method.schema.input : null;
    const input =
      expected?.type === "lex"
        ? await readJsonInput(request, {
            schema: expected.schema,
            bytesMax: method.bodyBytesMax,
            stopping: this.#stopping,
          })
        : undefined;
    const body = expected?.type === "blob" ? decodedBody(request) : null;
    return {
      params,
      input,
      body,
      principal,
      request,
      requestId: context.requestId,
      ip: context.ip,
      stopping: this.#stopping,
      headers,
    };
  }
}

/**
 * A repo that is gone is an account that is gone, to methods that know no repos: it was deleted after the call had been
 * let in.
 */
function ofAccount({ nsid }: Method, error: unknown): unknown {
  if (!isKithError(error, "repo_not_found") || declaresError(nsid, "RepoNotFound")) return error;
  return new KithError("account_not_found", error.message, { cause: error });
}

function refuseBadNsid(nsid: string): void {
  if (isNsid(nsid)) return;
  throw new KithError("invalid_request", `Could not call "${nsid.slice(0, 64)}": it is not an NSID`);
}

function refuseWrongVerb(method: Method, verb: string): void {
  const isRight = method.kind === "procedure" ? verb === "POST" : verb === "GET" || verb === "HEAD";
  if (!isRight) throw new WrongVerb(method);
}

/**
 * A known method called with the other verb. The specification leaves the status open and the reference answers 400;
 * 405 with Allow says the same and also what would be right, and clients go by the name, which is the reference's.
 */
export class WrongVerb extends KithError {
  /** The verbs that are right, for the Allow header. */
  readonly allow: string;

  constructor({ nsid, kind }: { nsid: string; kind: "query" | "procedure" | "subscription" }) {
    const verb = kind === "procedure" ? "POST" : "GET";
    super("method_not_allowed", `Could not call "${nsid}": it is a ${kind}, use ${verb}`);
    this.allow = kind === "query" ? "GET, HEAD" : verb;
  }
}

/** The error answer for anything thrown: `{error, message, requestId}`. */
export function errorResponse(
  thrown: unknown,
  { requestId, headers = new Headers() }: { requestId: string; headers?: Headers },
): Response {
  const { status, error, message } = toXrpcError(thrown);
  if (thrown instanceof UpstreamError) for (const [name, value] of thrown.headers) headers.set(name, value);
  if (thrown instanceof WrongVerb) headers.set("Allow", thrown.allow);
  if (thrown instanceof RateLimited) setLimitHeaders(headers, thrown.left);
  if (status === 426) headers.set("Upgrade", "websocket");
  const challenge = dpopChallenge(thrown);
  if (challenge !== undefined) headers.set("WWW-Authenticate", challenge);
  if (status === 401 && !headers.has("WWW-Authenticate")) headers.set("WWW-Authenticate", "Bearer");
  const retryAfterS =
    (isKithError(thrown) ? thrown.retryAfterS : undefined) ?? (status === 503 && RETRY_AFTER_S);
  if (retryAfterS !== false && !headers.has("Retry-After")) headers.set("Retry-After", String(retryAfterS));
  return Response.json({ error, message, requestId }, { status, headers });
}

/** What a handler gave as an answer: a JSON value or its text, nothing for undefined, or a Response. */
function answerOf(
  output: unknown,
  { request, context, headers }: { request: Request; context: RequestContext; headers: Headers },
): Response | Promise<Response> {
  const { requestId, left } = context;
  if (left) setLimitHeaders(headers, left);
  if (output instanceof Response) return whole(withHeaders(output, headers), { request, requestId });
  setCommonHeaders(headers, requestId);
  if (output === undefined) return new Response(null, { headers });
  const text = output instanceof JsonText ? output.text : JSON.stringify(output);
  return jsonAnswer(request, { text, headers });
}

/** `response` with all that an answer of a method has. */
function whole(
  response: Response,
  { request, requestId }: { request: Request; requestId: string },
): Response | Promise<Response> {
  stamp(response, requestId);
  return request.method === "HEAD" ? withoutBody(response) : compressJson(request, response);
}

function withHeaders(response: Response, headers: Headers): Response {
  for (const [name, value] of headers) if (!response.headers.has(name)) response.headers.set(name, value);
  return response;
}

/** The answer to HEAD: the headers of GET. */
function withoutBody(response: Response): Response {
  response.body?.cancel().catch(() => {});
  return new Response(null, { status: response.status, headers: response.headers });
}
