/** The authorization server: what apps call, and what its pages need of it. https://atproto.com/specs/oauth */
export { AccountPages, type AccountPagesOptions } from "./account_pages/account_pages.ts";
export { Entrance, type EntranceOptions } from "./account_pages/entrance.ts";
export { ACCOUNT_PATH } from "./account_pages/paths.ts";
export { type AdminHomeFacts, AdminPages, type AdminPagesOptions } from "./admin_pages/admin_pages.ts";
export { AdminSessions } from "./admin_pages/admin_sessions.ts";
export type { AuthorizationParameters, Prompt, ResponseMode } from "./authorization_parameters.ts";
export * from "./authorization_requests.ts";
export { ClientAuth } from "./client_auth.ts";
export { ClientLogos, type ClientLogosOptions } from "./client_logos.ts";
export { type Client, isRedirectUriOf } from "./client_metadata.ts";
export { Clients } from "./clients.ts";
export { Grants } from "./grants.ts";
export { PATHS } from "./metadata.ts";
export { OAuthError, type OAuthErrorCode } from "./oauth_error.ts";
export * from "./oauth_server.ts";
export {
  type AdoptionAsked,
  type AdoptionConsents,
  AdoptionPages,
  type AdoptionPagesOptions,
} from "./pages/adoption_pages.ts";
export { AuthorizePages, type AuthorizePagesOptions } from "./pages/authorize_pages.ts";
export { Form, readForm } from "./pages/form.ts";
export { chosenLanguage, languageCookie } from "./pages/language_cookie.ts";
export { PageCall, type PageContext } from "./pages/page_call.ts";
export { isPagePath } from "./pages/page_paths.ts";
export {
  type PageAct,
  type PageLimits,
  type PageRoute,
  type PageRoutes,
  PageServer,
  problemAnswer,
} from "./pages/page_server.ts";
export {
  SignInPages,
  type SignInPagesOptions,
  type SignInStep,
  signInError,
  type Trail,
  type TrailFinder,
} from "./pages/sign_in_pages.ts";
export { SignUpPages, type SignUpPagesOptions } from "./pages/sign_up_pages.ts";
export { expandScope, type PermissionSets } from "./permission_sets.ts";
export { ClientJwts } from "./signed_by_client.ts";
