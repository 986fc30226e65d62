/**
 * The one error type of kith.
 *
 * A `KithError` is something a caller or an operator did or met: it carries a stable code, a message that states
 * the action that failed and quotes the values, and, for the operator, a hint. `xrpc/error_table.ts` is the only place
 * that maps codes to XRPC names and HTTP statuses. Anything else that is thrown is a defect of ours: it is answered
 * as "internal" and logged in full.
 */

/** Every condition that callers of our modules may be told about. */
export type ErrorCode =
  // the caller's input
  | "invalid_request"
  | "invalid_record"
  | "invalid_swap"
  | "invalid_handle"
  | "handle_not_available"
  | "already_exists"
  | "unsupported_domain"
  | "unsupported_encoding"
  | "invalid_invite_code"
  | "invalid_password"
  | "invalid_email"
  | "invalid_mime_type"
  | "invalid_size"
  | "incompatible_did_doc"
  | "invalid_scope_reference"
  | "payload_too_large"
  | "quota_exceeded"
  | "community_quota"
  | "idempotency_conflict"
  | "last_owner"
  | "invalid_invite"
  | "invalid_credentials"
  | "not_supported"
  | "host_not_allowed"
  | "method_not_allowed"
  | "method_not_implemented"
  | "upgrade_required"
  | "future_cursor"
  // who is calling
  | "auth_missing"
  | "auth_required"
  | "invalid_token"
  | "expired_token"
  | "bad_service_token"
  | "expired_service_token"
  | "untrusted_issuer"
  | "bad_expiration"
  | "token_required"
  | "factor_required"
  | "step_up_required"
  | "invalid_dpop_proof"
  | "use_dpop_nonce"
  | "invalid_access_token"
  | "scope_missing"
  | "forbidden"
  | "role_too_low"
  | "communities_disabled"
  | "rate_limited"
  // what is not there, or may not be seen
  | "account_not_found"
  | "account_takendown"
  | "account_deactivated"
  | "account_suspended"
  | "subject_not_found"
  | "repo_not_found"
  | "repo_takendown"
  | "repo_deactivated"
  | "repo_suspended"
  | "record_not_found"
  | "blob_not_found"
  | "block_not_found"
  | "handle_not_found"
  | "head_not_found"
  | "did_not_found"
  | "did_deactivated"
  | "unknown_feed"
  | "lexicon_not_found"
  | "community_not_found"
  | "attempt_not_found"
  // the server or what it depends on
  | "busy"
  | "shutting_down"
  | "storage_full"
  | "storage_damaged"
  | "consumer_too_slow"
  | "lease_lost"
  | "provisioning_failed"
  | "upstream_failure"
  | "timeout"
  | "config_invalid"
  | "data_folder_refused"
  | "internal";

export interface KithErrorOptions {
  /** What the operator can do about it; shown in logs and on the terminal, never to a remote caller. */
  readonly hint?: string;
  /** After how many seconds a caller may try again. */
  readonly retryAfterS?: number;
  readonly cause?: unknown;
}

export class KithError extends Error {
  override readonly name = "KithError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryAfterS: number | undefined;

  constructor(code: ErrorCode, message: string, options: KithErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryAfterS = options.retryAfterS;
  }
}

/** True for a `KithError`, optionally one with the given code. */
export function isKithError(error: unknown, code?: ErrorCode): error is KithError {
  return error instanceof KithError && (code === undefined || error.code === code);
}
