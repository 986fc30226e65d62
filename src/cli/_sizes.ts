const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** Bytes, as people say them. */
export function sizeOf(bytes: number): string {
  let unit = 0;
  let value = bytes;
  for (; value >= 1_000 && unit < UNITS.length - 1; unit++) value /= 1_000;
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
