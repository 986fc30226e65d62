/** Whether a password is that of an account, or one of its app passwords; what another server has hashed is hashed anew when it is seen. */
import { isKithError } from "../errors.ts";
import type { Account, Awaitable } from "./account.ts";
import { type AppPassword, hashAppPassword } from "./app_passwords.ts";
import type { Passwords } from "./passwords.ts";
import { isReferenceHash } from "./reference_passwords.ts";

/** Replaces a hash that still is `from`; durable when it resolves. False where it is another now. */
type Replace = (change: { did: string; from: string; to: string }) => Promise<boolean>;

/** Hashes of the reference's that are left, of accounts that were taken over. */
export interface ReferenceHashRows {
  replace: Replace;
  replaceOfApp: Replace;
}

/** The password that opens a session: its stored hash, and the app password where it is one. */
export interface Secret {
  readonly hash: string;
  readonly appPassword?: AppPassword;
}

export interface SecretChecksOptions {
  readonly passwords: Passwords;
  readonly appPasswords: {
    /** The app password of the account that has this hash. */
    find(did: string, passwordHash: string): Awaitable<AppPassword | undefined>;
  };
  /** Absent where no hash is another server's. */
  readonly referenceHashes?: ReferenceHashRows | undefined;
}

export class SecretChecks {
  readonly #options: SecretChecksOptions;

  constructor(options: SecretChecksOptions) {
    this.#options = options;
  }

  /** The account, with the hash that it has now, where the password is its own. Throws KithError busy. */
  async owner(account: Account | undefined, password: string): Promise<Account | undefined> {
    const matches = await this.#options.passwords.verify(password, account?.passwordHash);
    return account && matches ? await this.#renewed(account, password) : undefined;
  }

  /** What the password is of the account: its own, an app password, or neither. Throws KithError busy. */
  async any(account: Account | undefined, password: string): Promise<Secret | undefined> {
    const appPassword = await this.#appPassword(account?.did, password);
    if (appPassword) return appPassword;
    const owner = await this.owner(account, password);
    return owner && { hash: owner.passwordHash };
  }

  async #appPassword(did: string | undefined, password: string): Promise<Secret | undefined> {
    const { appPasswords, passwords, referenceHashes } = this.#options;
    const hash = hashAppPassword(did ?? "", password);
    if (hash === undefined) return undefined;
    const found = did === undefined ? undefined : await appPasswords.find(did, hash);
    if (found) return { hash, appPassword: found };
    const from = await passwords.referenceAppHash(did, password);
    const taken = did === undefined || from === undefined ? undefined : await appPasswords.find(did, from);
    if (did === undefined || from === undefined || !taken) return undefined;
    const renewed = await unlessRefused(() => referenceHashes?.replaceOfApp({ did, from, to: hash }));
    return { hash: renewed ? hash : from, appPassword: taken };
  }

  async #renewed(account: Account, password: string): Promise<Account> {
    const { passwords, referenceHashes } = this.#options;
    const { did, passwordHash: from } = account;
    if (!referenceHashes || !isReferenceHash(from)) return account;
    return (
      (await unlessRefused(async () => {
        const to = await passwords.hash(password);
        return (await referenceHashes.replace({ did, from, to }))
          ? { ...account, passwordHash: to }
          : undefined;
      })) ?? account
    );
  }
}

/** A password that cannot be hashed anew (the disk is full, it is longer than ours may be) is right all the same. */
async function unlessRefused<T>(renew: () => Promise<T | undefined> | undefined): Promise<T | undefined> {
  try {
    return await renew();
  } catch (error) {
    if (isKithError(error)) return undefined;
    throw error;
  }
}
