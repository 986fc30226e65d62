/** Zod schemas from the text of an environment variable to a value. Their messages complete "NAME is VALUE: it must ...". */

import { isDid } from "@atcute/lexicons/syntax";
import { z } from "zod";
import { isIP } from "../ip.ts";

// Each schema here is used a few times at most: compiling it would take longer than all that it is used for.
z.config({ jitless: true });

// Each schema here is used a few times at most: compiling it would take longer than all that it is used for.
z.config({ jitless: true });

const DOMAIN = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** Order of the K-256 group: a private key lies below it. */
const K256_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

export const text = z.string();

export const flag = z.string().transform((value, context) => {
  const word = value.toLowerCase();
  if (["true", "1", "yes", "on"].includes(word)) return true;
  if (["false", "0", "no", "off"].includes(word)) return false;
  return refuse(context, "it must be true or false");
});

/** A whole number from `min` to `max`. */
export function whole(min: number, max: number) {
  return z.string().transform((value, context) => {
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
    return number >= min && number <= max
      ? number
      : refuse(context, `it must be a whole number from ${min} to ${max}`);
  });
}

export function oneOf<const T extends string>(words: readonly T[]) {
  return z.string().transform((value, context) => {
    const found = words.find((word) => word === value.toLowerCase());
    return found ?? refuse(context, `it must be one of ${words.join(", ")}`);
  });
}

/** A comma-separated list; empty items are dropped. */
export function listOf<T>(item: z.ZodType<T, string>) {
  return z
    .string()
    .transform((value) =>
      value
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    )
    .pipe(z.array(item));
}

export const hostname = z.string().transform((value, context) => {
  const name = value.toLowerCase().replace(/\.$/, "");
  if (name === "localhost" || DOMAIN.test(name)) return name;
  const hint = value.includes("/") || value.includes(":") ? ", without https://, port or path" : "";
  return refuse(context, `it must be a host name such as pds.example.com${hint}`);
});

export const handleDomain = z.string().transform((value, context) => {
  const name = value.toLowerCase();
  if (!name.startsWith(".")) return refuse(context, `each entry must start with a dot: write ".${name}"`);
  return DOMAIN.test(`x${name}`)
    ? name
    : refuse(context, "each entry must be a domain after its dot, such as .example.com");
});

export const did = z
  .string()
  .refine((value) => isDid(value), "it must be a DID such as did:web:pds.example.com");

export const didKey = z
  .string()
  .regex(/^did:key:z[1-9A-HJ-NP-Za-km-z]{40,80}$/, "it must be a public key such as did:key:zQ3sh...");

export const httpUrl = z.string().transform((value, context) => {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol))
    return refuse(context, "it must be a URL that starts with https://");
  if (url.username !== "" || url.password !== "")
    return refuse(context, "it must not contain a user name or password");
  return value.replace(/\/+$/, "");
});

/** A name in a title: short, on one line. */
export const serviceName = z
  .string()
  .regex(/^[^\r\n]{1,80}$/, "it must be a name of up to 80 characters on one line");

