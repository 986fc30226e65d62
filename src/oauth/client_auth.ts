/** Which client calls, and that it is who it says. https://atproto.com/specs/oauth#confidential-client-authentication */
import { calculateJwkThumbprint, type JWK } from "jose";
import type { ClientAuthPin } from "../storage/mod.ts";
import type { Client } from "./client_metadata.ts";
import type { Clients } from "./clients.ts";
import { OAuthError } from "./oauth_error.ts";
import { type Parameters, required } from "./parameters.ts";
import { ASSERTION, type ClientJwts } from "./signed_by_client.ts";

const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

export interface AuthenticatedClient {
  readonly client: Client;
  readonly auth: ClientAuthPin;
}

export interface ClientAuthOptions {
  readonly clients: Pick<Clients, "find" | "key">;
  readonly jwts: Pick<ClientJwts, "verify">;
}

export class ClientAuth {
  readonly #options: ClientAuthOptions;

  constructor(options: ClientAuthOptions) {
    this.#options = options;
  }

  /**
   * The client of a request; `dpopJkt` is the key of its proof, which has to be another than its own.
   * Throws OAuthError invalid_request, invalid_client, and those of `Clients.find`.
   */
  async authenticate(
    request: Request,
    { parameters, dpopJkt }: { parameters: Parameters; dpopJkt?: string | undefined },
  ): Promise<AuthenticatedClient> {
    if (parameters.client_secret !== undefined) throw refusal("client_secret is not supported here");
    if (request.headers.has("authorization")) throw new HeaderAuthError();
    const client = await this.#options.clients.find(required(parameters, "client_id"));
    const { client_assertion: assertion, client_assertion_type: type } = parameters;
    if (client.authMethod === "none") {
      if (assertion !== undefined || type !== undefined) {
        throw refusal('the client\'s token_endpoint_auth_method is "none": it sends no client_assertion');
      }
      return { client, auth: { method: "none" } };
    }
    if (assertion === undefined) throw refusal("the client has to send a client_assertion");
    if (type !== ASSERTION_TYPE) throw refusal(`client_assertion_type is not "${ASSERTION_TYPE}"`);
    const { key } = await this.#options.jwts.verify(client, assertion, ASSERTION);
    if (key.jkt === dpopJkt)
      throw refusal("the key of the client_assertion may not be that of the DPoP proof");
    return { client, auth: { method: "private_key_jwt", ...key } };
  }

  /**
   * How a session's client stands to what the session was begun with: "same"; "other", where it has used another of its
   * keys; "gone", where it does not have that key any more, or authenticates in another way.
   */
  async compare(
    { client, auth }: AuthenticatedClient,
    pin: ClientAuthPin,
  ): Promise<"same" | "other" | "gone"> {
    if (auth.method !== pin.method) return "gone";
    if (auth.method === "none" || pin.kid === undefined) return "same";
    if (auth.kid === pin.kid && auth.jkt === pin.jkt && auth.alg === pin.alg) return "same";
    const key = await this.#options.clients.key(client, pin.kid);
    const isThere = key !== undefined && (await calculateJwkThumbprint(key as JWK, "sha256")) === pin.jkt;
    return isThere ? "other" : "gone";
  }
}

/** RFC 6749 section 5.2: who tries the header is told so by 401. */
export class HeaderAuthError extends OAuthError {
  constructor() {
    super(
      "invalid_client",
      "Could not authenticate the client: the Authorization header is not for clients here",
    );
  }
}

function refusal(why: string): OAuthError {
  return new OAuthError("invalid_client", `Could not authenticate the client: ${why}`);
}
