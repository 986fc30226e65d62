/**
 * The oracle run's stage: the reference PDS and kith side by side, on one PLC directory and with the same settings, and what is
 * known of each (accounts, tokens, CIDs) under the same names.
 */
import { AppView, type AppViewCall } from "../app_view.ts";
import { type Answer, type Call, http, PASSWORD } from "../client.ts";
import { Firehose } from "../firehose.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { REFERENCE_ADMIN_PASSWORD, ReferencePds } from "../reference.ts";
import { SmtpSink } from "../smtp_sink.ts";

export const MARK_COLLECTION = "dev.kith.oracle.mark";

/** What a side knows of an account. */
export interface Member {
  readonly name: string;
  readonly did: string;
  readonly handle: string;
  readonly email: string;
  accessJwt: string;
  refreshJwt: string;
}

/** One of the two servers. */
export class Side {
  readonly name: "reference" | "kith";
  readonly url: string;
  readonly adminPassword: string;
  readonly appView: AppView;
  readonly moderation: AppView;
  readonly smtp: SmtpSink;
  readonly firehose: Firehose;
  readonly members = new Map<string, Member>();
  /** What cases keep for those after them: CIDs, revs, cursors, codes. */
  readonly memory = new Map<string, string>();
  serviceDid = "";
  /** The other one, from which members come and to which they go. */
  peer!: Side;

  constructor(
    parts: Pick<Side, "name" | "url" | "adminPassword" | "appView" | "moderation" | "smtp" | "firehose">,
  ) {
    this.name = parts.name;
    this.url = parts.url;
    this.adminPassword = parts.adminPassword;
    this.appView = parts.appView;
    this.moderation = parts.moderation;
    this.smtp = parts.smtp;
    this.firehose = parts.firehose;
  }

  member(name: string): Member {
    const member = this.members.get(name);
    if (!member) throw new Error(`${this.name} knows no member "${name}"`);
    return member;
  }

  did(name: string): string {
    return this.member(name).did;
  }

  token(name: string): string {
    return this.member(name).accessJwt;
  }

  /** What a case has kept. */
  kept(name: string): string {
    const value = this.memory.get(name);
    if (value === undefined) throw new Error(`${this.name} has kept no "${name}"`);
    return value;
  }

  get basic(): Record<string, string> {
    return basic(this.adminPassword);
  }

  /** The code in the mail that a member got last of this kind. */
  code(name: string, subject: RegExp): Promise<string> {
    return this.smtp.codeTo(this.member(name).email, subject);
  }

  send(to: string, call: Call): Promise<Answer> {
    return http(to.startsWith("/") ? `${this.url}${to}` : `${this.url}/xrpc/${to}`, call);
  }
}

export function basic(password: string, user = "admin"): Record<string, string> {
  return { authorization: `Basic ${btoa(`${user}:${password}`)}` };
}

/** The servers, and everything that they need. */
export class Pair implements AsyncDisposable {
  readonly reference: Side;
  readonly kith: Side;
  readonly plc: PlcDirectory;
  readonly #rest: AsyncDisposableStack;
  #marks = 0;

  private constructor(parts: {
    reference: Side;
    kith: Side;
    plc: PlcDirectory;
    rest: AsyncDisposableStack;
  }) {
    this.reference = parts.reference;
    this.kith = parts.kith;
    this.plc = parts.plc;
    this.#rest = parts.rest;
  }

  static async start(env: Readonly<Record<string, string>> = {}): Promise<Pair> {
    await using rest = new AsyncDisposableStack();
    const plc = rest.use(await PlcDirectory.start());
    const [reference, kith] = await Promise.all([
      startSide("reference", { plc, rest, env }),
      startSide("kith", { plc, rest, env }),
    ]);
    const pair = new Pair({ reference, kith, plc, rest: rest.move() });
    [reference.peer, kith.peer] = [kith, reference];
    await pair.both(async (side) => {
      side.serviceDid = String((await side.send("com.atproto.server.describeServer", {})).json.did);
    });
    return pair;
  }

  get sides(): readonly [Side, Side] {
    return [this.reference, this.kith];
  }

