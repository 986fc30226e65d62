/** Where the owner of an account comes back to, who was asked at its server to let it become a community here. */
import { isKithError } from "../../errors.ts";
import {
  type AdoptionData,
  type AdoptionFailure,
  adoptionDonePage,
  adoptionFailedPage,
  adoptionRefusedPage,
  askAdoptionPage,
} from "../../web/mod.ts";
import type { PageCall } from "./page_call.ts";
import type { PageRoutes } from "./page_server.ts";

/** What goes from the one page to the other. */
const FIELDS = ["state", "iss", "code"] as const;

/** What a person is asked, who comes back. */
export interface AdoptionAsked {
  readonly purpose: "adopt" | "reauth";
  readonly account: { readonly did: string; readonly handle: string | null };
  readonly pdsEndpoint: string;
  readonly asker: { readonly did: string; readonly handle: string | undefined };
}

/** Consents that are asked for elsewhere. All throw KithErrors. */
export interface AdoptionConsents {
  look(parameters: URLSearchParams): Promise<AdoptionAsked>;
  refuse(parameters: URLSearchParams): Promise<void>;
  finish(parameters: URLSearchParams): Promise<AdoptionAsked>;
}

export interface AdoptionPagesOptions {
  readonly consents: AdoptionConsents;
  /** Of the page. */
  readonly path: string;
  /** The public origin. */
  readonly publicUrl: string;
  /** Whether the person, and not a server, has said no. */
  isRefusal(error: unknown): boolean;
}

export class AdoptionPages {
  readonly #options: AdoptionPagesOptions;

  constructor(options: AdoptionPagesOptions) {
    this.#options = options;
  }

  routes(): PageRoutes {
    return {
      [this.#options.path]: { get: (call) => this.#show(call), post: (call) => this.#decide(call) },
    };
  }

  async #show(call: PageCall): Promise<Response> {
    const { consents, publicUrl, path } = this.#options;
    // Development clients come back to 127.0.0.1; forms and cookies are of the one name that the server has.
    if (publicUrl.startsWith("http:") && call.url.host !== new URL(publicUrl).host)
      return onwards(publicUrl + path + call.url.search);
    try {
      const asked = await consents.look(call.url.searchParams);
      const hidden = Object.fromEntries(FIELDS.map((name) => [name, call.query(name)]));
      return call.page(askAdoptionPage(call.view, { ...dataOf(asked), form: { action: path, hidden } }));
    } catch (error) {
      return this.#failed(call, error);
    }
  }

  async #decide(call: PageCall): Promise<Response> {
    const { consents } = this.#options;
    const parameters = new URLSearchParams(FIELDS.map((name) => [name, call.form.get(name)]));
    try {
      if (call.form.get("decision") !== "allow") {
        await consents.refuse(parameters);
        return call.page(adoptionRefusedPage(call.view));
      }
      return call.page(adoptionDonePage(call.view, dataOf(await consents.finish(parameters))));
    } catch (error) {
      return this.#failed(call, error);
    }
  }

  #failed(call: PageCall, error: unknown): Response {
    if (this.#options.isRefusal(error)) return call.page(adoptionRefusedPage(call.view));
    const why = whyOf(error);
    if (why === undefined || !isKithError(error)) throw error;
    call.context.failure = error;
    const { requestId } = call.context;
    const status = why === "unreachable" ? 502 : 400;
    return call.page(adoptionFailedPage(call.view, { why, detail: error.message, requestId }), { status });
  }
}

/** Not by a redirect: browsers follow those of a form only to where its page allows, which knows of 127.0.0.1 alone. */
function onwards(url: string): Response {
  const headers = {
    Refresh: `0; url=${url}`,
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
  };
  return new Response(`Going on to ${url}`, { headers });
}

function dataOf({ purpose, asker, account, pdsEndpoint }: AdoptionAsked): AdoptionData {
  const { did, handle } = account;
  return {
    purpose,
    asker,
    account: { did, handle: handle ?? undefined },
    server: new URL(pdsEndpoint).host,
  };
}

/** Undefined of what is the same on all pages. */
function whyOf(error: unknown): AdoptionFailure | undefined {
  if (!isKithError(error)) return undefined;
  switch (error.code) {
    case "expired_token":
      return "gone";
    case "forbidden":
      return "denied";
    case "invalid_credentials":
      return "wrongAccount";
    case "already_exists":
      return "already";
    case "community_quota":
      return "quota";
    case "communities_disabled":
    case "role_too_low":
    case "community_not_found":
    case "host_not_allowed":
      return "notAllowed";
    case "invalid_request":
    case "not_supported":
      return "mixedUp";
    case "upstream_failure":
    case "timeout":
    case "did_not_found":
    case "did_deactivated":
    case "auth_required":
      return "unreachable";
    default:
      return undefined;
  }
}
