/** Dev mode: what methods answer is held against their lexicons, so that a mistake is found before a client meets it. */
import { safeParse } from "@atcute/lexicons/validations";
import { readableIssue } from "../atproto/mod.ts";
import { DECLARED_ERRORS } from "./_declared_errors.ts";
import { AnswerMismatch, toXrpcError } from "./error_table.ts";
import { JsonText, type Method } from "./method.ts";
import { UpstreamError } from "./proxy/upstream_error.ts";

/** Errors that any method may answer, by the specification or by the reference. https://atproto.com/specs/xrpc#error-responses */
const COMMON_ERRORS: ReadonlySet<string> = new Set([
  "InvalidRequest",
  "AuthMissing",
  "AuthenticationRequired",
  "InvalidToken",
  "ExpiredToken",
  "BadJwt",
  "JwtExpired",
  "UntrustedIss",
  "Forbidden",
  "ScopeMissingError",
  "invalid_token",
  "invalid_dpop_proof",
  "use_dpop_nonce",
  "AccountNotFound",
  "AccountTakedown",
  "AccountSuspended",
  "AccountDeactivated",
  "RateLimitExceeded",
  "PayloadTooLarge",
  "UnsupportedMediaType",
  "MethodNotImplemented",
  "InternalServerError",
  "NotEnoughResources",
  "UpstreamFailure",
  "UpstreamTimeout",
]);

const OF_BLOBS = ["BlobNotFound", "InvalidMimeType", "InvalidSize"];
const OF_HANDLES = ["InvalidHandle", "HandleNotAvailable", "UnsupportedDomain"];
const OF_REPOS = ["RepoNotFound", "RepoTakendown", "RepoSuspended", "RepoDeactivated"];

/** Beyond their lexicons: the reference answers these names too, and clients go by them. Some are our own. */
const BEYOND_THE_LEXICON: Readonly<Record<string, readonly string[]>> = {
  "com.atproto.admin.deleteAccount": ["NotFound", "LastOwner"],
  "com.atproto.admin.disableAccountInvites": ["NotFound"],
  "com.atproto.admin.enableAccountInvites": ["NotFound"],
  "com.atproto.admin.getAccountInfo": ["NotFound"],
  "com.atproto.admin.getSubjectStatus": ["NotFound"],
  "com.atproto.admin.updateAccountHandle": OF_HANDLES,
  "com.atproto.admin.updateAccountPassword": ["NotFound"],
  "com.atproto.admin.updateSubjectStatus": ["NotFound"],
  "com.atproto.identity.updateHandle": OF_HANDLES,
  "com.atproto.repo.applyWrites": OF_BLOBS,
  "com.atproto.repo.createRecord": OF_BLOBS,
  "com.atproto.repo.describeRepo": OF_REPOS,
  "com.atproto.repo.putRecord": OF_BLOBS,
  "com.atproto.repo.uploadBlob": ["InvalidMimeType", "QuotaExceeded"],
  "com.atproto.server.createAccount": ["AlreadyExists"],
  "com.atproto.server.deleteAccount": ["LastOwner"],
  "com.atproto.server.getAccountInviteCodes": ["NotFound"],
  "com.atproto.sync.getCheckout": OF_REPOS,
  "com.atproto.sync.getHead": OF_REPOS,
  "com.atproto.temp.addReservedHandle": ["InvalidHandle"],
};

/** True where the method's lexicon has the error, or the reference answers it. */
export function declaresError(nsid: string, name: string): boolean {
  return [DECLARED_ERRORS, BEYOND_THE_LEXICON].some((names) => names[nsid]?.includes(name));
}

interface ErrorLog {
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
}

export class LexiconCheck {
  readonly #log: ErrorLog;

  constructor(log: ErrorLog) {
    this.#log = log;
  }

  /** Throws AnswerMismatch, with the method and the place, where `output` is not what the lexicon says. */
  answer({ nsid, schema }: Method, output: unknown): void {
    const problem = output instanceof Response ? wrongResponse(schema, output) : wrongValue(schema, output);
    if (problem !== undefined)
      throw new AnswerMismatch(`The answer of "${nsid}" is not its lexicon's: ${problem}`);
  }

  /** Warns of an error whose name neither the method's lexicon nor the protocol has. What a service answers is its own. */
  error({ nsid }: Method, thrown: unknown): void {
    if (thrown instanceof UpstreamError) return;
    const { error } = toXrpcError(thrown);
    if (COMMON_ERRORS.has(error)) return;
    if (declaresError(nsid, error)) return;
    this.#log.warn("An error is not declared by its method's lexicon", { nsid, name: error });
  }
}

function wrongValue({ output: expected }: Method["schema"], output: unknown): string | undefined {
  if (expected === null || expected === undefined) return output === undefined ? undefined : "it has none";
  if (expected.type !== "lex") return "it is to be bytes";
  if (output === undefined) return "there is none";
  // As it goes over the wire: without what is undefined.
  const sent = output instanceof JsonText ? output.parse() : JSON.parse(JSON.stringify(output));
  const verdict = safeParse(expected.schema, sent);
  return verdict.ok ? undefined : readableIssue(verdict.message);
}

/** A JSON response is a service's, passed on as it came. */
function wrongResponse({ output: expected }: Method["schema"], response: Response): string | undefined {
  if (expected?.type !== "blob" || expected.encoding === undefined) return undefined;
  const type = response.headers.get("content-type") ?? "";
  const isRight = expected.encoding.some((pattern) => pattern === "*/*" || pattern === type);
  return isRight ? undefined : `its type is "${type}"`;
}
