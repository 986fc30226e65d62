/** com.atproto.server.getServiceAuth: a token with which the account's apps speak for it to other services. */
import { ComAtprotoServerGetServiceAuth } from "@atcute/atproto";
import { isDid } from "../../../atproto/mod.ts";
import type { Principal } from "../../../auth/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { missingRpc } from "../../oauth_rules.ts";
import { isProtectedMethod, mayCall } from "../../proxy/guarded_methods.ts";
import type { ServiceJwts } from "../../proxy/service_jwts.ts";

/** How far ahead a token may end: one for a method, and one for any. */
const LIFETIME_MAX_S = 3_600;
const METHODLESS_LIFETIME_MAX_S = 60;
/** What an account that is taken down may still do elsewhere: move there. */
const MOVE = "com.atproto.server.createAccount";
const SERVICE_ID = /^[A-Za-z0-9._~:-]{1,256}$/;

export interface ServiceAuthMethodsOptions {
  readonly serviceJwts: Pick<ServiceJwts, "make">;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** getServiceAuth. A deactivated account may ask too, since it does so while it moves. */
export function serviceAuthMethods({ serviceJwts, now }: ServiceAuthMethodsOptions): Method[] {
  return [
    method(ComAtprotoServerGetServiceAuth.mainSchema, {
      auth: "anySession",
      // A token without a method is good for all of them.
      oauth: (permissions, { params }) =>
        missingRpc(permissions, { lxm: params.lxm ?? "*", aud: params.aud }),
      handler: (call) => {
        const { aud, exp, lxm } = call.params;
        refuseAudience(aud);
        refuseMethod(call.principal, lxm);
        if (exp !== undefined) refuseExpiration(exp, { lxm, nowSeconds: now() / 1000 });
        return { token: serviceJwts.make({ iss: callerDid(call), aud, lxm, exp }) };
      },
    }),
  ];
}

/** A DID of a kind that services have, bare or with the id of a service. */
function refuseAudience(aud: string): void {
  const [did = "", id, ...more] = aud.split("#");
  const isService = isDid(did) && /^did:(plc|web):/.test(did);
  if (isService && more.length === 0 && (id === undefined || SERVICE_ID.test(id))) return;
  throw new KithError("invalid_request", "aud must be a valid atproto DID or did#serviceId reference");
}

function refuseMethod(principal: Principal | null, lxm: string | undefined): void {
  const isNarrow = principal?.kind === "user" && principal.scope === "com.atproto.takendown";
  if (isNarrow && lxm !== MOVE) throw new KithError("invalid_token", "Bad token scope");
  if (lxm === undefined) return;
  if (isProtectedMethod(lxm)) {
    throw new KithError(
      "invalid_request",
      `cannot request a service auth token for the following protected method: ${lxm}`,
    );
  }
  if (!mayCall(principal, lxm)) {
    throw new KithError(
      "invalid_request",
      `insufficient access to request a service auth token for the following method: ${lxm}`,
    );
  }
}

function refuseExpiration(
  exp: number,
  { lxm, nowSeconds }: { lxm: string | undefined; nowSeconds: number },
): void {
  const ahead = exp - nowSeconds;
  const refuse = (why: string) => new KithError("bad_expiration", why);
  if (ahead < 0) throw refuse("expiration is in past");
  if (ahead > LIFETIME_MAX_S)
    throw refuse("cannot request a token with an expiration more than an hour in the future");
  if (lxm === undefined && ahead > METHODLESS_LIFETIME_MAX_S)
    throw refuse("cannot request a method-less token with an expiration more than a minute in the future");
}