  /** The same on both, at the same time. */
  async both<T>(action: (side: Side) => Promise<T> | T): Promise<[T, T]> {
    return Promise.all([action(this.reference), action(this.kith)]);
  }

  /** Writes the same marker on both: events before it belong to what was called before it. Resolves to its number. */
  async mark(): Promise<number> {
    this.#marks += 1;
    const number = this.#marks;
    await this.both(async (side) => {
      const { did, accessJwt } = side.member("marker");
      const record = { $type: MARK_COLLECTION, number };
      const body = { repo: did, collection: MARK_COLLECTION, rkey: `mark-${number}`, record };
      const { status, json } = await side.send("com.atproto.repo.createRecord", { token: accessJwt, body });
      if (status !== 200) throw new Error(`${side.name} refuses a marker: ${JSON.stringify(json)}`);
    });
    return number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rest[Symbol.asyncDispose]();
  }
}

interface Settings {
  readonly plc: PlcDirectory;
  readonly rest: AsyncDisposableStack;
  readonly env: Readonly<Record<string, string>>;
}

async function startSide(name: Side["name"], { plc, rest, env }: Settings): Promise<Side> {
  const appView = rest.use(AppView.start());
  const moderation = rest.use(AppView.start());
  const smtp = rest.use(await new SmtpSink().start());
  for (const service of [appView, moderation]) service.trust(plc);
  moderation.on("com.atproto.moderation.createReport", answerReport);
  const settings = {
    PDS_DID_PLC_URL: plc.url,
    ...smtp.env("noreply@pds.example.com"),
    PDS_MOD_SERVICE_URL: moderation.url,
    PDS_MOD_SERVICE_DID: moderation.did,
    ...appView.env,
    ...env,
  };
  const server =
    name === "reference"
      ? rest.use(await ReferencePds.start({ plc, env: settings }))
      : rest.use(await TestServer.start({ env: { KITH_LOGIN_FAILURES_MAX: "1000", ...settings } }));
  const firehose = rest.use(await Firehose.connect(server.url));
  const adminPassword = name === "reference" ? REFERENCE_ADMIN_PASSWORD : ADMIN_PASSWORD;
  return new Side({ name, url: server.url, adminPassword, appView, moderation, smtp, firehose });
}

/** One request that goes to both. */
export interface Case {
  readonly title: string;
  /** NSID of a method, or a path that begins with a slash. */
  readonly to: string;
  readonly call?: (side: Side) => Call | Promise<Call>;
  /** Keeps something of an answer for later cases. */
  readonly keep?: (answer: Answer, side: Side) => void;
  /** What must be so on both, beyond being alike: a case that fails by mistake would otherwise pass. */
  readonly status?: number;
}

/** The case that makes a member, whose tokens are kept under its name. */
export function signUp(name: string, extra: Record<string, unknown> = {}): Case {
  const account = { handle: `${name}.test`, email: `${name}@example.com`, password: PASSWORD };
  return {
    title: `signs ${name} up`,
    to: "com.atproto.server.createAccount",
    call: () => ({ body: { ...account, ...extra } }),
    keep: ({ json }, side) => {
      const { did, accessJwt, refreshJwt } = json as unknown as Member;
      side.members.set(name, { name, ...account, did, accessJwt, refreshJwt });
    },
    status: 200,
  };
}

/** The case that signs a member in anew. */
export function signIn(name: string, extra: Record<string, unknown> = {}): Case {
  return {
    title: `signs ${name} in`,
    to: "com.atproto.server.createSession",
    call: (side) => ({ body: { identifier: side.did(name), password: PASSWORD, ...extra } }),
    keep: ({ json }, side) => {
      const { accessJwt, refreshJwt } = json as unknown as Member;
      Object.assign(side.member(name), { accessJwt, refreshJwt });
    },
  };
}

/** As a moderation service answers a report. */
function answerReport({ body, claims }: AppViewCall): Response {
  const report = JSON.parse(new TextDecoder().decode(body)) as object;
  const createdAt = new Date().toISOString();
  return Response.json({ id: 1, ...report, reportedBy: claims?.iss, createdAt });
}
