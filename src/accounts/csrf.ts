/** Whether a form comes from our own page, in this browser. Pure. */
import { createHmac, timingSafeEqual } from "node:crypto";

/** Bytes of the random part of a token. */
export const CSRF_NONCE_BYTES = 16;
const MAC_BYTES = 32;

export interface CsrfKey {
  /** A secret of this server. */
  readonly key: Uint8Array | string;
}

/**
 * What the forms of a page carry: good in this browser alone, for as long as its cookie. `nonce` is random, so that no two pages have
 * the same and compression tells nothing of it.
 */
export function csrfToken(
  device: { readonly id: string },
  { key, nonce }: CsrfKey & { readonly nonce: Uint8Array },
): string {
  return Buffer.concat([nonce, macOf(device, { key, nonce })]).toString("base64url");
}

/** True for a token that `csrfToken` made for this device. */
export function checkCsrf(
  device: { readonly id: string },
  { key, token }: CsrfKey & { readonly token: string | null | undefined },
): boolean {
  const bytes = Buffer.from((token ?? "").slice(0, 200), "base64url");
  if (bytes.length !== CSRF_NONCE_BYTES + MAC_BYTES) return false;
  const nonce = bytes.subarray(0, CSRF_NONCE_BYTES);
  return timingSafeEqual(bytes.subarray(CSRF_NONCE_BYTES), macOf(device, { key, nonce }));
}

/**
 * Whether a browser says that a form was sent from our own origin. Every browser of today sends `Sec-Fetch-Site` to a secure origin, and
 * each sends `Origin` with a POST: a request without both is refused, and neither may say otherwise.
 */
export function isFromOwnPage(headers: Headers, { publicUrl }: { publicUrl: string }): boolean {
  const [site, origin] = [headers.get("sec-fetch-site"), headers.get("origin")];
  if (site === null && origin === null) return false;
  return (
    (site === null || site === "same-origin") && (origin === null || origin === new URL(publicUrl).origin)
  );
}

function macOf(device: { readonly id: string }, { key, nonce }: CsrfKey & { nonce: Uint8Array }): Buffer {
  return createHmac("sha256", key).update("kith csrf\0").update(nonce).update(device.id).digest();
}
