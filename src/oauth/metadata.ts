/** What clients read before they begin. https://atproto.com/specs/oauth#server-metadata, RFC 8414, RFC 9728 */
import { DPOP_ALGORITHMS } from "../auth/mod.ts";

/** What clients may sign assertions and request objects with. */
export const CLIENT_ALGORITHMS = [
  "ES256",
  "ES256K",
  "ES384",
  "ES512",
  "EdDSA",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
] as const;

export const RESPONSE_MODES = ["query", "fragment", "form_post"] as const;
export const PROMPTS = ["none", "login", "consent", "select_account", "create"] as const;

/** Paths below the issuer. */
export const PATHS = {
  authorize: "/oauth/authorize",
  jwks: "/oauth/jwks",
  par: "/oauth/par",
  token: "/oauth/token",
  revoke: "/oauth/revoke",
  introspect: "/oauth/introspect",
} as const;

/** `issuer` is the public origin; `locales` are those of the pages. */
export function serverMetadata({ issuer, locales }: { issuer: string; locales: readonly string[] }): object {
  return {
    issuer,
    authorization_endpoint: issuer + PATHS.authorize,
    token_endpoint: issuer + PATHS.token,
    pushed_authorization_request_endpoint: issuer + PATHS.par,
    revocation_endpoint: issuer + PATHS.revoke,
    introspection_endpoint: issuer + PATHS.introspect,
    jwks_uri: issuer + PATHS.jwks,
    scopes_supported: ["atproto", "transition:email", "transition:generic", "transition:chat.bsky"],
    subject_types_supported: ["public"],
    response_types_supported: ["code"],
    response_modes_supported: RESPONSE_MODES,
    grant_types_supported: ["authorization_code", "refresh_token"],
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: ["none", "private_key_jwt"],
    token_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    revocation_endpoint_auth_methods_supported: ["none", "private_key_jwt"],
    revocation_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    introspection_endpoint_auth_methods_supported: ["private_key_jwt"],
    introspection_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
    require_pushed_authorization_requests: true,
    request_parameter_supported: true,
    request_uri_parameter_supported: true,
    require_request_uri_registration: true,
    request_object_signing_alg_values_supported: CLIENT_ALGORITHMS,
    request_object_encryption_alg_values_supported: [],
    request_object_encryption_enc_values_supported: [],
    client_id_metadata_document_supported: true,
    prompt_values_supported: PROMPTS,
    display_values_supported: ["page", "popup", "touch"],
    ui_locales_supported: locales,
    protected_resources: [issuer],
  };
}

export function resourceMetadata({ issuer }: { issuer: string }): object {
  return {
    resource: issuer,
    authorization_servers: [issuer],
    scopes_supported: [],
    bearer_methods_supported: ["header"],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    dpop_bound_access_tokens_required: true,
    resource_documentation: "https://atproto.com",
  };
}

/** Tokens are opaque, so nobody has to verify a signature of ours. */
export const JWKS = { keys: [] } as const;
