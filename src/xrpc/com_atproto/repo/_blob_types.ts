/** Which media types may be uploaded, where the operator admits only some. */
import { KithError } from "../../../errors.ts";
import { isBelied } from "./_sniff_mime_type.ts";

/** True where `type` is one of `allowed`, whose entries are types, or all of a kind as in `image/*`. */
export function isAllowedType(type: string, allowed: readonly string[]): boolean {
  const essence = essenceOf(type);
  return allowed.some((entry) =>
    entry.endsWith("/*") ? essence.startsWith(entry.slice(0, -1)) : essence === entry,
  );
}

/**
 * Throws KithError invalid_mime_type where the sender names a type that is not allowed. One who names none, or any, is judged by the
 * bytes alone.
 */
export function assertDeclaredAllowed(declared: string | null, allowed: readonly string[] | undefined): void {
  const type = essenceOf(declared ?? "");
  if (!allowed || type === "" || type === "*/*" || type === "application/octet-stream") return;
  if (!isAllowedType(type, allowed)) throw refusal(type, allowed);
}

/** Throws KithError invalid_mime_type where the bytes are of another type than the allowed ones, whatever they claim to be. */
export function assertBytesAllowed(
  { sniffed, head }: { sniffed: string; head: Uint8Array },
  allowed: readonly string[] | undefined,
): void {
  if (!allowed) return;
  if (!isAllowedType(sniffed, allowed)) throw refusal(sniffed, allowed);
  if (isBelied(head, essenceOf(sniffed))) {
    throw new KithError("invalid_mime_type", `Could not upload: its bytes are not of the type "${sniffed}"`);
  }
}

function essenceOf(type: string): string {
  return (type.split(";", 1)[0] ?? "").trim().toLowerCase();
}

function refusal(type: string, allowed: readonly string[]): KithError {
  const shown = type.slice(0, 128);
  return new KithError(
    "invalid_mime_type",
    `Could not upload: the type "${shown}" is not allowed here, but ${allowed.join(", ")}`,
  );
}
