/** IP addresses as text. As node:net tells them, whose module takes a start longer than all of its checks. */

const V4 = String.raw`(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}`;
const H = "[0-9a-fA-F]{1,4}";
/** One alternative for each place where "::" may stand; then the zone. */
const V6 = [
  `(?:${H}:){7}(?:${H}|:)`,
  `(?:${H}:){6}(?:${V4}|:${H}|:)`,
  `(?:${H}:){5}(?::${V4}|(?::${H}){1,2}|:)`,
  `(?:${H}:){4}(?:(?::${H}){0,1}:${V4}|(?::${H}){1,3}|:)`,
  `(?:${H}:){3}(?:(?::${H}){0,2}:${V4}|(?::${H}){1,4}|:)`,
  `(?:${H}:){2}(?:(?::${H}){0,3}:${V4}|(?::${H}){1,5}|:)`,
  `(?:${H}:){1}(?:(?::${H}){0,4}:${V4}|(?::${H}){1,6}|:)`,
  `:(?:(?::${H}){0,5}:${V4}|(?::${H}){1,7}|:)`,
];
const V4_ADDRESS = new RegExp(`^${V4}$`);
const V6_ADDRESS = new RegExp(`^(?:${V6.join("|")})(?:%[0-9a-zA-Z.:-]+)?$`);

/** 4 or 6, and 0 for what is no address. */
export function isIP(text: string): 0 | 4 | 6 {
  if (V4_ADDRESS.test(text)) return 4;
  return V6_ADDRESS.test(text) ? 6 : 0;
}

export function isIPv6(text: string): boolean {
  return V6_ADDRESS.test(text);
}
