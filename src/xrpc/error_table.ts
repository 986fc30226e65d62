/** The only place that maps our error codes to XRPC error names and HTTP statuses. https://atproto.com/specs/xrpc#error-responses */
import { type ErrorCode, isKithError } from "../errors.ts";
import { UpstreamError } from "./proxy/upstream_error.ts";

/** In dev mode, an answer of ours that is not what the method's lexicon says: the caller is told where. */
export class AnswerMismatch extends Error {
  override readonly name = "AnswerMismatch";
}

export interface XrpcError {
  readonly status: number;
  readonly error: string;
  readonly message: string;
}

/**
 * Names are those of the lexicons and of the reference. Two statuses look odd and are relied upon: clients refresh
 * only after a 400 with `ExpiredToken`, and lexicon errors (RepoNotFound, RecordNotFound, ...) are 400, never 404.
 */
export const ERROR_TABLE: Readonly<Record<ErrorCode, readonly [status: number, error: string]>> = {
  invalid_request: [400, "InvalidRequest"],
  invalid_record: [400, "InvalidRequest"],
  invalid_swap: [400, "InvalidSwap"],
  invalid_handle: [400, "InvalidHandle"],
  handle_not_available: [400, "HandleNotAvailable"],
  already_exists: [400, "AlreadyExists"],
  unsupported_domain: [400, "UnsupportedDomain"],
  unsupported_encoding: [415, "UnsupportedMediaType"],
  invalid_invite_code: [400, "InvalidInviteCode"],
  invalid_password: [400, "InvalidPassword"],
  invalid_email: [400, "InvalidEmail"],
  invalid_mime_type: [400, "InvalidMimeType"],
  invalid_size: [400, "InvalidSize"],
  incompatible_did_doc: [400, "IncompatibleDidDoc"],
  invalid_scope_reference: [400, "InvalidScopeReference"],
  payload_too_large: [413, "PayloadTooLarge"],
  quota_exceeded: [413, "QuotaExceeded"],
  community_quota: [429, "CommunityQuotaExceeded"],
  idempotency_conflict: [409, "IdempotencyConflict"],
  last_owner: [400, "LastOwner"],
  invalid_invite: [400, "InvalidInvite"],
  invalid_credentials: [400, "InvalidCredentials"],
  not_supported: [400, "NotSupported"],
  host_not_allowed: [403, "HostNotAllowed"],
  method_not_allowed: [405, "InvalidRequest"],
  method_not_implemented: [501, "MethodNotImplemented"],
  upgrade_required: [426, "UpgradeRequired"],
  future_cursor: [400, "FutureCursor"],
  auth_missing: [401, "AuthMissing"],
  auth_required: [401, "AuthenticationRequired"],
  invalid_token: [400, "InvalidToken"],
  expired_token: [400, "ExpiredToken"],
  bad_service_token: [401, "BadJwt"],
  expired_service_token: [401, "JwtExpired"],
  untrusted_issuer: [401, "UntrustedIss"],
  bad_expiration: [400, "BadExpiration"],
  token_required: [400, "TokenRequired"],
  factor_required: [401, "AuthFactorTokenRequired"],
  step_up_required: [403, "Forbidden"],
  invalid_dpop_proof: [401, "invalid_dpop_proof"],
  use_dpop_nonce: [401, "use_dpop_nonce"],
  invalid_access_token: [401, "invalid_token"],
  scope_missing: [403, "ScopeMissingError"],
  forbidden: [403, "Forbidden"],
  role_too_low: [403, "RoleTooLow"],
  communities_disabled: [403, "CommunitiesDisabled"],
  rate_limited: [429, "RateLimitExceeded"],
  account_not_found: [403, "AccountNotFound"],
  account_takendown: [401, "AccountTakedown"],
  account_deactivated: [401, "AccountDeactivated"],
  account_suspended: [401, "AccountSuspended"],
  subject_not_found: [400, "NotFound"],
  repo_not_found: [400, "RepoNotFound"],
  repo_takendown: [400, "RepoTakendown"],
  repo_deactivated: [400, "RepoDeactivated"],
  repo_suspended: [400, "RepoSuspended"],
  record_not_found: [400, "RecordNotFound"],
  blob_not_found: [400, "BlobNotFound"],
  block_not_found: [400, "BlockNotFound"],
  handle_not_found: [400, "HandleNotFound"],
  head_not_found: [400, "HeadNotFound"],
  did_not_found: [400, "DidNotFound"],
  did_deactivated: [400, "DidDeactivated"],
  unknown_feed: [400, "UnknownFeed"],
  lexicon_not_found: [400, "LexiconNotFound"],
  community_not_found: [400, "CommunityNotFound"],
  attempt_not_found: [400, "AttemptNotFound"],
  busy: [503, "NotEnoughResources"],
  shutting_down: [503, "NotEnoughResources"],
  storage_full: [503, "NotEnoughResources"],
  storage_damaged: [500, "InternalServerError"],
  consumer_too_slow: [400, "ConsumerTooSlow"],
  lease_lost: [409, "AttemptBusy"],
  provisioning_failed: [502, "ProvisioningFailed"],
  upstream_failure: [502, "UpstreamFailure"],
  timeout: [504, "UpstreamTimeout"],
  config_invalid: [500, "InternalServerError"],
  data_folder_refused: [500, "InternalServerError"],
  internal: [500, "InternalServerError"],
};

/** What a caller is told of anything thrown. Of a failure of ours nothing but that it happened: no path, no detail. */
export function toXrpcError(thrown: unknown): XrpcError {
  if (thrown instanceof UpstreamError)
    return { status: thrown.status, error: thrown.error, message: thrown.message };
  if (thrown instanceof AnswerMismatch)
    return { status: 500, error: "InternalServerError", message: thrown.message };
  const code = isKithError(thrown) ? thrown.code : "internal";
  const [status, error] = ERROR_TABLE[code];
  if (status === 500 || !isKithError(thrown)) return { status, error, message: "Internal Server Error" };
  const message =
    code === "storage_full" ? "Could not store anything: the server has no room left" : thrown.message;
  return { status, error, message };
}
