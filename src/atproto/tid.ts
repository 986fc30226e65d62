/**
 * Timestamp identifiers: revs and record keys. 53 bits of microseconds and 10 bits of clock id, 13 characters that sort.
 * https://atproto.com/specs/tid
 */
import { create, parse } from "@atcute/tid";

/** Number of clock ids; `clockId` is below it. */
export const TID_CLOCK_IDS = 1024;

/**
 * The TID for `nowMicros` (microseconds since 1970), or the first one after `last` where the clock has not passed it.
 * Always sorts strictly after `last`. RangeError when the microseconds leave 53 bits or the clock id its 10.
 */
export function nextTid(last: string | null, nowMicros: number, clockId: number): string {
  const micros = last === null ? nowMicros : Math.max(nowMicros, tidToMicros(last) + 1);
  if (!Number.isSafeInteger(micros) || micros < 0) throw new RangeError(`no TID for ${micros} microseconds`);
  if (!Number.isInteger(clockId) || clockId < 0 || clockId >= TID_CLOCK_IDS) {
    throw new RangeError(`no TID for clock id ${clockId}`);
  }
  return create(micros, clockId);
}

/** The microseconds since 1970 that a TID was made from. Throws on a malformed TID. */
export function tidToMicros(tid: string): number {
  return parse(tid).timestamp;
}
