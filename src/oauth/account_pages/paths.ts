/** Where the pages of accounts are: each names the account in its path, so that two tabs never mean different ones. */
export const ACCOUNT_PATH = "/account";
const PATH_CHARS_MAX = 2_000;

export function accountPath(did: string, rest = ""): string {
  return rest === "" ? `${ACCOUNT_PATH}/${did}` : `${ACCOUNT_PATH}/${did}/${rest}`;
}

/** What is asked for: with a DID that account's page, without one the page of whoever is signed in. Undefined: not ours. */
export function parseAccountPath(pathname: string): { did: string | undefined; rest: string } | undefined {
  if (pathname === ACCOUNT_PATH || pathname === `${ACCOUNT_PATH}/`) return { did: undefined, rest: "" };
  if (!pathname.startsWith(`${ACCOUNT_PATH}/`)) return undefined;
  const [first = "", ...others] = pathname.slice(ACCOUNT_PATH.length + 1).split("/");
  return first.startsWith("did:")
    ? { did: first, rest: others.join("/") }
    : { did: undefined, rest: [first, ...others].join("/") };
}

/** A page of accounts to come back to, as a link names it; undefined for any other place. */
export function returnPath(text: string | null | undefined): string | undefined {
  if (!text || text.length > PATH_CHARS_MAX || !text.startsWith(ACCOUNT_PATH)) return undefined;
  // as a browser reads it: backslashes are slashes to it, and dots go up
  const here = "http://here.invalid";
  const url = URL.parse(text, here);
  if (url?.origin !== here || parseAccountPath(url.pathname) === undefined) return undefined;
  return url.pathname + url.search;
}
