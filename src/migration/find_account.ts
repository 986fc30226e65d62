/** From a handle or DID to the server that the account is at, and to the host that one signs in at for it. */
import {
  type DidDocument,
  handleOf,
  isDid,
  isHandle,
  normalizeHandle,
  pdsEndpointOf,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { type DidResolver, type HandleResolver, isHostError, XrpcHost } from "../identity/mod.ts";
import type { HostSurroundings } from "./hosts.ts";

const METADATA_PATH = "/.well-known/oauth-protected-resource";
/** Hosts that stand behind an entryway, should their metadata not say so. */
const KNOWN_ENTRYWAYS: readonly { readonly suffix: string; readonly signIn: string }[] = [
  { suffix: ".host.bsky.network", signIn: "https://bsky.social" },
];

export interface FoundAccount {
  readonly did: string;
  readonly handle: string;
  readonly pds: string;
  readonly signIn: string;
  /** Why one signs in there, in words. */
  readonly why: string;
}

export interface FindOptions extends HostSurroundings {
  readonly handles: Pick<HandleResolver, "resolve">;
  readonly dids: Pick<DidResolver, "resolve">;
  /** Whether servers may be at http. */
  readonly allowHttp: boolean;
  /** A server that is asked for the DID of a handle that nobody else can tell. */
  readonly askAt?: string;
}

/** KithErrors handle_not_found, did_not_found, invalid_request, upstream_failure, timeout. */
export async function findAccount(name: string, options: FindOptions): Promise<FoundAccount> {
  const did = isDid(name) ? name : await resolve(name.replace(/^@/, ""), options);
  const document = await options.dids.resolve(did, { fresh: true });
  const pds = pdsEndpointOf(document, { allowHttp: options.allowHttp });
  if (pds === undefined)
    throw new KithError("invalid_request", `The DID document of "${did}" names no server that could be used`);
  return { did, handle: claimedHandle(name, document), pds, ...(await findSignIn(pds, options)) };
}

async function resolve(name: string, options: FindOptions): Promise<string> {
  const handle = normalizeHandle(name);
  if (!isHandle(handle)) throw new KithError("invalid_handle", `"${name}" is neither a handle nor a DID`);
  const found = await options.handles.resolve(handle).catch((error: unknown) => {
    if (isKithError(error) && options.askAt !== undefined) return undefined;
    throw error;
  });
  if (found !== undefined) return found;
  if (options.askAt !== undefined) {
    const host = new XrpcHost({ ...options, url: options.askAt });
    try {
      const answer = await host.json("com.atproto.identity.resolveHandle", { params: { handle } });
      const { did } = answer as { did?: unknown };
      if (typeof did === "string" && isDid(did)) return did;
    } catch (error) {
      if (!isHostError(error)) throw error;
    }
  }
  throw new KithError(
    "handle_not_found",
    `Could not find the account "${handle}": its handle leads nowhere`,
    {
      hint: 'Is it spelt right, and still in use? Else give its DID (did:plc:...), or the address of the server it is at with "--from URL".',
    },
  );
}

function claimedHandle(name: string, document: DidDocument): string {
  return handleOf(document) ?? (isDid(name) ? "handle.invalid" : normalizeHandle(name));
}

async function findSignIn(pds: string, options: FindOptions): Promise<{ signIn: string; why: string }> {
  const metadata = await new XrpcHost({ ...options, url: pds })
    .document(METADATA_PATH)
    .catch((error: unknown) => {
      // It is only metadata: whether the server can be reached shows in a moment.
      if (isKithError(error)) return undefined;
      throw error;
    });
  const named = (metadata as { authorization_servers?: unknown } | undefined)?.authorization_servers;
  const first: unknown = Array.isArray(named) ? named[0] : undefined;
  const origin = typeof first === "string" ? originOf(first, options.allowHttp) : undefined;
  if (origin !== undefined && origin !== pds)
    return { signIn: origin, why: `"${pds}" names it as the place to sign in` };
  if (origin === undefined) {
    const { hostname } = new URL(pds);
    const known = KNOWN_ENTRYWAYS.find(({ suffix }) => hostname.endsWith(suffix));
    if (known) return { signIn: known.signIn, why: `"${hostname}" is one of its hosts` };
  }
  return { signIn: pds, why: "it is the account's own server" };
}

function originOf(text: string, allowHttp: boolean): string | undefined {
  const url = URL.parse(text);
  if (url === null || !(url.protocol === "https:" || (allowHttp && url.protocol === "http:")))
    return undefined;
  return url.origin;
}
