/** dev.kith.admin.*: what the command line asks beside com.atproto.admin.*. For the admin socket only. */
import {
  type Account,
  type AccountLookup,
  codeLifetimeMs,
  type EmailTokens,
  isPresent,
  type SecondFactors,
  statusOf,
} from "../../accounts/mod.ts";
import { KithError } from "../../errors.ts";
import {
  DevKithAdminCreateEmailCode,
  DevKithAdminFindAccount,
  DevKithAdminRequestCrawl,
  DevKithAdminResetSecondFactor,
} from "../../lexicons/mod.ts";
import { type Method, method } from "../method.ts";
import type { Log } from "../request_log.ts";

export interface AdminSocketMethodsOptions {
  readonly accounts: AccountLookup;
  readonly emailTokens: Pick<EmailTokens, "create">;
  readonly factors: Pick<SecondFactors, "reset">;
  readonly relays: RelayCalls;
  readonly log: Pick<Log, "warn">;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface RelayCalls {
  /** Those of the settings. */
  readonly configured: readonly string[];
  /** Our host name, as relays shall dial it. */
  readonly hostname: string;
  /** Throws KithError with what the relay says, or why it could not be asked. */
  requestCrawl(relay: string, hostname: string): Promise<void>;
}

/** createEmailCode, findAccount, requestCrawl and resetSecondFactor. */
export function adminSocketMethods(options: AdminSocketMethodsOptions): Method[] {
  const { accounts, emailTokens, factors, relays, log, now } = options;
  return [
    method(DevKithAdminFindAccount.mainSchema, {
      auth: "admin",
      handler: async ({ params: { account: name } }) => {
        const account = await find(accounts, name.trim());
        return { did: account.did, handle: account.handle, ...statusOf(account) };
      },
    }),
    method(DevKithAdminCreateEmailCode.mainSchema, {
      auth: "admin",
      handler: async ({ input: { did, purpose, operator }, requestId }) => {
        const account = await find(accounts, did);
        const expiresAt = now() + codeLifetimeMs(purpose);
        const code = await emailTokens.create(account.did, purpose);
        // Whoever has it acts as the account's owner: that must be seen also where little is logged.
        log.warn("The operator made a code for an account", { did, purpose, operator, requestId });
        return { code, expiresAt: new Date(expiresAt).toISOString() };
      },
    }),
    method(DevKithAdminResetSecondFactor.mainSchema, {
      auth: "admin",
      handler: async ({ input: { did, operator }, requestId }) => {
        const account = await find(accounts, did);
        await factors.reset(account.did);
        log.warn("The operator took the second factors of an account away", { did, operator, requestId });
      },
    }),
    method(DevKithAdminRequestCrawl.mainSchema, {
      auth: "admin",
      handler: async ({ input: { relays: named } }) => {
        const asked = named?.map(relayOrigin) ?? relays.configured;
        const answers = asked.map((relay) => ask(relays, relay));
        return { hostname: relays.hostname, relays: await Promise.all(answers) };
      },
    }),
  ];
}

async function find(accounts: AccountLookup, name: string): Promise<Account> {
  const account = await lookUp(accounts, name);
  if (isPresent(account)) return account;
  throw new KithError("account_not_found", `There is no account "${name}" on this server`);
}

function lookUp(accounts: AccountLookup, name: string): ReturnType<AccountLookup["account"]> {
  if (name.startsWith("did:")) return accounts.account(name);
  // As it is shown: with an @ before it.
  const plain = name.replace(/^@/, "");
  return plain.includes("@") ? accounts.accountByEmail(plain) : accounts.accountByHandle(plain);
}

async function ask(relays: RelayCalls, relay: string) {
  try {
    await relays.requestCrawl(relay, relays.hostname);
    return { relay, accepted: true };
  } catch (error) {
    if (!(error instanceof KithError)) throw error;
    return { relay, accepted: false, message: error.message };
  }
}

/** `bsky.network` as people write it, or a URL, to an origin. */
function relayOrigin(text: string): string {
  const url = URL.parse(text.includes("://") ? text : `https://${text}`);
  if (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === "/" &&
    url.search === "" &&
    url.username === ""
  )
    return url.origin;
  throw new KithError(
    "invalid_request",
    `Could not ask the relay "${text}": it must be a host name or an origin`,
  );
}
