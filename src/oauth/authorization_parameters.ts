/** What an app asks for, checked. https://atproto.com/specs/oauth#authorization-requests */
import { isDid, isHandle, isScopeText, knownScopes, scopeValues, valueBeyond } from "../atproto/mod.ts";
import { type Client, isRedirectUriOf } from "./client_metadata.ts";
import { PROMPTS, RESPONSE_MODES } from "./metadata.ts";
import { OAuthError } from "./oauth_error.ts";
import { type Parameters, required } from "./parameters.ts";

const STATE_CHARS_MAX = 2_048;
const HINT_CHARS_MAX = 2_048;
const LOCALES_CHARS_MAX = 256;
const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;
/** SHA-256, as base64url. */
const THUMBPRINT = CHALLENGE;

export type ResponseMode = (typeof RESPONSE_MODES)[number];
export type Prompt = (typeof PROMPTS)[number];

/** An authorization request that may be shown to a person. */
export interface AuthorizationParameters {
  readonly redirectUri: string;
  readonly state: string;
  readonly codeChallenge: string;
  /** What of the asked scope is known here, as it was spelt. */
  readonly scope: string;
  readonly responseMode: ResponseMode;
  readonly prompts: readonly Prompt[];
  /** A handle or a DID: the account has to be this one. */
  readonly loginHint?: string;
  /** Languages by preference, as the app says. */
  readonly uiLocales?: string;
  readonly dpopJkt?: string;
}

/**
 * Checks the parameters of a pushed request. Throws OAuthError invalid_request, invalid_scope,
 * unsupported_response_type, consent_required.
 */
export function checkAuthorization(parameters: Parameters, client: Client): AuthorizationParameters {
  if (parameters.request_uri !== undefined) throw invalid("request_uri may not be pushed");
  const redirectUri = required(parameters, "redirect_uri");
  if (!isRedirectUriOf(client, redirectUri)) {
    // `invalid_redirect_uri` is an error of registrations, RFC 7591: here it is one of a request, RFC 6749 section 4.1.2.1.
    throw invalid(`the client's metadata does not have the redirect_uri "${redirectUri.slice(0, 200)}"`);
  }
  if (required(parameters, "response_type") !== "code") {
    throw new OAuthError("unsupported_response_type", 'Could not use the response_type: "code" is supported');
  }
  const state = required(parameters, "state");
  if (state.length > STATE_CHARS_MAX) throw invalid(`state is over ${STATE_CHARS_MAX} characters`);
  const codeChallenge = required(parameters, "code_challenge");
  // RFC 7636 takes an absent method for "plain", which is not allowed here.
  if (parameters.code_challenge_method !== "S256") throw invalid('code_challenge_method is not "S256"');
  if (!CHALLENGE.test(codeChallenge)) throw invalid("code_challenge is no SHA-256 hash as base64url");
  const { login_hint: loginHint, ui_locales: uiLocales, dpop_jkt: dpopJkt } = parameters;
  if (dpopJkt !== undefined && !THUMBPRINT.test(dpopJkt)) throw invalid("dpop_jkt is no thumbprint of a key");
  return {
    redirectUri,
    state,
    codeChallenge,
    scope: checkScope(parameters.scope, client),
    responseMode: oneOf(RESPONSE_MODES, {
      name: "response_mode",
      value: parameters.response_mode ?? "query",
    }),
    prompts: checkPrompts(parameters.prompt, client),
    ...(loginHint === undefined ? {} : { loginHint: checkHint(loginHint) }),
    ...(uiLocales === undefined || uiLocales.length > LOCALES_CHARS_MAX ? {} : { uiLocales }),
    ...(dpopJkt === undefined ? {} : { dpopJkt }),
  };
}

function checkScope(scope: string | undefined, client: Client): string {
  const refuse = (why: string) => new OAuthError("invalid_scope", `Could not use the scope: ${why}`);
  if (scope === undefined || !isScopeText(scope)) throw refuse("it is missing, too long or malformed");
  const values = scopeValues(scope);
  if (!values.includes("atproto")) throw refuse('it lacks "atproto"');
  if (values.includes("openid")) throw refuse('"openid" is not supported');
  const beyond = valueBeyond(scope, client.scope);
  if (beyond !== undefined)
    throw refuse(`"${beyond.slice(0, 200)}" is not in the scope of the client's metadata`);
  // What is not understood grants nothing, and so nobody is asked to consent to it.
  return values.filter((value) => knownScopes(value).length > 0).join(" ");
}

function checkPrompts(prompt: string | undefined, client: Client): readonly Prompt[] {
  const words = new Set(prompt?.split(" ").filter((word) => word !== ""));
  const prompts = [...words].map((value) => oneOf(PROMPTS, { name: "prompt", value }));
  if (!prompts.includes("none")) return prompts;
  if (prompts.length > 1) throw invalid('prompt has "none" and others');
  // Whoever runs on the person's own machine could be anybody.
  if (client.authMethod === "none") {
    throw new OAuthError(
      "consent_required",
      'Could not use prompt "none": a public client always asks the person',
    );
  }
  return prompts;
}

function checkHint(hint: string): string {
  const name = hint.startsWith("@") ? hint.slice(1) : hint;
  if (hint.length <= HINT_CHARS_MAX && (isDid(name) || isHandle(name))) {
    return name.startsWith("did:") ? name : name.toLowerCase();
  }
  throw invalid("login_hint is no handle and no DID");
}

function oneOf<const T extends string>(
  known: readonly T[],
  { name, value }: { name: string; value: string },
): T {
  const found = known.find((word) => word === value);
  if (found === undefined) throw invalid(`${name} "${value.slice(0, 64)}" is none of ${known.join(", ")}`);
  return found;
}

function invalid(why: string): OAuthError {
  return new OAuthError("invalid_request", `Could not take the authorization request: ${why}`);
}
