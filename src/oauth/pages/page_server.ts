/** Everything that is the same for all pages: whose browser it is, whether a form is ours, and what an error looks like. */
import { checkCsrf, type Devices, isFromOwnPage } from "../../accounts/mod.ts";
import { isKithError } from "../../errors.ts";
import { cookiesNeededPage, type ProblemKind, problemPage } from "../../web/mod.ts";
import { RequestGone } from "../authorization_requests.ts";
import { OAuthError } from "../oauth_error.ts";
import { readForm } from "./form.ts";
import { PageCall, type PageContext, type PageSetting } from "./page_call.ts";
import { isPagePath } from "./page_paths.ts";

export type PageAct =
  | "page"
  | "sign_in"
  | "sign_up"
  | "forgot_password"
  | "reset_password"
  | "second_factor"
  | "community"
  | "community_password"
  | "admin_password";

/** Counts what callers do; throws KithError rate_limited. */
export interface PageLimits {
  count(act: PageAct, caller: { request: Request; ip: string }): void;
}

type Handler = (call: PageCall) => Promise<Response> | Response;

/** What a path answers. A POST is from our own page, of this browser, when its handler is called. */
export interface PageRoute {
  readonly get?: Handler;
  readonly post?: Handler;
  /** What a POST counts as; "page" where absent. */
  readonly act?: PageAct;
  /** Fields of the form that may come several times. */
  readonly lists?: readonly string[];
}

/** By path. */
export type PageRoutes = Readonly<Record<string, PageRoute>>;

export interface PageServerOptions extends PageSetting {
  readonly routes: PageRoutes;
  /** Of paths that are no route of their own: those that name an account. */
  find?(path: string): PageRoute | undefined;
  readonly devices: Pick<Devices, "open">;
  readonly limits?: PageLimits | undefined;
  /** Asked about what a handler has thrown, before it becomes an error page: a step-up, say. */
  recover?(call: PageCall, error: unknown): Promise<Response | undefined> | Response | undefined;
}

const RETRY_AFTER_S = 5;

interface Problem {
  readonly status: number;
  readonly kind: ProblemKind;
  /** For whoever makes the app. */
  readonly detail?: string;
}

export class PageServer {
  readonly #options: PageServerOptions;

  constructor(options: PageServerOptions) {
    this.#options = options;
  }

  /** Answers what is for a page; undefined for all else. */
  async fetch(request: Request, context: PageContext): Promise<Response | undefined> {
    const url = new URL(request.url);
    if (!isPagePath(url.pathname)) return undefined;
    const { devices } = this.#options;
    const cookie = request.headers.get("cookie");
    const userAgent = request.headers.get("user-agent") ?? "";
    const opened = await devices.open({ cookie, userAgent, ip: context.ip });
    const call = new PageCall(request, { url, context, opened, setting: this.#options });
    try {
      return await this.#answer(call);
    } catch (error) {
      const recovered = await this.#options.recover?.(call, error);
      if (recovered) return recovered;
      context.failure = error;
      return problemResponse(call, error);
    }
  }

  async #answer(call: PageCall): Promise<Response> {
    const { limits, routes } = this.#options;
    const { request, url, context } = call;
    const own = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
    const route = own ?? this.#options.find?.(url.pathname);
    const isPost = request.method === "POST";
    limits?.count((isPost && route?.act) || "page", { request, ip: context.ip });
    if (!route) return problemAnswer(call, { status: 404, kind: "notFound" });
    const handler = isPost ? route.post : request.method === "GET" ? route.get : undefined;
    if (!handler) return wrongVerb(call, route);
    // A picture, a frame or a script of another site opens nothing here, and so uses nothing up.
    if (!isNavigation(request.headers)) return problemAnswer(call, { status: 403, kind: "generic" });
    if (isPost) {
      const refused = await this.#readForm(call, route);
      if (refused) return refused;
    }
    return handler(call);
  }

  /** The answer where the form is none of ours. */
  async #readForm(call: PageCall, { lists = [] }: PageRoute): Promise<Response | undefined> {
    const { publicUrl, csrfKey: key } = this.#options;
    const { request, url } = call;
    if (!isFromOwnPage(request.headers, { publicUrl })) {
      return problemAnswer(call, { status: 403, kind: "generic" });
    }
    if (!request.headers.get("cookie")) {
      return call.page(cookiesNeededPage(call.view, { retryUrl: url.pathname + url.search }), {
        status: 403,
      });
    }
    const form = await readForm(request, { lists }).catch((error: unknown) => {
      if (!(error instanceof OAuthError)) throw error;
      call.context.failure = error;
    });
    if (!form) return problemAnswer(call, { status: 400, kind: "generic" });
    if (!checkCsrf(call.device, { key, token: form.get("csrf") })) {
      return problemAnswer(call, { status: 403, kind: "generic" });
    }
    call.form = form;
    return undefined;
  }
}

/** https://www.w3.org/TR/fetch-metadata: browsers of today say what they want an answer for. */
function isNavigation(headers: Headers): boolean {
  const [mode, dest] = [headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")];
  return (mode === null || mode === "navigate") && (dest === null || dest === "document");
}

function wrongVerb(call: PageCall, route: PageRoute): Response {
  const response = problemAnswer(call, { status: 405, kind: "notFound" });
  const verbs = [...(route.get ? ["GET"] : []), ...(route.post ? ["POST"] : [])];
  response.headers.set("Allow", verbs.join(", "));
  return response;
}

/** A page that says what went wrong and what to do. */
export function problemAnswer(call: PageCall, { status, kind, detail }: Problem): Response {
  const { requestId } = call.context;
  return call.page(problemPage(call.view, { kind, detail, requestId }), { status });
}

function problemResponse(call: PageCall, error: unknown): Response {
  const problem = problemOf(error);
  const response = problemAnswer(call, problem);
  const retryAfterS = isKithError(error) ? error.retryAfterS : undefined;
  if (problem.status === 429 || problem.status === 503) {
    response.headers.set("Retry-After", String(retryAfterS ?? RETRY_AFTER_S));
  }
  return response;
}

const GONE: Readonly<Record<RequestGone["kind"], ProblemKind>> = {
  unknown: "unknownRequest",
  expired: "expired",
  other_browser: "otherBrowser",
};

function problemOf(error: unknown): Problem {
  if (error instanceof RequestGone) {
    return { status: 400, kind: GONE[error.kind], detail: error.message };
  }
  if (error instanceof OAuthError) {
    const isBusy = error.error === "temporarily_unavailable";
    return isBusy ? { status: 503, kind: "busy" } : { status: 400, kind: "badClient", detail: error.message };
  }
  if (!isKithError(error)) return { status: 500, kind: "generic" };
  switch (error.code) {
    case "rate_limited":
      return { status: 429, kind: "limited" };
    case "busy":
    case "storage_full":
    case "shutting_down":
    case "timeout":
      return { status: 503, kind: "busy" };
    case "expired_token":
      return { status: 400, kind: "expired" };
    case "internal":
    case "storage_damaged":
      return { status: 500, kind: "generic" };
    default:
      return { status: 400, kind: "generic" };
  }
}
