/** Calls of a server over the network, as one of its members. */
import { VERSION } from "../config/mod.ts";
import { type OutputOf, parseJson, type Schema } from "./admin_client.ts";

/** The longest that a call may take: a community that is made is waited for. */
const CALL_TIMEOUT_MS = 5 * 60_000;
/** The longest that the end of a session is waited for. */
const END_TIMEOUT_MS = 5_000;

export interface MemberCall {
  readonly params?: Readonly<Record<string, string | number | undefined>>;
  readonly input?: object;
  /** Instead of `input`. */
  readonly bytes?: { readonly type: string; readonly data: Uint8Array<ArrayBuffer> };
}

/** What the server refused, or why it could not be asked. */
export class MemberError extends Error {
  override readonly name = "MemberError";
  /** The XRPC error name; undefined where no server answered. */
  readonly error: string | undefined;
  /** Undefined where no server answered. */
  readonly status: number | undefined;

  constructor(message: string, { error, status }: { error?: string; status?: number } = {}) {
    super(message);
    this.error = error;
    this.status = status;
  }
}

interface Tokens {
  readonly accessJwt: string;
  readonly refreshJwt: string;
}

interface Sending extends MemberCall {
  readonly token?: string | undefined;
  readonly timeoutMs?: number;
}

export class MemberClient implements AsyncDisposable {
  /** The origin of the server. */
  readonly url: string;
  #tokens: Tokens | undefined;

  constructor(url: string) {
    this.url = url;
  }

  /** Throws MemberError. */
  async signIn(account: { identifier: string; password: string; authFactorToken?: string }): Promise<void> {
    const { ComAtprotoServerCreateSession } = await import("@atcute/atproto");
    const made = (await this.#send(ComAtprotoServerCreateSession.mainSchema, { input: account })) as Tokens;
    if (typeof made?.accessJwt !== "string" || typeof made.refreshJwt !== "string")
      throw new MemberError(
        `"${this.url}" has not answered with a session: is it a server of the AT Protocol?`,
      );
    this.#tokens = made;
  }

  /** Calls a method, as the member where signed in. Throws MemberError. */
  async call<S extends Schema>(schema: S, call: MemberCall = {}): Promise<OutputOf<S>> {
    return (await this.#send(schema, { ...call, token: this.#tokens?.accessJwt })) as OutputOf<S>;
  }

  /** Ends the session: nobody else has its tokens, so one that stays open does no harm. */
  async [Symbol.asyncDispose](): Promise<void> {
    const token = this.#tokens?.refreshJwt;
    if (token === undefined) return;
    this.#tokens = undefined;
    const { ComAtprotoServerDeleteSession } = await import("@atcute/atproto");
    const sent = this.#send(ComAtprotoServerDeleteSession.mainSchema, { token, timeoutMs: END_TIMEOUT_MS });
    await sent.catch(() => undefined);
  }

  async #send(schema: Schema, sending: Sending): Promise<unknown> {
    const { params = {}, input, bytes, token, timeoutMs = CALL_TIMEOUT_MS } = sending;
    const url = new URL(`/xrpc/${schema.nsid}`, this.url);
    for (const [name, value] of Object.entries(params))
      if (value !== undefined) url.searchParams.set(name, String(value));
    const type = bytes?.type ?? (input === undefined ? undefined : "application/json");
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, {
        method: schema.type === "xrpc_procedure" ? "POST" : "GET",
        headers: {
          "user-agent": `kith/${VERSION}`,
          ...(type === undefined ? {} : { "content-type": type }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: bytes?.data ?? (input === undefined ? undefined : JSON.stringify(input)),
        // A password goes nowhere but where it was meant to go.
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
      text = await response.text();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new MemberError(`The server at "${this.url}" did not answer: ${reason}`);
    }
    const body = parseJson(text);
    if (!response.ok) throw refusalOf(`"${schema.nsid}" at "${this.url}"`, { status: response.status, body });
    return body;
  }
}

function refusalOf(called: string, { status, body }: { status: number; body: unknown }): MemberError {
  const { error, message } = (body ?? {}) as { error?: unknown; message?: unknown };
  const words = typeof message === "string" && message !== "" ? message : `${called} was answered ${status}`;
  return new MemberError(words, { status, ...(typeof error === "string" ? { error } : {}) });
}
