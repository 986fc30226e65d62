/** Wires what an account's owner does with it: sessions, app passwords, status. Called by server.ts. */
import {
  AccountStatus,
  AppPasswords,
  DeletionSweep,
  LoginLock,
  type Passwords,
  Sessions,
} from "./accounts/mod.ts";
import type { RepoRegistry } from "./actors/mod.ts";
import type { HeaderAuthenticator, SessionTokens } from "./auth/mod.ts";
import type { Config } from "./config/mod.ts";
import type { DidResolver, PlcDirectory } from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";
import type { AccountStore, AppPasswordStore, BlobUpload, SessionStore } from "./storage/mod.ts";
import { appPasswordMethods, type Method, sessionMethods, statusMethods } from "./xrpc/mod.ts";

export interface AccountFeaturesParts {
  readonly config: Config;
  readonly stores: {
    readonly accounts: AccountStore;
    readonly sessions: SessionStore;
    readonly appPasswords: AppPasswordStore;
  };
  readonly repos: RepoRegistry<BlobUpload>;
  readonly plc: PlcDirectory;
  readonly didResolver: DidResolver;
  readonly tokens: SessionTokens;
  readonly passwords: Passwords;
  readonly log: RootLogger;
  /** What is registered last is closed first. */
  onClose(close: () => unknown): void;
}

export type AccountFeatures = ReturnType<typeof startAccountFeatures>;

export function startAccountFeatures(parts: AccountFeaturesParts) {
  const { config, stores, repos, plc, didResolver, tokens, passwords, log } = parts;
  const { accounts } = stores;
  const didDoc = config.didDocWithSession
    ? (did: string) => didResolver.resolve(did).catch(() => undefined)
    : undefined;
  const sessions = new Sessions({
    accounts,
    rows: stores.sessions,
    tokens,
    passwords,
    appPasswords: stores.appPasswords,
    lock: new LoginLock({ failuresMax: config.loginFailuresMax, lockMs: config.loginLockMs }),
    didDoc,
  });
  const appPasswords = new AppPasswords({ rows: stores.appPasswords });
  const sweep = new DeletionSweep({ accounts, repos, logger: log });
  parts.onClose(() => sweep.stop());
  sweep.plan();
  const status = new AccountStatus({
    accounts,
    repos,
    plc,
    documents: didResolver,
    publicUrl: config.publicUrl,
    onDeleteAfter: () => sweep.plan(),
  });
  return { sessions, appPasswords, status };
}

/** The methods that only an account's owner calls. */
export function ownerMethods(
  { sessions, appPasswords, status }: AccountFeatures,
  parts: {
    readonly accounts: AccountStore;
    readonly repos: RepoRegistry<BlobUpload>;
    readonly authenticator: HeaderAuthenticator;
  },
): Method[] {
  const { accounts, repos, authenticator } = parts;
  return [
    ...sessionMethods({ sessions, authenticator }),
    ...appPasswordMethods({ appPasswords }),
    ...statusMethods({ accounts, status, repos }),
  ];
}
