/** The cookie of a browser: an id, which stays, and a secret, which changes. */
import { createHash, randomBytes } from "node:crypto";

const ID_BYTES = 16;
const SECRET_BYTES = 32;
const FORM = /^([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})$/;
/** One year, in seconds. */
const MAX_AGE_S = 365 * 24 * 3_600;

/** What the cookie says. */
export interface DeviceCookie {
  readonly id: string;
  readonly secret: string;
}

export function newDeviceCookie(): DeviceCookie {
  return { id: randomBytes(ID_BYTES).toString("base64url"), secret: newDeviceSecret() };
}

export function newDeviceSecret(): string {
  return randomBytes(SECRET_BYTES).toString("base64url");
}

/** With https the name binds it to this host alone, over https alone. */
export function deviceCookieName({ isSecure }: { isSecure: boolean }): string {
  return isSecure ? "__Host-kith-device" : "kith-device";
}

/** The first that has the right form, of a Cookie header. */
export function readDeviceCookie(
  header: string | null | undefined,
  options: { isSecure: boolean },
): DeviceCookie | undefined {
  const prefix = `${deviceCookieName(options)}=`;
  for (const part of (header ?? "").split(";")) {
    const pair = part.trim();
    const [, id, secret] = (pair.startsWith(prefix) && FORM.exec(pair.slice(prefix.length))) || [];
    if (id !== undefined && secret !== undefined) return { id, secret };
  }
  return undefined;
}

/** A Set-Cookie header. One that is not to last ends with the browser's session. */
export function writeDeviceCookie(
  { id, secret }: DeviceCookie,
  { isSecure, lasts }: { isSecure: boolean; lasts: boolean },
): string {
  return [
    `${deviceCookieName({ isSecure })}=${id}.${secret}`,
    "Path=/",
    "HttpOnly",
    "SameSite=Lax",
    ...(isSecure ? ["Secure"] : []),
    ...(lasts ? [`Max-Age=${MAX_AGE_S}`] : []),
  ].join("; ");
}

/** What is stored of an id or a secret: both are random and long. */
export function hashOfDevice(part: "id" | "secret", value: string): string {
  return createHash("sha256").update(`kith device ${part}\0${value}`).digest("base64url");
}
