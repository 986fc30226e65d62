import { createHash, timingSafeEqual } from "node:crypto";
import { KithError } from "../errors.ts";

/** Compares admin credentials with the configured password, in a time that tells nothing about it. */
export class AdminPassword {
  readonly #digest: Buffer;

  /** `password` as in PDS_ADMIN_PASSWORD. Throws KithError config_invalid where it is empty. */
  constructor(password: string) {
    if (password === "") throw new KithError("config_invalid", "The admin password is empty");
    this.#digest = digestOf(Buffer.from(`admin:${password}`));
  }

  matches(password: string): boolean {
    return timingSafeEqual(digestOf(Buffer.from(`admin:${password}`)), this.#digest);
  }

  /** True for the base64 of `admin:<password>`, which HTTP Basic sends (RFC 7617). */
  matchesBasic(base64: string): boolean {
    return timingSafeEqual(digestOf(Buffer.from(base64, "base64")), this.#digest);
  }
}

/** Equal length, whatever was sent, so that the comparison can be constant-time. */
function digestOf(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
