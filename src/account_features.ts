/** Wires what an account's owner does with it: sessions, app passwords, status, mailed codes. Called by server.ts. */
import {
  type Account,
  AccountMail,
  AccountStatus,
  AppPasswords,
  Credentials,
  type CredentialsOptions,
  DeletionSweep,
  type DeletionSweepOptions,
  Devices,
  EmailTokens,
  LoginLock,
  MemberLanguages,
  MemberNotices,
  ModeratorMail,
  Passkeys,
  type Passwords,
  type ReferenceHashRows,
  SecondFactors,
  Sessions,
  SignIns,
  StepUps,
} from "./accounts/mod.ts";
import { MailQueue, type RepoRegistry } from "./actors/mod.ts";
import type { HeaderAuthenticator, SessionTokens } from "./auth/mod.ts";
import type { Config } from "./config/mod.ts";
import type { DidResolver, PlcDirectory } from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";
import { createMailers } from "./mailer/mod.ts";
import type {
  AccountStore,
  AppPasswordStore,
  BlobUpload,
  CredentialStore,
  DeviceStore,
  EmailTokenStore,
  LanguageStore,
  MailQueueStore,
  SecondFactorStore,
  SessionStore,
} from "./storage/mod.ts";
import {
  appPasswordMethods,
  credentialMethods,
  type Method,
  sessionMethods,
  statusMethods,
} from "./xrpc/mod.ts";

export interface AccountFeaturesParts {
  readonly config: Config;
  readonly stores: {
    readonly accounts: AccountStore;
    readonly sessions: SessionStore;
    readonly appPasswords: AppPasswordStore;
    readonly credentials: CredentialStore;
    readonly emailTokens: EmailTokenStore;
    readonly mailQueue: MailQueueStore;
    readonly secondFactors: SecondFactorStore;
    readonly devices: DeviceStore;
    readonly languages: LanguageStore;
    readonly referenceHashes: ReferenceHashRows;
  };
  readonly repos: RepoRegistry<BlobUpload>;
  /** Ends accounts, where nothing stands against it. */
  readonly ends: DeletionSweepOptions["repos"] & CredentialsOptions["repos"];
  readonly plc: PlcDirectory;
  readonly didResolver: DidResolver;
  readonly tokens: SessionTokens;
  readonly passwords: Passwords;
  /** The did:key of the server's PLC rotation key. */
  readonly rotationKey: string;
  readonly log: RootLogger;
  /** For what cannot be taken back. */
  readonly believedNow: () => number;
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
  const tokensByMail = new EmailTokens({ rows: stores.emailTokens });
  const { queue, sendsAll } = startMail(parts);
  const moderatorMail = new ModeratorMail({ sender: queue });
  const languages = new MemberLanguages({ rows: stores.languages, logger: log });
  const mail = new AccountMail({
    tokens: tokensByMail,
    sender: sendsAll ? queue : undefined,
    host: config.hostname,
    contact: config.contactEmail,
    publicUrl: config.publicUrl,
    languages,
  });
  const { publicUrl } = config;
  const name = config.branding.serviceName ?? config.hostname;
  const passkeys = new Passkeys({ rows: stores.secondFactors, publicUrl, name });
  const factors = new SecondFactors({
    rows: stores.secondFactors,
    passkeys,
    tokens: tokensByMail,
    mail,
    name,
  });
  const sessions = new Sessions({
    accounts,
    rows: stores.sessions,
    tokens,
    passwords,
    appPasswords: stores.appPasswords,
    referenceHashes: stores.referenceHashes,
    lock: new LoginLock({ failuresMax: config.loginFailuresMax, lockMs: config.loginLockMs }),
    factors,
    didDoc,
  });
  const devices = new Devices({ rows: stores.devices, publicUrl, logger: log });
  const signIns = new SignIns({ sessions, factors, passkeys, devices });
  const stepUps = new StepUps({ sessions, factors, devices });
  const appPasswords = new AppPasswords({ rows: stores.appPasswords });
  const sweep = new DeletionSweep({ accounts, repos: parts.ends, logger: log, now: parts.believedNow });
  parts.onClose(() => sweep.stop());
  sweep.plan();
  const status = new AccountStatus({
    accounts,
    repos,
    plc,
    documents: didResolver,
    publicUrl: config.publicUrl,
    get rotationKey() {
      return parts.rotationKey;
    },
    onDeleteAfter: () => sweep.plan(),
  });
  const notices = new MemberNotices({ accounts, mail, logger: log });
  const credentials = new Credentials({
    accounts,
    rows: stores.credentials,
    tokens: tokensByMail,
    mail,
    passwords,
    sessions,
    factors,
    repos: parts.ends,
    logger: log,
  });
  const welcome = (account: Account): void => {
    mail.welcome(account).catch((error: unknown) => {
      log.warn("Could not welcome a new member by mail", { did: account.did, error });
    });
  };
  const signingIn = { sessions, factors, passkeys, devices, signIns, stepUps };
  const mails = { emailTokens: tokensByMail, mail, moderatorMail, welcome, languages, notices };
  return { ...signingIn, ...mails, hasMail: sendsAll, appPasswords, status, credentials, sweep };
}

/** The queue of mail, with what the run before has left; absent where no mail is set up. */
function startMail({ config, stores, log, onClose }: AccountFeaturesParts): {
  queue?: MailQueue;
  /** False where only moderators' mail is set up. */
  sendsAll: boolean;
} {
  for (const url of [config.mail?.smtpUrl ?? "", config.moderationMail?.smtpUrl ?? ""]) {
    for (const secret of [url, decodeURIComponent(URL.parse(url)?.password ?? "")]) log.hide(secret);
  }
  const made = createMailers(config);
  if (made === undefined) return { sendsAll: false };
  const { mailer, sendsAll } = made;
  const queue = new MailQueue({ rows: stores.mailQueue, mailer, logger: log, now: Date.now });
  onClose(() => queue.stop());
  return { queue, sendsAll };
}

/** The methods that only an account's owner calls. */
export function ownerMethods(
  { sessions, appPasswords, status, credentials, languages, notices }: AccountFeatures,
  parts: {
    readonly accounts: AccountStore;
    readonly repos: RepoRegistry<BlobUpload>;
    readonly authenticator: HeaderAuthenticator;
  },
): Method[] {
  const { accounts, repos, authenticator } = parts;
  return [
    ...sessionMethods({ sessions, authenticator, languages }),
    ...appPasswordMethods({ appPasswords, notices }),
    ...credentialMethods({ credentials }),
    ...statusMethods({ accounts, status, repos }),
  ];
}