/** A colour as `#rrggbb`, `#rgb` or `rgb(R, G, B)`; becomes `#rrggbb`. */
export const color = z.string().transform((value, context) => {
  const text = value.trim().toLowerCase();
  if (/^#[0-9a-f]{6}$/.test(text)) return text;
  if (/^#[0-9a-f]{3}$/.test(text)) return `#${[...text.slice(1)].map((digit) => digit + digit).join("")}`;
  const channels = /^rgb\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*\)$/.exec(text)?.slice(1).map(Number);
  if (channels?.every((channel) => channel <= 255))
    return `#${channels.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
  return refuse(context, "it must be a colour such as #1d6a54 or rgb(29, 106, 84), without transparency");
});

/** The longest picture that a setting may hold itself, in characters. */
const DATA_URL_CHARS_MAX = 700_000;

/** The URL of a picture: on the web, or with the picture in it. */
export const imageUrl = z.string().transform((value, context) => {
  const isData = /^data:image\/[a-z0-9.+-]+;base64,[a-z0-9+/]+=*$/i.test(value);
  if (isData && value.length <= DATA_URL_CHARS_MAX) return value;
  const url = URL.parse(value);
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "")
    return value;
  return refuse(context, "it must be a URL that starts with https://, or data:image/TYPE;base64,DATA");
});

/** The URL of something that is put into it, at each of its `holes` %s. */
export function urlPattern(holes: number) {
  return z.string().transform((value, context) => {
    const isUrl = /^https?:$/.test(URL.parse(value.replaceAll("%s", "x"))?.protocol ?? "");
    if (isUrl && value.split("%s").length === holes + 1) return value;
    return refuse(context, `it must be a URL with ${holes} times %s in it`);
  });
}

/** A media type, or all of a kind. */
export const mediaRange = z
  .string()
  .transform((value) => value.toLowerCase())
  .refine(
    (value) => /^[a-z0-9!#$&^_.+-]+\/(?:\*|[a-z0-9!#$&^_.+-]+)$/.test(value),
    "each entry must be a media type such as video/mp4, or all of a kind such as image/*",
  );

export const email = z.string().regex(/^[^\s@]+@[^\s@]+$/, "it must be an e-mail address");

/** What nodemailer takes: a server, or the machine's own sendmail. */
export const smtpUrl = z.string().transform((value, context) => {
  const url = URL.parse(value);
  const isMail = url !== null && /^smtps?:$/.test(url.protocol);
  if (isMail && !isDecodable(url.username + url.password)) {
    return refuse(context, "a % in the user name or password must be written as %25");
  }
  if (isMail && (url.hostname !== "" || url.searchParams.get("sendmail") === "true")) return value;
  return refuse(
    context,
    "it must be smtp://HOST:PORT, smtps://USER:PASSWORD@HOST:PORT or smtp:///?sendmail=true",
  );
});

export const mailSender = z
  .string()
  .regex(
    /^(?:[^\s@<>,]+@[^\s@<>,]+|[^<>"\r\n]{1,100} <[^\s@<>,]+@[^\s@<>,]+>)$/,
    "it must be an e-mail address, or a name and an address such as kith <noreply@example.com>",
  );

export const ipAddress = z
  .string()
  .transform((value) => value.replace(/^\[|\]$/g, ""))
  .refine((value) => isIP(value) !== 0, "each entry must be an IP address such as 127.0.0.1 or ::1");

/** An IP address, or a network as ADDRESS/BITS. */
export const ipNetwork = z.string().refine((value) => {
  const [address = "", bits, ...more] = value.split("/");
  const bitsMax = isIP(address) === 4 ? 32 : 128;
  const isLength = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax);
  return isIP(address) !== 0 && isLength && more.length === 0;
}, "each entry must be an IP address or a network, such as 192.0.2.1 or 2001:db8::/32");

/** An address of a name server: IP or host name, with an optional port. */
export const nameserver = z
  .string()
  .refine(
    (value) => isIP(value) !== 0 || /^([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$/i.test(value),
    "each entry must be an IP address or a host name, such as 1.1.1.1",
  );

export const k256PrivateKeyHex = z.string().transform((value, context) => {
  const hex = value.toLowerCase();
  const scalar = /^[0-9a-f]{64}$/.test(hex) ? BigInt(`0x${hex}`) : 0n;
  if (scalar > 0n && scalar < K256_ORDER) return hex;
  return refuse(context, "it must be a K-256 private key: 64 hexadecimal digits");
});

/** A key of a backup; whether it is whole is looked at where it is used. */
export const backupKey = z
  .string()
  .regex(/^kithbk1_[A-Za-z0-9_-]{48}$/, 'it must be a key as "kith backup new-key" prints it');

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function refuse(context: z.core.$RefinementCtx<unknown>, message: string): never {
  context.issues.push({ code: "custom", message, input: context.value });
  return z.NEVER;
}
