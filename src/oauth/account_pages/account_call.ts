/** One request to a page of one account, from a browser in which it is signed in. */
import type { Account, Device, FreshAuth, SignedInAccount, StepUps } from "../../accounts/mod.ts";
import type { AccountFrame, FormTarget, View } from "../../web/mod.ts";
import type { PageCall } from "../pages/page_call.ts";
import type { PageAct } from "../pages/page_server.ts";
import { ACCOUNT_PATH, accountPath } from "./paths.ts";

/** A page, or another place to go to with GET. */
export type PageAnswer = { readonly html: string; readonly status?: number } | { readonly to: string };

/** Status of a page that shows a form again. */
export const REFUSED = 400;

export interface AccountCallOptions {
  readonly page: PageCall;
  readonly account: Account;
  readonly signedIn: SignedInAccount;
  readonly stepUps: Pick<StepUps, "ofDevice">;
}

export class AccountCall {
  readonly account: Account;
  readonly signedIn: SignedInAccount;
  readonly page: PageCall;
  readonly #stepUps: Pick<StepUps, "ofDevice">;

  constructor({ page, account, signedIn, stepUps }: AccountCallOptions) {
    this.page = page;
    this.account = account;
    this.signedIn = signedIn;
    this.#stepUps = stepUps;
  }

  get did(): string {
    return this.account.did;
  }

  get device(): Device {
    return this.page.device;
  }

  get view(): View {
    return this.page.view;
  }

  /** The client's address. */
  get ip(): string {
    return this.page.from.ip;
  }

  /** Of the form; empty where it is not there. */
  field(name: string): string {
    return this.page.form.get(name);
  }

  /** Of the address; empty where it is not there. */
  query(name: string): string {
    return this.page.query(name);
  }

  /** The account was taken down: its owner may look, and take access away. */
  get isDown(): boolean {
    return this.account.state === "takendown" || this.account.state === "suspended";
  }

  /** Throws KithError step_up_required. */
  fresh(): FreshAuth {
    return this.#stepUps.ofDevice(this.device, this.did);
  }

  path(rest = ""): string {
    return accountPath(this.did, rest);
  }

  target(rest: string, hidden?: Readonly<Record<string, string>>): FormTarget {
    return hidden === undefined ? { action: this.path(rest) } : { action: this.path(rest), hidden };
  }

  /** To another page of the account, which says what was done. */
  to(rest: string, query: Readonly<Record<string, string>> = {}): { to: string } {
    const text = new URLSearchParams(query).toString();
    return { to: text === "" ? this.path(rest) : `${this.path(rest)}?${text}` };
  }

  /** What every page of the account has around it. `done` has what pages before this one may have done. */
  frame(done: Readonly<Record<string, string>> = {}): AccountFrame {
    const said = this.query("done");
    return {
      account: { did: this.did, handle: this.account.handle },
      links: {
        home: this.path(),
        apps: this.path("apps"),
        devices: this.path("devices"),
        security: this.path("security"),
        appPasswords: this.path("app-passwords"),
        communities: this.path("communities"),
        handle: this.path("handle"),
        email: this.path("email"),
        status: this.path("status"),
      },
      switchUrl: `${ACCOUNT_PATH}/choose`,
      signOutUrl: this.path("sign-out"),
      isDown: this.isDown,
      done: Object.hasOwn(done, said) ? done[said] : undefined,
    };
  }
}

export type AccountHandler = (call: AccountCall) => Promise<PageAnswer> | PageAnswer;

/** What may be done at one path. */
export interface AccountRoute {
  readonly get?: AccountHandler;
  readonly post?: AccountHandler;
  /** Asks for a fresh sign-in before it shows anything. */
  readonly isGuarded?: boolean;
  /** What a POST counts as; "page" where absent. */
  readonly act?: PageAct;
  /** Also where the account was taken down. */
  readonly isOpenWhenDown?: boolean;
}

/** By what stands behind the account in the path. */
export type AccountRoutes = Readonly<Record<string, AccountRoute>>;
