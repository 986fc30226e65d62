import { KithError } from "../errors.ts";

/** RFC 5321, section 4.5.3.1: the longest address that can be a recipient. */
const ADDRESS_CHARS_MAX = 254;
const LOCAL_PART_CHARS_MAX = 64;
/** A dot-atom (RFC 5322, section 3.2.3), letters of any script; quoted local parts are refused on purpose. */
const LOCAL_PART = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u;
const DOMAIN_LABEL = /^[\p{L}\p{N}]([\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?$/u;

/** True for an e-mail address that mail can be sent to: dot-atom, `@`, a domain of two labels at least. */
export function isEmailAddress(text: string): boolean {
  if (text.length > ADDRESS_CHARS_MAX) return false;
  const at = text.lastIndexOf("@");
  const local = text.slice(0, at);
  const labels = text.slice(at + 1).split(".");
  return (
    at > 0 &&
    local.length <= LOCAL_PART_CHARS_MAX &&
    LOCAL_PART.test(local) &&
    labels.length >= 2 &&
    labels.every((label) => DOMAIN_LABEL.test(label))
  );
}

/** The one spelling of an address that is stored and compared: lower case. */
export function normalizeEmail(email: string): string {
  return email.toLowerCase();
}

/** The address to store for a new account. Throws KithError invalid_request where it is absent or no address. */
export function checkEmail(email: string | undefined): string {
  if (!email) throw new KithError("invalid_request", "Email is required");
  const normal = normalizeEmail(email);
  if (!isEmailAddress(normal)) {
    throw new KithError("invalid_request", `Not an e-mail address: "${email.slice(0, ADDRESS_CHARS_MAX)}"`);
  }
  return normal;
}
