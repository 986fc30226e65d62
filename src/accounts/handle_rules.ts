import { isHandle, normalizeHandle } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { RESERVED_NAMES } from "./_reserved_names.ts";

/** Length of a handle's own label under a service domain, as in the reference PDS. */
export const HANDLE_LABEL_CHARS_MIN = 3;
export const HANDLE_LABEL_CHARS_MAX = 18;

/** Who asks for a handle: anyone, a member's guest with an invite code, or the admin. */
export type HandleClaim = "open" | "invited" | "admin";

/** Names that the operator has reserved. */
export interface ReservedHandles {
  /** True where one of the names, in lower case, is reserved: a handle, or its first label. */
  has(...names: readonly string[]): boolean;
}

/**
 * Which handles this server gives to its accounts. Its own names, which are its host name and its handle domains without
 * their dot, are not given away: the admin gives them to an account, or an account shows that they point to its DID, as
 * with any domain of its own (`checkOwnHandle`).
 */
export class HandleRules {
  /** Each with its leading dot, in lower case. */
  readonly #serviceDomains: readonly string[];
  /** What describeServer names first. */
  readonly #mainDomain: string;
  readonly #ownNames: ReadonlySet<string>;
  readonly #reserved: ReservedHandles | undefined;

  /** `serviceDomains` as in PDS_SERVICE_HANDLE_DOMAINS: each begins with a dot. */
  constructor(
    serviceDomains: readonly string[],
    { hostname, reserved }: { hostname?: string; reserved?: ReservedHandles } = {},
  ) {
    this.#reserved = reserved;
    this.#mainDomain = (serviceDomains[0] ?? "").toLowerCase();
    // The longest first: under ".eu.example.com" and ".example.com" the label is what stands before the longer one.
    this.#serviceDomains = serviceDomains
      .map((domain) => domain.toLowerCase())
      .sort((a, b) => b.length - a.length);
    const bare = this.#serviceDomains.map((domain) => domain.slice(1));
    this.#ownNames = new Set(hostname === undefined ? bare : [...bare, hostname.toLowerCase()]);
  }

  /** True for a (normalised) handle that only this server can speak for. */
  isLocal(handle: string): boolean {
    return !this.#ownNames.has(handle) && this.#serviceDomains.some((domain) => handle.endsWith(domain));
  }

  /** True for a (normalised) handle that is a name of the server itself. */
  isOwnName(handle: string): boolean {
    return this.#ownNames.has(handle);
  }

  /** A handle, or any text, as a label and the domain of this server that it is under or would be. */
  split(handle: string): { readonly label: string; readonly domain: string } {
    const name = handle.toLowerCase();
    const domain = this.#serviceDomains.find((candidate) => name.endsWith(candidate));
    if (domain !== undefined) return { label: name.slice(0, -domain.length), domain };
    return { label: name.split(".")[0] ?? "", domain: this.#mainDomain };
  }

  /** The form in which a name is reserved: a whole handle of this server, or a first label. KithError invalid_handle. */
  reservable(text: string): string {
    const name = text.toLowerCase();
    const isHere = isHandle(name) && this.isLocal(name);
    if (isHere || LABEL.test(name)) return name;
    throw refusal("invalid_handle", text, "it is neither a handle of this server nor the first label of one");
  }

  /**
   * The normalised (lower-case) form of a handle that an account may have of this server. The admin is held to no length,
   * and to no reserved name. Throws KithError invalid_handle, unsupported_domain, or handle_not_available for a reserved
   * name: one that nobody gets in open sign-up, or one that the operator has reserved, which only the admin gives away.
   */
  check(text: string, claim: HandleClaim): string {
    const handle = normalizeHandle(text);
    if (claim === "admin" && this.#ownNames.has(handle)) return handle;
    const domain = this.#serviceDomains.find((candidate) => handle.endsWith(candidate));
    if (domain === undefined) {
      const domains = this.#serviceDomains.join(", ");
      throw refusal("unsupported_domain", handle, `handles of this server end with ${domains}`);
    }
    const label = handle.slice(0, -domain.length);
    checkLabel(handle, { label, claim });
    if (this.#ownNames.has(handle)) {
      throw refusal("handle_not_available", handle, "it is the name of the server");
    }
    const isReserved = claim === "open" && RESERVED_NAMES.has(label);
    if (isReserved || (claim !== "admin" && this.#reserved?.has(handle, label))) {
      throw refusal("handle_not_available", handle, "the name is reserved");
    }
    return handle;
  }
}

function checkLabel(handle: string, { label, claim }: { label: string; claim: HandleClaim }): void {
  if (label.includes(".")) throw refusal("invalid_handle", handle, "it has more than one label of its own");
  if (claim === "admin") return;
  if (label.length < HANDLE_LABEL_CHARS_MIN) {
    throw refusal("invalid_handle", handle, `"${label}" has less than ${HANDLE_LABEL_CHARS_MIN} characters`);
  }
  if (label.length > HANDLE_LABEL_CHARS_MAX) {
    throw refusal("invalid_handle", handle, `"${label}" has more than ${HANDLE_LABEL_CHARS_MAX} characters`);
  }
}

/** A label of a host name. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Longest piece of a caller's text in a message. */
const QUOTED_CHARS_MAX = 260;

function refusal(
  code: "invalid_handle" | "unsupported_domain" | "handle_not_available",
  handle: string,
  reason: string,
): KithError {
  return new KithError(code, `Could not use the handle "${handle.slice(0, QUOTED_CHARS_MAX)}": ${reason}`);
}
