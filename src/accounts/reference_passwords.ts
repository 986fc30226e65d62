/**
 * Passwords of accounts that were taken over from a reference PDS: its hashes are `salt:hash` in hex, by scrypt with the parameters that are
 * Node's defaults. Those of app passwords have a salt that follows from the DID, so that a row is found by its hash.
 */
import { createHash, randomBytes, scrypt, timingSafeEqual } from "node:crypto";

const HASH_BYTES = 64;
const SALT_BYTES = 16;
const FORM = /^([^:$]+):([0-9a-f]{128})$/;

/** Of nobody's password: what is verified where there is no such hash, so that the time taken tells nothing. */
const DECOY = `${randomBytes(SALT_BYTES).toString("hex")}:${randomBytes(HASH_BYTES).toString("hex")}`;

export function isReferenceHash(hash: string): boolean {
  return FORM.test(hash);
}

/** Without a hash it does the same work, and answers false. */
export async function verifyReferenceHash(password: string, hash = DECOY): Promise<boolean> {
  const [, salt = "", hex = ""] = FORM.exec(hash) ?? [];
  const derived = await derive(password, salt);
  return timingSafeEqual(derived, Buffer.from(hex, "hex")) && hash !== DECOY;
}

/** What the reference stores of an app password. */
export async function referenceAppPasswordHash(did: string, password: string): Promise<string> {
  const salt = createHash("sha256").update(did).digest().subarray(0, SALT_BYTES).toString("hex");
  return `${salt}:${(await derive(password, salt)).toString("hex")}`;
}

function derive(password: string, salt: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, (error, derived) => (error ? reject(error) : resolve(derived)));
  });
}
