/** An app's request in the browser of the person who decides it. */
import type { SignedInAccount } from "../../accounts/mod.ts";
import type { ClientName, FormTarget } from "../../web/mod.ts";
import type { OpenRequest } from "../authorization_requests.ts";
import { PATHS } from "../metadata.ts";
import type { PageCall } from "./page_call.ts";
import type { SignInStep, Trail } from "./sign_in_pages.ts";

export type AuthorizeStep = SignInStep | "" | "consent" | "reactivate" | "cancel";

/** Every page of it has the request in its URL, so that it works in several tabs, and nothing of it is kept here. */
export class Attempt implements Trail {
  readonly call: PageCall;
  readonly open: OpenRequest;
  readonly client: ClientName;
  readonly #requestUri: string;
  readonly #identifier: string | undefined;

  constructor(
    call: PageCall,
    parts: {
      open: OpenRequest;
      requestUri: string;
      isTrusted: boolean;
      /** Its path on this server. */
      logo?: string | undefined;
      identifier?: string | undefined;
    },
  ) {
    const { open, requestUri, isTrusted } = parts;
    this.call = call;
    this.open = open;
    this.client = {
      clientId: open.client.id,
      ...(isTrusted ? { name: open.client.name, logo: parts.logo } : {}),
    };
    this.#requestUri = requestUri;
    this.#identifier = parts.identifier;
  }

  /** The account that the app asks for. */
  get did(): string | undefined {
    return this.open.did;
  }

  get identifier(): string | undefined {
    return this.#identifier;
  }

  get cancel(): FormTarget {
    return { action: this.link("cancel") };
  }

  /** Where a step is: a path with the request in it. */
  readonly link = (step: AuthorizeStep, parameters: Readonly<Record<string, string>> = {}): string => {
    const query = new URLSearchParams({
      client_id: this.open.client.id,
      request_uri: this.#requestUri,
      ...parameters,
    });
    return `${PATHS.authorize}${step === "" ? "" : `/${step}`}?${query}`;
  };

  /** A page from which forms may lead back to the app. */
  readonly page = (body: string, { status = 200 }: { status?: number } = {}): Response =>
    this.call.page(body, { status, redirectUri: this.open.parameters.redirectUri });

  readonly onward = (did: string): string => this.link("consent", { did });

  /** The sign-in of an account in this browser, where it is good enough for this request. */
  signedIn(did: string): SignedInAccount | undefined {
    const { did: wanted, createdAt, parameters } = this.open;
    const found = this.call.device.accounts.find((account) => account.did === did);
    if (!found || found.needsPassword || (wanted !== undefined && wanted !== did)) return undefined;
    // The app wants to know that it is still the same person.
    const isNew = found.authenticatedAt >= createdAt;
    return isNew || !parameters.prompts.includes("login") ? found : undefined;
  }
}
