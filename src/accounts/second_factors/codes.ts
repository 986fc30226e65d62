/** Codes that people type as a second factor: which one it is shows in its form. */
import { createHash } from "node:crypto";

/** Backup codes that an account gets at a time. */
export const BACKUP_CODES = 10;
/** 60 random bits, as three groups of four letters and digits. */
export const BACKUP_CODE_BYTES = 12;

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const CODE_CHARS_MAX = 100;
const FORMS: readonly (readonly [CodeKind, RegExp])[] = [
  ["totp", /^\d{6}$/],
  ["email", /^[a-z2-7]{10}$/],
  ["backup", /^[a-z2-7]{12}$/],
];

export type CodeKind = "totp" | "email" | "backup";

/** What a typed code can be, without the dashes and spaces that people leave out or add; undefined for no code at all. */
export function readCode(typed: string): { kind: CodeKind; code: string } | undefined {
  const code = typed.slice(0, CODE_CHARS_MAX).replace(/[\s-]/g, "").toLowerCase();
  const kind = FORMS.find(([, form]) => form.test(code))?.[0];
  return kind && { kind, code };
}

/** `random` is twelve bytes. */
export function formatBackupCode(random: Uint8Array): string {
  const chars = Array.from(random.subarray(0, BACKUP_CODE_BYTES), (byte) => BASE32[byte & 31]).join("");
  return [chars.slice(0, 4), chars.slice(4, 8), chars.slice(8)].join("-");
}

/** What is stored of a backup code; `code` as `readCode` gives it. */
export function hashBackupCode(did: string, code: string): string {
  return createHash("sha256").update(`kith backup code\0${did}\0${code}`).digest("base64");
}
