/** Errors that settle a step, told from those after which it is not known what has happened. */
import { type ErrorCode, isKithError, KithError } from "../errors.ts";
import { type HostError, isHostError } from "../identity/mod.ts";

/** What this server, or the PLC directory, will not do however often it is asked. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "invalid_request",
  "invalid_record",
  "invalid_swap",
  "invalid_handle",
  "handle_not_available",
  "already_exists",
  "unsupported_domain",
  "invalid_invite_code",
  "invalid_password",
  "invalid_email",
  "incompatible_did_doc",
  "payload_too_large",
  "blob_not_found",
  "lexicon_not_found",
  "not_supported",
  "forbidden",
  "host_not_allowed",
]);

/** Answers that are no judgement on what was asked: who asked was not known, or it was too often, or too soon. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([401, 408, 425, 429]);

/** The errors of com.atproto.server.createAccount that our callers know too. */
const CODES_OF_HOSTS: Readonly<Record<string, ErrorCode>> = {
  InvalidRequest: "invalid_request",
  InvalidHandle: "invalid_handle",
  HandleNotAvailable: "handle_not_available",
  UnsupportedDomain: "unsupported_domain",
  InvalidInviteCode: "invalid_invite_code",
  InvalidEmail: "invalid_email",
};

/** True where it was refused for good: nothing was done, and asking again would not change that. */
export function isRefusal(error: unknown): error is KithError {
  if (isHostError(error)) {
    return error.status >= 400 && error.status < 500 && !PASSING_STATUSES.has(error.status);
  }
  return isKithError(error) && REFUSALS.has(error.code);
}

/** A host's refusal as our caller is told of it: by the same error, in the host's words. */
export function asCallersError(error: unknown): unknown {
  if (!isHostError(error)) return error;
  const code = CODES_OF_HOSTS[error.error] ?? "upstream_failure";
  const action = `Could not make the account at "${error.host}"`;
  return new KithError(code, `${action}: ${wordsOf(error)}`, { cause: error });
}

function wordsOf({ error, reason, status }: HostError): string {
  return [error, reason].filter((part) => part !== "").join(": ") || `status ${status}`;
}
