/** For tests of method files: calls through the real router, with every answer held against its lexicon. */
import type { Authenticator, AuthKind, Principal, SessionScope } from "../auth/mod.ts";
import { KithError } from "../errors.ts";
import { AnswerMismatch } from "./error_table.ts";
import { LexiconCheck } from "./lexicon_check.ts";
import type { Method } from "./method.ts";
import { type RequestContext, Router } from "./router.ts";

export interface TestCall {
  readonly nsid: string;
  /** Query parameters; an array is repeated. */
  readonly params?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly bytes?: BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  /** A DID for a user's session, "admin", or absent for nobody. */
  readonly as?: string;
  /** Of the user's session; a full one by default. */
  readonly scope?: SessionScope;
  readonly verb?: string;
}

export interface TestAnswer {
  readonly status: number;
  /** The JSON of the answer; undefined where it is none. */
  readonly body: unknown;
  readonly bytes: Uint8Array;
  readonly headers: Headers;
}

/** A function that calls `methods` as a client would. It throws where an answer or an error is not what the lexicon says. */
export function callerOf(methods: readonly Method[]): (call: TestCall) => Promise<TestAnswer> {
  const router = new Router({
    methods,
    authenticator: HEADER_IS_CALLER,
    lexiconCheck: new LexiconCheck(STRICT),
  });
  return async (call) => {
    const schema = methods.find(({ nsid }) => nsid === call.nsid)?.schema;
    const isProcedure = schema?.type === "xrpc_procedure";
    const request = requestOf(call, call.verb ?? (isProcedure ? "POST" : "GET"));
    const context: RequestContext = { requestId: "test", ip: "203.0.113.1" };
    const response = await router.handle(request, { nsid: call.nsid, context });
    const { status, headers } = response;
    const bytes = await response.bytes();
    const isJson = headers.get("content-type")?.startsWith("application/json") ?? false;
    const body = isJson && bytes.length > 0 ? JSON.parse(new TextDecoder().decode(bytes)) : undefined;
    if (context.failure instanceof AnswerMismatch) throw context.failure;
    return { status, body, bytes, headers };
  };
}

function requestOf(call: TestCall, verb: string): Request {
  const url = new URL(`http://kith.test/xrpc/${call.nsid}`);
  for (const [name, value] of Object.entries(call.params ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(one));
  }
  const headers = new Headers(call.headers);
  if (call.as !== undefined) headers.set("authorization", `Bearer ${call.as}`);
  if (call.scope !== undefined) headers.set(SCOPE_HEADER, call.scope);
  if (call.json !== undefined) headers.set("content-type", "application/json");
  const body = call.json === undefined ? call.bytes : JSON.stringify(call.json);
  return new Request(url, { method: verb, headers, body });
}

const STRICT = {
  warn: (message: string, fields: object): never => {
    throw new Error(`${message}: ${JSON.stringify(fields)}`);
  },
};

const SCOPE_HEADER = "x-test-scope";

const HEADER_IS_CALLER: Authenticator = {
  authenticate: async (request: Request, kind: AuthKind): Promise<Principal | null> => {
    const caller = request.headers.get("authorization")?.slice("Bearer ".length);
    if (caller === "admin") return { kind: "admin" };
    const scope = (request.headers.get(SCOPE_HEADER) ?? "com.atproto.access") as SessionScope;
    if (caller !== undefined) return { kind: "user", did: caller, scope };
    if (kind === "optional" || kind === "optionalService") return null;
    throw new KithError("auth_missing", "Authentication Required");
  },
};
