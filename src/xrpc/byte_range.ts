/** Which part of an answer is asked for. https://www.rfc-editor.org/rfc/rfc9110#name-range-requests */

/** From `start`, `end` excluded. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The one range that is asked for of `size` bytes; undefined where the whole is to be answered: nothing, several, something else or
 * a malformed range is asked for, or (If-Range) another version than `etag` is known. "unsatisfiable" where there is no such part.
 */
export function rangeOf(
  headers: Headers,
  { size, etag }: { size: number; etag: string },
): ByteRange | "unsatisfiable" | undefined {
  const asked = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(headers.get("range") ?? "");
  const ifRange = headers.get("if-range");
  if (!asked || (ifRange !== null && ifRange.trim() !== etag)) return undefined;
  const [, first = "", last = ""] = asked;
  if (first === "") {
    if (last === "") return undefined;
    const count = Math.min(Number(last), size);
    return count === 0 ? "unsatisfiable" : { start: size - count, end: size };
  }
  const start = Number(first);
  const end = last === "" ? size : Math.min(Number(last) + 1, size);
  if (last !== "" && Number(last) < start) return undefined;
  return start >= size ? "unsatisfiable" : { start, end };
}

/** True where the caller has this version already (If-None-Match). */
export function isKnown(headers: Headers, etag: string): boolean {
  const known = headers.get("if-none-match");
  if (known === null) return false;
  return known.split(",").some((each) => ["*", etag].includes(each.trim().replace(/^W\//, "")));
}
