/** Which service a call is for: the one that it names, or the default one for its method; and where that is. */
import { type DidDocument, isDid, serviceEndpointOf } from "../../atproto/mod.ts";
import { isKithError, KithError } from "../../errors.ts";

/** One service of a DID: `did:web:api.example.com#svc`. */
export interface ServiceRef {
  readonly did: string;
  /** Without `#`. */
  readonly serviceId: string;
}

export interface ProxyTarget extends ServiceRef {
  /** Origin, without a slash at its end. */
  readonly url: string;
}

interface Service {
  readonly url: string;
  readonly did: string;
}

export interface ProxyTargetsOptions {
  /** Where calls go that name no service; without it they are not passed on. */
  readonly appView?: Service | undefined;
  /** Where tools.ozone.* goes. */
  readonly modService?: Service | undefined;
  /** Where reports go. */
  readonly reportService?: Service | undefined;
  readonly dids: { resolve(did: string): Promise<DidDocument> };
  /** Whether services may be called by http. */
  readonly allowHttp: boolean;
}

export const APP_VIEW_ID = "bsky_appview";
const LABELER_ID = "atproto_labeler";
const PROXY_HEADER = "atproto-proxy";
const HEADER_CHARS_MAX = 2_560;
const SERVICE_ID = /^[\x21-\x7e]{1,256}$/;

/** The service that a call's atproto-proxy header names. Throws KithError invalid_request on a malformed one. */
export function namedService(request: Request): ServiceRef | undefined {
  const header = request.headers.get(PROXY_HEADER);
  return header === null || header === "" ? undefined : parseServiceRef(header);
}

export class ProxyTargets {
  readonly #options: ProxyTargetsOptions;
  /** Services that the operator has said the place of. */
  readonly #known: readonly ProxyTarget[];

  constructor(options: ProxyTargetsOptions) {
    this.#options = options;
    const { appView, modService, reportService } = options;
    this.#known = [
      ...(appView ? [{ ...appView, serviceId: APP_VIEW_ID }] : []),
      ...(modService ? [{ ...modService, serviceId: LABELER_ID }] : []),
      ...(reportService ? [{ ...reportService, serviceId: LABELER_ID }] : []),
    ];
  }

  /** The default AppView, or undefined where none is set. */
  get appView(): ProxyTarget | undefined {
    const { appView } = this.#options;
    return appView && { ...appView, serviceId: APP_VIEW_ID };
  }

  /**
   * The service that a call of `nsid` is for; undefined where it names none and there is no default for it.
   * Throws KithError invalid_request on a malformed atproto-proxy header.
   */
  wanted(request: Request, nsid: string): ServiceRef | undefined {
    return this.named(request) ?? this.#defaultOf(nsid);
  }

  /** The service that the call's atproto-proxy header names. Throws KithError invalid_request on a malformed one. */
  named(request: Request): ServiceRef | undefined {
    return namedService(request);
  }

  /** Where a service is. Throws KithError invalid_request where its DID or the DID's service cannot be found. */
  async resolve({ did, serviceId }: ServiceRef): Promise<ProxyTarget> {
    const known = this.#known.find((target) => target.did === did && target.serviceId === serviceId);
    if (known) return known;
    const document = await this.#document(did);
    const url = serviceEndpointOf(document, { id: serviceId, allowHttp: this.#options.allowHttp });
    if (url === undefined) throw refusal("could not resolve proxy did service url");
    return { did, serviceId, url };
  }

  async #document(did: string): Promise<DidDocument> {
    try {
      return await this.#options.dids.resolve(did);
    } catch (cause) {
      const isAbsent = isKithError(cause, "did_not_found") || isKithError(cause, "did_deactivated");
      if (isAbsent || isKithError(cause, "invalid_request"))
        throw refusal("could not resolve proxy did", cause);
      throw cause;
    }
  }

  #defaultOf(nsid: string): ServiceRef | undefined {
    const { appView, modService, reportService } = this.#options;
    const of = (service: Service | undefined, serviceId: string) =>
      service && { did: service.did, serviceId };
    if (nsid === "com.atproto.moderation.createReport") return of(reportService, LABELER_ID);
    if (nsid.startsWith("tools.ozone.")) return of(modService, LABELER_ID);
    return of(appView, APP_VIEW_ID);
  }
}

/** `did#serviceId` in its two parts. KithError invalid_request. */
function parseServiceRef(text: string): ServiceRef {
  if (text.includes(" ")) throw refusal("proxy header cannot contain spaces");
  const [did = "", serviceId = "", ...more] = text.slice(0, HEADER_CHARS_MAX + 1).split("#");
  if (did === "") throw refusal("no did specified in proxy header");
  if (serviceId === "" && more.length === 0) throw refusal("no service id specified in proxy header");
  const isWhole = text.length <= HEADER_CHARS_MAX && more.length === 0;
  if (!isWhole || !isDid(did) || !SERVICE_ID.test(serviceId)) throw refusal("invalid proxy header format");
  return { did, serviceId };
}

function refusal(message: string, cause?: unknown): KithError {
  return new KithError("invalid_request", message, { cause });
}
