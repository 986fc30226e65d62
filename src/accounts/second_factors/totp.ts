/** One-time passwords of an authenticator app (RFC 6238): SHA-1, six digits, 30 seconds, which is what all of them know. */
import { createHmac, timingSafeEqual } from "node:crypto";

export const TOTP_STEP_MS = 30_000;
export const TOTP_DIGITS = 6;
/** RFC 4226, section 4: 160 bits. */
export const TOTP_SECRET_BYTES = 20;
/** How many steps a phone's clock may be off, either way. */
export const TOTP_DRIFT_STEPS = 1;

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE32_BITS = 5;

/** The step of a time in milliseconds since 1970. */
export function totpStep(nowMs: number): number {
  return Math.floor(nowMs / TOTP_STEP_MS);
}

/** The code of a step. */
export function totpCode(secret: Uint8Array, step: number, digits = TOTP_DIGITS): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", secret).update(counter).digest();
  const at = mac.readUInt8(mac.length - 1) & 0x0f;
  const number = mac.readUInt32BE(at) & 0x7fff_ffff;
  return String(number % 10 ** digits).padStart(digits, "0");
}

/** The step around `nowMs` and after `afterStep` whose code this is; undefined where it is that of none. */
export function matchTotp(
  secret: Uint8Array,
  { code, nowMs, afterStep }: { code: string; nowMs: number; afterStep: number },
): number | undefined {
  const typed = Buffer.from(code);
  const present = totpStep(nowMs);
  let found: number | undefined;
  for (let step = present - TOTP_DRIFT_STEPS; step <= present + TOTP_DRIFT_STEPS; step++) {
    const expected = Buffer.from(totpCode(secret, step));
    const matches = typed.length === expected.length && timingSafeEqual(typed, expected);
    if (matches && step > afterStep) found ??= step;
  }
  return found;
}

/** As people type a secret that they cannot scan: base32 without padding. */
export function base32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= BASE32_BITS) {
      bits -= BASE32_BITS;
      text += BASE32[(value >> bits) & 31];
    }
  }
  return bits === 0 ? text : text + BASE32[(value << (BASE32_BITS - bits)) & 31];
}

/** What an authenticator app scans. */
export function totpUri(
  secret: Uint8Array,
  { issuer, account }: { issuer: string; account: string },
): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(account)}`;
  const query = new URLSearchParams({
    secret: base32(secret),
    issuer,
    algorithm: "SHA1",
    digits: "6",
    period: "30",
  });
  return `otpauth://totp/${label}?${query.toString().replaceAll("+", "%20")}`;
}
