/** Who is calling: tokens of sessions, apps and services, and the admin password, to a Principal. */
export * from "./authenticator.ts";
export * from "./dpop_nonces.ts";
export * from "./dpop_proof.ts";
export { importJwsKey, type JwsKey } from "./jws_key.ts";
export * from "./oauth_access.ts";
export * from "./principal.ts";
export * from "./replay_guard.ts";
export * from "./service_tokens.ts";
export * from "./session_tokens.ts";
export * from "./socket_authenticator.ts";
