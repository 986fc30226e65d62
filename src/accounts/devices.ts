import { timingSafeEqual } from "node:crypto";
import { KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import {
  type DeviceCookie,
  hashOfDevice,
  newDeviceCookie,
  newDeviceSecret,
  readDeviceCookie,
  writeDeviceCookie,
} from "./_device_cookie.ts";
import type { Awaitable } from "./account.ts";

/** For how long a sign-in is good for apps without the password again; one that is not to be remembered. */
export const REMEMBERED_MS = 7 * 24 * 3_600_000;
export const NOT_REMEMBERED_MS = 15 * 60_000;
/** A browser that comes back after so long gets another secret. */
export const DEVICE_IDLE_MS = 5 * 60_000;
/** For so long after a change the secret before is good: requests of one page come at the same time. */
export const OLD_SECRET_MS = 10_000;
/** That a browser was seen is noted once in so long. */
export const SEEN_EVERY_MS = 60_000;
/** A browser that was not seen for so long is forgotten. */
export const DEVICE_LIFETIME_MS = 365 * 24 * 3_600_000;
/** Accounts of one browser, and browsers of one account, at the most. */
export const DEVICE_ACCOUNTS_MAX = 20;
export const ACCOUNT_DEVICES_MAX = 100;
const USER_AGENT_CHARS_MAX = 500;

/** What a request says of its browser. */
export interface DeviceRequest {
  readonly userAgent: string;
  /** The client's address. */
  readonly ip: string;
}

/** An account that is signed in in a browser. Times in milliseconds since 1970. */
export interface SignedInAccount {
  readonly did: string;
  /** When it was last signed in to with everything that it asks for. */
  readonly authenticatedAt: number;
  readonly remember: boolean;
  /** The sign-in is too old to be good for anything but the account's name in a list. */
  readonly needsPassword: boolean;
}

/** A browser. One where nobody is signed in is stored nowhere. */
export interface Device {
  /** Stays the same for as long as the cookie; tells nothing of it. */
  readonly id: string;
  /** Of the secret that the request showed, or that it is given. */
  readonly secretHash: string;
  readonly cookieId: string;
  /** The last signed in first. */
  readonly accounts: readonly SignedInAccount[];
}

/** What comes of a request: its browser, and the Set-Cookie header that the answer must have. */
export interface OpenedDevice {
  readonly device: Device;
  readonly setCookie: string | undefined;
}

/** A browser as an account's owner sees it. */
export interface ListedDevice {
  readonly id: string;
  readonly userAgent: string;
  readonly ip: string;
  readonly createdAt: number;
  readonly lastSeenAt: number;
  readonly authenticatedAt: number;
  readonly remember: boolean;
}

interface StoredDevice extends Omit<ListedDevice, "authenticatedAt" | "remember"> {
  readonly secretHash: string;
  readonly previousHash: string | null;
  readonly confirmed: boolean;
  readonly rotatedAt: number;
}

type Seen = DeviceRequest & { readonly id: string; readonly secretHash: string; readonly now: number };

/** What devices need of their store. Every change is durable when its promise resolves. */
export interface DeviceRows {
  find(id: string): Awaitable<StoredDevice | undefined>;
  accounts(id: string): Awaitable<readonly Omit<SignedInAccount, "needsPassword">[]>;
  devicesOf(did: string): Awaitable<readonly ListedDevice[]>;
  /** False where the password, or the secret, is not the one any more. */
  signIn(
    change: Seen & {
      did: string;
      remember: boolean;
      nextHash: string;
      passwordHash?: string | undefined;
      accountsMax: number;
      devicesMax: number;
      pruneBefore: number;
    },
  ): Promise<boolean>;
  /** False where `presentHash` is not the present secret's any more. `secretHash` is that which was shown. */
  rotate(change: Seen & { presentHash: string; nextHash: string }): Promise<boolean>;
  /** Notes that the present secret was seen. */
  seen(seen: { id: string; secretHash: string; now: number }): Promise<unknown>;
  authenticated(change: { id: string; did: string; now: number }): Promise<unknown>;
  signOut(id: string, did: string): Promise<unknown>;
  signOutEverywhere(did: string, options?: { except?: string }): Promise<unknown>;
  end(id: string): Promise<unknown>;
}

export interface DevicesOptions {
  readonly rows: DeviceRows;
  /** Origin of the pages: its scheme decides about the cookie. */
  readonly publicUrl: string;
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The browsers that members are signed in in, by a cookie whose secret changes: one that was copied is noticed. */
export class Devices {
  readonly #options: DevicesOptions;
  readonly #isSecure: boolean;
  readonly #now: () => number;

  constructor(options: DevicesOptions) {
    this.#options = options;
    this.#isSecure = new URL(options.publicUrl).protocol === "https:";
    this.#now = options.now ?? Date.now;
  }

  /**
   * The browser of a request, by its Cookie header; a new one where that has none, or none that holds. A secret that was replaced,
   * and whose successor has been seen, ends the sign-ins of the browser: one of the two who have it has stolen it.
   */
  async open(request: DeviceRequest & { readonly cookie: string | null }): Promise<OpenedDevice> {
    const cookie = readDeviceCookie(request.cookie, { isSecure: this.#isSecure });
    if (cookie === undefined) return this.#newDevice();
    const { rows, logger } = this.#options;
    const id = hashOfDevice("id", cookie.id);
    const secretHash = hashOfDevice("secret", cookie.secret);
    const stored = await rows.find(id);
    if (stored === undefined) return { device: deviceOf(cookie, []), setCookie: undefined };
    const now = this.#now();
    const isPresent = isSame(stored.secretHash, secretHash);
    const isPrevious = stored.previousHash !== null && isSame(stored.previousHash, secretHash);
    const mayLag = now - stored.rotatedAt <= OLD_SECRET_MS;
    if (!isPresent && !(isPrevious && (mayLag || !stored.confirmed))) {
      await rows.end(id);
      logger.warn("A browser showed an old cookie: everybody was signed out on it", { ip: request.ip });
      return this.#newDevice();
    }
    const accounts = await this.#accounts(id);
    const device = deviceOf(cookie, accounts);
    const seen = { id, secretHash, ...bounded(request), now };
    const needsSecret = isPresent ? isDue(stored, seen) : !mayLag;
    if (needsSecret) return this.#rotate(device, { seen, presentHash: stored.secretHash });
    if (isPresent && (!stored.confirmed || now - stored.lastSeenAt >= SEEN_EVERY_MS)) await rows.seen(seen);
    return { device, setCookie: undefined };
  }

  /**
   * Signs an account in, after everything that it asks for; the browser gets a new secret. `passwordHash` is that which the
   * password was checked against. Throws KithError auth_required where that, or the cookie, was changed meanwhile.
   */
  async signIn(
    device: Device,
    signIn: DeviceRequest & { did: string; remember: boolean; passwordHash?: string | undefined },
  ): Promise<{ device: Device; setCookie: string }> {
    const { did, remember, passwordHash } = signIn;
    const { id, secretHash } = device;
    const secret = newDeviceSecret();
    const now = this.#now();
    const isDone = await this.#options.rows.signIn({
      ...{ id, secretHash, did, remember, passwordHash, now },
      ...bounded(signIn),
      nextHash: hashOfDevice("secret", secret),
      accountsMax: DEVICE_ACCOUNTS_MAX,
      devicesMax: ACCOUNT_DEVICES_MAX,
      pruneBefore: now - DEVICE_LIFETIME_MS,
    });
    if (!isDone) throw new KithError("auth_required", "Invalid identifier or password");
    const cookie = { id: device.cookieId, secret };
    const accounts = await this.#accounts(id);
    return { device: deviceOf(cookie, accounts), setCookie: this.#write(cookie, accounts) };
  }

  /** Notes another full sign-in of an account that is signed in already. */
  async authenticated({ id }: { id: string }, did: string): Promise<void> {
    await this.#options.rows.authenticated({ id, did, now: this.#now() });
  }

  /** Signs an account out in this browser; where it was the last one, the browser is a new one. */
  async signOut(device: Device, did: string): Promise<OpenedDevice> {
    await this.#options.rows.signOut(device.id, did);
    const accounts = device.accounts.filter((account) => account.did !== did);
    return accounts.length === 0
      ? this.#newDevice()
      : { device: { ...device, accounts }, setCookie: undefined };
  }

  /** Everybody in this browser. */
  async signOutAll(device: Device): Promise<OpenedDevice> {
    await this.#options.rows.end(device.id);
    return this.#newDevice();
  }

  /** Where an account is signed in, the last seen first. */
  async list(did: string): Promise<readonly ListedDevice[]> {
    const listed = await this.#options.rows.devicesOf(did);
    return listed.filter((one) => one.remember || one.authenticatedAt > this.#now() - NOT_REMEMBERED_MS);
  }

  /** Signs an account out on another of its devices. Nothing where it is not signed in there. */
  async signOutOn(id: string, did: string): Promise<void> {
    await this.#options.rows.signOut(id, did);
  }

  /** Signs an account out on all its devices but this one, or on all. */
  async signOutOthers(did: string, device?: { readonly id: string }): Promise<void> {
    await this.#options.rows.signOutEverywhere(did, device === undefined ? {} : { except: device.id });
  }

  async #rotate(
    device: Device,
    { seen, presentHash }: { seen: Seen; presentHash: string },
  ): Promise<OpenedDevice> {
    const cookie = { id: device.cookieId, secret: newDeviceSecret() };
    const nextHash = hashOfDevice("secret", cookie.secret);
    // A request at the same time may have been first: then its answer brings the cookie, and the one that came is good for a while.
    if (!(await this.#options.rows.rotate({ ...seen, presentHash, nextHash }))) {
      return { device, setCookie: undefined };
    }
    const { accounts } = device;
    return { device: deviceOf(cookie, accounts), setCookie: this.#write(cookie, accounts) };
  }

  #newDevice(): OpenedDevice {
    const cookie = newDeviceCookie();
    return { device: deviceOf(cookie, []), setCookie: this.#write(cookie, []) };
  }

  async #accounts(id: string): Promise<SignedInAccount[]> {
    const now = this.#now();
    const rows = await this.#options.rows.accounts(id);
    return rows
      .map((row) => {
        const goodFor = row.remember ? REMEMBERED_MS : NOT_REMEMBERED_MS;
        return { ...row, needsPassword: row.authenticatedAt <= now - goodFor };
      })
      .filter(({ remember, needsPassword }) => remember || !needsPassword);
  }

  #write(cookie: DeviceCookie, accounts: readonly SignedInAccount[]): string {
    const lasts = accounts.some(({ remember }) => remember);
    return writeDeviceCookie(cookie, { isSecure: this.#isSecure, lasts });
  }
}

function deviceOf({ id, secret }: DeviceCookie, accounts: readonly SignedInAccount[]): Device {
  return {
    id: hashOfDevice("id", id),
    secretHash: hashOfDevice("secret", secret),
    cookieId: id,
    accounts,
  };
}

/** Whether a present secret has served long enough. */
function isDue(stored: StoredDevice, { now, userAgent, ip }: Seen): boolean {
  return now - stored.lastSeenAt >= DEVICE_IDLE_MS || stored.userAgent !== userAgent || stored.ip !== ip;
}

function bounded({ userAgent, ip }: DeviceRequest): DeviceRequest {
  return { userAgent: userAgent.slice(0, USER_AGENT_CHARS_MAX), ip };
}

function isSame(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
