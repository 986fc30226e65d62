/** For tests: a stock PDS whose methods a test answers, one by one. */
import { KithError } from "../../errors.ts";
import { type Patience, type SafeStream, XrpcHost } from "../../identity/mod.ts";

export const PDS = "https://pds.example.com";
export const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
export const OTHER_DID = "did:plc:44ybard66vv44zksje25o7dz";
export const PASSWORD = "a-password-of-the-test";

const PATIENCE: Patience = {
  retryPausesMs: [],
  rateLimitWaitMsMax: 0,
  rateLimitWaitsMax: 0,
  answerTimeoutMs: 1_000,
  jsonBytesMax: 10_000,
};

export interface FakeCall {
  /** The last word of the NSID. */
  readonly method: string;
  readonly token: string | undefined;
  /** Parameters of a query, or the input of a procedure. */
  readonly given: Readonly<Record<string, unknown>>;
}

/** The body of an answer, an answer, or a failure of the network. */
export type Reply = object | Response | KithError;
export type Answerer = Reply | ((call: FakeCall) => Reply | Promise<Reply>);

export const refusal = (status: number, error = "", message = ""): Response =>
  Response.json({ error, message }, { status });
export const unreachable = new KithError("upstream_failure", "Could not fetch it: no answer");

/** What a good PDS with the account of `DID` answers. */
export function goodAnswers(): Record<string, Answerer> {
  const session = {
    did: DID,
    handle: "garden.pds.example.com",
    active: false,
    status: "deactivated",
    ...{ accessJwt: "access", refreshJwt: "refresh" },
  };
  return {
    describeServer: { did: "did:web:pds.example.com", availableUserDomains: [".pds.example.com"] },
    checkHandleAvailability: refusal(501, "MethodNotImplemented"),
    resolveHandle: refusal(400, "HandleNotFound"),
    getRepoStatus: { did: DID, active: false, status: "deactivated" },
    createAccount: ({ given }) =>
      given.did === DID
        ? { did: DID, handle: "garden.pds.example.com", accessJwt: "access", refreshJwt: "refresh" }
        : refusal(401, "AuthenticationRequired", "Missing auth to create account"),
    createSession: ({ given }) =>
      given.password === PASSWORD ? session : refusal(401, "AuthenticationRequired", "Invalid"),
    deleteSession: {},
    getRecommendedDidCredentials: { rotationKeys: ["did:key:zPds"] },
    activateAccount: {},
    deactivateAccount: {},
    listAppPasswords: { passwords: [] },
    revokeAppPassword: {},
    createAppPassword: ({ given }) => ({ name: given.name, password: "abcd-efgh-ijkl-mnop" }),
  };
}

/** A host that answers as told, and tells what it was asked. */
export function fakeHost(answers: Record<string, Answerer>, url = PDS) {
  const calls: FakeCall[] = [];
  const stream: SafeStream = async (address, { method: verb, headers, body }) => {
    const { pathname, searchParams } = new URL(address);
    const method = pathname.split(".").at(-1) ?? "";
    const input = typeof body === "string" ? (JSON.parse(body) as Record<string, unknown>) : {};
    const given = verb === "GET" ? Object.fromEntries(searchParams) : input;
    const call = { method, token: headers.authorization?.replace("Bearer ", ""), given };
    calls.push(call);
    const answerer = answers[method] ?? refusal(501, "MethodNotImplemented");
    const reply = typeof answerer === "function" ? await answerer(call) : answerer;
    if (reply instanceof KithError) throw reply;
    const response = reply instanceof Response ? reply.clone() : Response.json(reply);
    return { status: response.status, headers: response.headers, body: response.body };
  };
  const options = { url, stream, sleep: async () => undefined, now: () => 0, patience: PATIENCE };
  return { host: new XrpcHost(options), calls, asked: () => calls.map(({ method }) => method) };
}
