/** A stock PDS of a test's own: it does what provisioning asks of one, and tells lies where a test has it do so. */
import { randomBytes } from "node:crypto";

export interface StockCall {
  /** The last word of the NSID. */
  readonly method: string;
  readonly token: string | undefined;
  readonly given: Record<string, unknown>;
}

interface StockAccount {
  readonly did: string;
  readonly handle: string;
  readonly password: string;
  readonly appPasswords: Map<string, string>;
  active: boolean;
}

/** Answers in the host's place; `answer` does what it would have done. */
export type Lie = (call: StockCall, answer: () => Response) => Response | Promise<Response>;

export const refuse = (error: string, status = 400): Response =>
  Response.json({ error, message: `${error} of the host` }, { status });

const SIGNING_KEY = "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF";
export const PDS_KEY = "did:key:zQ3shhCGUqDKjStzuDxPkTxN6ujddP4RkEKJJouJGRRkaLGbg";

export class StockPds implements AsyncDisposable {
  /** By the last word of a method. */
  readonly lies = new Map<string, Lie>();
  readonly accounts = new Map<string, StockAccount>();
  readonly asked: string[] = [];
  /** Every secret that it has told or was told: what it is. */
  readonly secrets = new Map<string, string>();
  readonly records = new Map<string, unknown>();
  readonly #tokens = new Map<string, string>();
  readonly #server = Bun.serve({ port: 0, hostname: "localhost", fetch: (request) => this.#fetch(request) });

  get url(): string {
    return `http://localhost:${this.#server.port}`;
  }

  get did(): string {
    return `did:web:localhost%3A${this.#server.port}`;
  }

  /** The tokens that still hold. */
  tokensOf(did: string): number {
    return [...this.#tokens.values()].filter((owner) => owner === did).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const method = url.pathname.split(".").at(-1) ?? "";
    const text = request.method === "POST" ? await request.text() : "";
    const call: StockCall = {
      method,
      token: request.headers.get("authorization")?.replace("Bearer ", ""),
      given:
        request.method === "POST" && text !== "" ? JSON.parse(text) : Object.fromEntries(url.searchParams),
    };
    this.asked.push(method);
    const lie = this.lies.get(method);
    return lie ? await lie(call, () => this.#answer(call)) : this.#answer(call);
  }

  #answer(call: StockCall): Response {
    const { given } = call;
    switch (call.method) {
      case "describeServer":
        return Response.json({ did: this.did, availableUserDomains: [".test"] });
      case "createAccount":
        return this.#createAccount(call);
      case "createSession":
        return this.#createSession(given);
      case "getRepoStatus": {
        const account = this.accounts.get(String(given.did));
        return account ? Response.json({ did: account.did, active: account.active }) : refuse("RepoNotFound");
      }
      case "resolveHandle": {
        const found = [...this.accounts.values()].find(({ handle }) => handle === given.handle);
        return found ? Response.json({ did: found.did }) : refuse("HandleNotFound");
      }
      default:
        return this.#answerSignedIn(call);
    }
  }

  #createAccount({ given, token }: StockCall): Response {
    const { did, handle, password } = given as Record<string, string>;
    if (!token || !did || !handle || !password) return refuse("AuthenticationRequired", 401);
    if (this.accounts.has(did)) return refuse("InvalidRequest");
    this.secrets.set(password, "account password");
    this.accounts.set(did, { did, handle, password, active: false, appPasswords: new Map() });
    return this.#session(did, "createAccount");
  }

  #createSession({ identifier, password }: Record<string, unknown>): Response {
    const account = this.accounts.get(String(identifier));
    const passwords = account ? [account.password, ...account.appPasswords.values()] : [];
    if (!account || !passwords.includes(String(password))) return refuse("AuthenticationRequired", 401);
    const isOwn = password === account.password;
    return this.#session(account.did, isOwn ? "account password" : "app password");
  }

  #session(did: string, by: string): Response {
    const account = this.accounts.get(did);
    const name = randomBytes(16).toString("hex");
    const [accessJwt, refreshJwt] = [`${name}.access`, `${name}.refresh`];
    for (const token of [accessJwt, refreshJwt]) {
      this.#tokens.set(token, did);
      this.secrets.set(token, `session by ${by}`);
    }
    return Response.json({ did, handle: account?.handle, active: account?.active, accessJwt, refreshJwt });
  }

  #answerSignedIn({ method, token, given }: StockCall): Response {
    const account = this.accounts.get(this.#tokens.get(token ?? "") ?? "");
    if (!account) return refuse("AuthenticationRequired", 401);
    switch (method) {
      case "getRecommendedDidCredentials":
        return Response.json(this.recommended(account.handle));
      case "activateAccount":
      case "deactivateAccount":
        account.active = method === "activateAccount";
        return new Response();
      case "deleteSession":
        // Both of a session begin with its name.
        for (const known of this.#tokens.keys())
          if (known.split(".")[0] === token?.split(".")[0]) this.#tokens.delete(known);
        return new Response();
      case "listAppPasswords":
        return Response.json({ passwords: [...account.appPasswords.keys()].map((name) => ({ name })) });
      case "revokeAppPassword":
        account.appPasswords.delete(String(given.name));
        return new Response();
      case "createAppPassword": {
        const password = `app-${randomBytes(8).toString("hex")}`;
        this.secrets.set(password, "app password");
        account.appPasswords.set(String(given.name), password);
        return Response.json({ name: given.name, password, createdAt: new Date().toISOString() });
      }
      case "putRecord":
        this.records.set(`${given.repo}/${given.collection}/${given.rkey}`, given.record);
        return Response.json({ uri: `at://${given.repo}/${given.collection}/${given.rkey}`, cid: CID });
      default:
        return refuse("MethodNotImplemented", 501);
    }
  }

  recommended(handle: string): Record<string, unknown> {
    return {
      rotationKeys: [PDS_KEY],
      alsoKnownAs: [`at://${handle}`],
      verificationMethods: { atproto: SIGNING_KEY },
      services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: this.url } },
    };
  }
}

const CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
