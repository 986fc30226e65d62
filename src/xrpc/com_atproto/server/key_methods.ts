/** com.atproto.server.reserveSigningKey. */
import { ComAtprotoServerReserveSigningKey } from "@atcute/atproto";
import type { KeyReservations } from "../../../accounts/mod.ts";
import { type Method, method } from "../../method.ts";

/** reserveSigningKey: for who wants the key in the DID document before the account is here. */
export function keyMethods({ keys }: { readonly keys: Pick<KeyReservations, "reserve"> }): Method[] {
  return [
    method(ComAtprotoServerReserveSigningKey.mainSchema, {
      auth: "none",
      handler: async ({ input }) => ({ signingKey: await keys.reserve(input.did) }),
    }),
  ];
}
