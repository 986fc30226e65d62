import { KithError } from "../errors.ts";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** The origin that an option names; without a scheme it is https, on this machine http. Throws KithError invalid_request. */
export function originOption(name: string, value: string | true | undefined): string | undefined {
  if (typeof value !== "string") return undefined;
  const bare = URL.parse(`http://${value}`);
  const scheme = bare !== null && LOOPBACK.test(bare.hostname) ? "http" : "https";
  const url = URL.parse(value.includes("://") ? value : `${scheme}://${value}`);
  const isLoopback = url !== null && LOOPBACK.test(url.hostname);
  if (url !== null && (url.protocol === "https:" || (url.protocol === "http:" && isLoopback)))
    return url.origin;
  throw new KithError(
    "invalid_request",
    `"--${name}" is "${value}": it must be an https address, or http on this machine`,
  );
}
