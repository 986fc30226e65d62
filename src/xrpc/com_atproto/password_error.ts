import { isKithError, KithError } from "../../errors.ts";

/** Throws an error on, a bad password as InvalidRequest: only createAccount has a name for it in its lexicon. */
export function asInvalidRequest(error: unknown): never {
  if (isKithError(error, "invalid_password")) throw new KithError("invalid_request", error.message);
  throw error;
}
