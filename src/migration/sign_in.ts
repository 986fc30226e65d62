/** Signing in at either server by asking the person: password, and the second factor where the server wants one. */
import { KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import type { SignedIn } from "./hosts.ts";
import { ATTEMPTS_MAX } from "./people.ts";

export interface SignInOptions {
  readonly did: string;
  signIn(given: { did: string; password: string; factorCode?: string }): Promise<SignedIn>;
  /** A code of the second factor that is there already: asking without it would make the server mail another. */
  readonly factorCode: string | undefined;
  askPassword(wrong: string | undefined): Promise<string>;
  askFactorCode(wrong: string | undefined): Promise<string>;
}

/** Servers name this one alike; a wrong code is told from a wrong password by the words. */
const FACTOR_NEEDED = "AuthFactorTokenRequired";

/** Throws what the last try threw, or `Unanswered`. */
export async function signInByAsking(options: SignInOptions): Promise<SignedIn> {
  const { did } = options;
  let wrong: string | undefined;
  let password: string | undefined;
  let readyCode = options.factorCode;
  let isFactorNeeded = readyCode !== undefined;
  for (let attempt = 1; ; attempt++) {
    if (!isFactorNeeded || password === undefined || readyCode !== undefined)
      password = await options.askPassword(wrong);
    try {
      if (!isFactorNeeded) return await options.signIn({ did, password });
      const factorCode = (readyCode ?? (await options.askFactorCode(wrong))).trim();
      readyCode = undefined;
      return await options.signIn({ did, password, factorCode });
    } catch (error) {
      if (isHostError(error, FACTOR_NEEDED) && !isFactorNeeded) {
        [isFactorNeeded, wrong] = [true, undefined];
        attempt -= 1;
        continue;
      }
      if (!isHostError(error) || ![400, 401].includes(error.status) || attempt >= ATTEMPTS_MAX)
        throw explain(error);
      wrong = error.reason || error.error;
    }
  }
}

function explain(error: unknown): unknown {
  if (!isHostError(error, "AccountTakedown")) return error;
  const message = `"${error.host}" has taken the account down: it cannot be moved by signing in there`;
  return new KithError("account_takendown", message, { cause: error });
}
