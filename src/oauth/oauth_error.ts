import { KithError } from "../errors.ts";

/** The error codes of RFC 6749, 7591, 9101, 9126, 9449, and of OpenID Connect for what a person decides. */
export type OAuthErrorCode =
  | "invalid_request"
  | "invalid_client"
  | "invalid_client_metadata"
  | "invalid_redirect_uri"
  | "invalid_grant"
  | "invalid_scope"
  | "invalid_request_object"
  | "invalid_dpop_proof"
  | "use_dpop_nonce"
  | "unauthorized_client"
  | "unsupported_grant_type"
  | "unsupported_response_type"
  | "access_denied"
  | "login_required"
  | "consent_required"
  | "account_selection_required"
  | "server_error"
  | "temporarily_unavailable";

/** What an app is told by its OAuth name; to the rest of kith it is an invalid request. */
export class OAuthError extends KithError {
  readonly error: OAuthErrorCode;

  constructor(error: OAuthErrorCode, message: string, options: { cause?: unknown } = {}) {
    super("invalid_request", message, options);
    this.error = error;
  }
}
