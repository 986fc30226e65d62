/** The tokens by which this server speaks for its accounts to other services. */
import { randomBytes } from "node:crypto";
import { createServiceJwt, type Signer } from "../../atproto/mod.ts";

/** How long a token lives that nobody asked a time for, in seconds. */
export const SERVICE_JWT_LIFETIME_S = 60;
const JTI_BYTES = 16;

export interface ServiceJwtsOptions {
  /** The account's signing key. */
  signer(did: string): Signer;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export interface ServiceJwtRequest {
  /** The account. */
  readonly iss: string;
  readonly aud: string;
  readonly lxm?: string | undefined;
  /** Seconds since 1970. */
  readonly exp?: number | undefined;
}

export class ServiceJwts {
  readonly #options: ServiceJwtsOptions;

  constructor(options: ServiceJwtsOptions) {
    this.#options = options;
  }

  /** A token by the account's own key. Throws KithError account_not_found. */
  make({ iss, aud, lxm, exp }: ServiceJwtRequest): string {
    const iat = Math.floor(this.#options.now() / 1000);
    return createServiceJwt({
      iss,
      aud,
      lxm,
      iat,
      exp: exp ?? iat + SERVICE_JWT_LIFETIME_S,
      jti: randomBytes(JTI_BYTES).toString("hex"),
      signer: this.#options.signer(iss),
    });
  }
}
