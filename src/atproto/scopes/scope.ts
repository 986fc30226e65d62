/** The `scope` of OAuth: values with a space between. https://atproto.com/specs/oauth#authorization-scopes */
import { formatPermission, parsePermission } from "./permission.ts";

/** Longest scope of a request, in characters. */
export const SCOPE_CHARS_MAX = 8_192;

/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;
const SESSION_VALUES: readonly string[] = [
  "atproto",
  "transition:generic",
  "transition:email",
  "transition:chat.bsky",
];

/** Whether a text has the shape of a scope. */
export function isScopeText(text: string): boolean {
  return text.length <= SCOPE_CHARS_MAX && SCOPE.test(text);
}

/** The values of a scope, each once, in order. */
export function scopeValues(scope: string): string[] {
  return [...new Set(scope.split(" ").filter((value) => value !== ""))];
}

export function hasScope(scope: string, value: string): boolean {
  return scopeValues(scope).includes(value);
}

/** Those values of a scope that mean something here, in the one way to write them. The others grant nothing. */
export function knownScopes(scope: string): string[] {
  return [...new Set(scopeValues(scope).flatMap((value) => canonical(value) ?? []))];
}

/** Whether all that is known of `asked` is in `allowed` as well, however either is spelt. */
export function isScopeWithin(asked: string, allowed: string): boolean {
  return valueBeyond(asked, allowed) === undefined;
}

/** The first value of `asked` that means something and is not in `allowed`, as it is spelt; undefined where there is none. */
export function valueBeyond(asked: string, allowed: string): string | undefined {
  const within = new Set(knownScopes(allowed));
  return scopeValues(asked).find((value) => {
    const known = canonical(value);
    return known !== undefined && !within.has(known);
  });
}

function canonical(value: string): string | undefined {
  if (SESSION_VALUES.includes(value)) return value;
  const permission = parsePermission(value);
  return permission && formatPermission(permission);
}
