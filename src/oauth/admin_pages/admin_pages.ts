/** The operator's pages: below /admin, for whoever has given the admin password in this browser. */
import type { LoginLock } from "../../accounts/mod.ts";
import { isKithError, KithError } from "../../errors.ts";
import {
  type AdminAccount,
  type AdminFrame,
  type AdminHomeData,
  adminAccountsPage,
  adminHomePage,
  adminSignInPage,
} from "../../web/mod.ts";
import type { PageCall } from "../pages/page_call.ts";
import type { PageRoute, PageRoutes } from "../pages/page_server.ts";
import type { AdminSessions } from "./admin_sessions.ts";

const ADMIN_PATH = "/admin";
const SIGN_IN_PATH = `${ADMIN_PATH}/sign-in`;
const ACCOUNTS_PATH = `${ADMIN_PATH}/accounts`;
const LINKS: AdminFrame["links"] = { home: ADMIN_PATH, accounts: ACCOUNTS_PATH };
const CURSOR_CHARS_MAX = 2_100;
const REFUSED = 400;
const MINUTE_S = 60;

export interface AdminHomeFacts extends Omit<AdminHomeData, "frame" | "backups"> {
  readonly backups: Omit<AdminHomeData["backups"], "runNow" | "drillNow">;
}

export interface AdminPagesOptions {
  readonly sessions: AdminSessions;
  /** Compares in constant time. */
  readonly isPassword: (text: string) => boolean;
  readonly lock: Pick<LoginLock, "attempt">;
  readonly home: () => Promise<AdminHomeFacts>;
  /** Throws KithError invalid_request for a cursor that is none. */
  readonly accounts: (cursor: string | undefined) => Promise<{
    readonly accounts: readonly AdminAccount[];
    readonly cursor?: string | undefined;
  }>;
  /** Begin what goes on by itself. */
  readonly backUp: () => void;
  readonly drill: () => void;
  readonly onSignIn: (from: { ip: string; isIn: boolean }) => void;
}

type Handler = NonNullable<PageRoute["get"]>;

export class AdminPages {
  readonly #options: AdminPagesOptions;

  constructor(options: AdminPagesOptions) {
    this.#options = options;
  }

  routes(): PageRoutes {
    const { backUp, drill } = this.#options;
    return {
      [ADMIN_PATH]: { get: this.#guarded((call) => this.#home(call)) },
      [`${ADMIN_PATH}/`]: { get: (call) => call.redirect(ADMIN_PATH) },
      [ACCOUNTS_PATH]: { get: this.#guarded((call) => this.#accounts(call)) },
      [`${ADMIN_PATH}/backup`]: this.#act("backup", backUp),
      [`${ADMIN_PATH}/drill`]: this.#act("drill", drill),
      [SIGN_IN_PATH]: {
        get: (call) => (this.#isIn(call) ? call.redirect(ADMIN_PATH) : call.page(signIn(call))),
        post: (call) => this.#signIn(call),
        act: "admin_password",
      },
      [`${ADMIN_PATH}/sign-out`]: {
        get: (call) => call.redirect(ADMIN_PATH),
        post: (call) => {
          const ended = this.#options.sessions.end(call.request.headers.get("cookie"));
          return withCookie(call.redirect(SIGN_IN_PATH), ended);
        },
      },
    };
  }

  #isIn(call: PageCall): boolean {
    return this.#options.sessions.isOpen(call.request.headers.get("cookie"));
  }

  #guarded(handler: Handler): Handler {
    return (call) => (this.#isIn(call) ? handler(call) : call.redirect(SIGN_IN_PATH));
  }

  #act(name: string, begin: () => void): PageRoute {
    return {
      get: (call) => call.redirect(ADMIN_PATH),
      post: this.#guarded((call) => {
        begin();
        return call.redirect(`${ADMIN_PATH}?done=${name}`);
      }),
    };
  }

  async #home(call: PageCall): Promise<Response> {
    const { backups, ...facts } = await this.#options.home();
    const { begun, drillBegun } = call.view.t.admin.backups;
    const done = new Map([
      ["backup", begun],
      ["drill", drillBegun],
    ]).get(call.query("done"));
    return call.page(
      adminHomePage(call.view, {
        ...facts,
        frame: frameOf(done),
        backups: {
          ...backups,
          runNow: { action: `${ADMIN_PATH}/backup` },
          drillNow: { action: `${ADMIN_PATH}/drill` },
        },
      }),
    );
  }

  async #accounts(call: PageCall): Promise<Response> {
    const at = call.query("cursor").slice(0, CURSOR_CHARS_MAX) || undefined;
    const { accounts, cursor } = await this.#options.accounts(at);
    return call.page(
      adminAccountsPage(call.view, {
        frame: frameOf(),
        accounts,
        nextUrl: cursor === undefined ? undefined : `${ACCOUNTS_PATH}?${new URLSearchParams({ cursor })}`,
        firstUrl: at === undefined ? undefined : ACCOUNTS_PATH,
      }),
    );
  }

  async #signIn(call: PageCall): Promise<Response> {
    const { lock, isPassword, sessions, onSignIn } = this.#options;
    const { ip } = call.from;
    const { t } = call.view;
    try {
      await lock.attempt({ account: "admin", ip }, async () => {
        if (!isPassword(call.form.get("password")))
          throw new KithError("auth_required", "Admin credentials are wrong");
      });
    } catch (error) {
      call.context.failure = error;
      if (isKithError(error, "auth_required")) {
        onSignIn({ ip, isIn: false });
        return call.page(signIn(call, { password: t.admin.signIn.wrong }), { status: REFUSED });
      }
      if (!isKithError(error, "rate_limited")) throw error;
      const minutes = Math.ceil((error.retryAfterS ?? MINUTE_S) / MINUTE_S);
      return call.page(signIn(call, { form: t.errors.tooManyTries(minutes) }), { status: 429 });
    }
    onSignIn({ ip, isIn: true });
    return withCookie(call.redirect(ADMIN_PATH), sessions.begin());
  }
}

function frameOf(done?: string): AdminFrame {
  return { links: LINKS, signOut: { action: `${ADMIN_PATH}/sign-out` }, done };
}

function signIn(call: PageCall, errors?: Parameters<typeof adminSignInPage>[1]["errors"]): string {
  return adminSignInPage(call.view, { form: { action: SIGN_IN_PATH }, errors });
}

function withCookie(response: Response, cookie: string): Response {
  response.headers.append("Set-Cookie", cookie);
  return response;
}
