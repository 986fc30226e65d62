/** Clients of the server under test: the official agent for what apps do, and bare requests for what they would not. */
import { AtpAgent } from "@atproto/api";
import { signingKeyOf } from "./judges.ts";
import type { PlcDirectory } from "./plc_directory.ts";

export const PASSWORD = "correct horse battery staple";

export interface Account {
  readonly agent: AtpAgent;
  readonly did: string;
  readonly handle: string;
  readonly email: string;
  /** The did:key that its commits are signed by, from the directory. */
  readonly didKey: string;
  readonly accessJwt: string;
  readonly refreshJwt: string;
}

/** The first domain that the server gives handles under, with its leading dot. */
export async function handleDomain(server: string): Promise<string> {
  const answer = await fetch(`${server}/xrpc/com.atproto.server.describeServer`);
  const description = (await answer.json()) as { availableUserDomains?: string[] };
  return description.availableUserDomains?.[0] ?? ".test";
}

/** Creates the account `name` with the official agent and looks its key up where everybody would. */
export async function createAccount(
  server: string,
  name: string,
  directory?: Pick<PlcDirectory, "document">,
): Promise<Account> {
  const agent = new AtpAgent({ service: server });
  const handle = `${name}${await handleDomain(server)}`;
  const email = `${name}@example.com`;
  const { data } = await agent.createAccount({ handle, email, password: PASSWORD });
  const document = directory ? await directory.document(data.did) : await embeddedDocument(server, data.did);
  const didKey = signingKeyOf(document);
  const { accessJwt, refreshJwt } = data;
  return { agent, did: data.did, handle, email, didKey, accessJwt, refreshJwt };
}

/** The DID document from the directory that dev mode embeds. */
export async function embeddedDocument(server: string, did: string): Promise<unknown> {
  const answer = await fetch(`${server}/${did}`);
  if (!answer.ok) throw new Error(`The embedded directory answers ${answer.status} for "${did}"`);
  return answer.json();
}

export interface Call {
  readonly method?: string;
  readonly params?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** Sent as JSON, unless it is bytes or text. */
  readonly body?: unknown;
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A connection of its own: no request is sent twice because a kept connection turned out to be dead. */
  readonly alone?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly json: Record<string, unknown>;
  /** The XRPC error name of an error body. */
  readonly error: string | undefined;
}

/** One bare request to an XRPC method: POST when there is a body, else GET. */
export function xrpc(server: string, nsid: string, call: Call = {}): Promise<Answer> {
  return http(`${server}/xrpc/${nsid}`, call);
}

/** One bare request to any URL. */
export async function http(address: string, call: Call = {}): Promise<Answer> {
  const url = new URL(address);
  for (const [name, value] of Object.entries(call.params ?? {})) {
    for (const item of [value].flat()) if (item !== undefined) url.searchParams.append(name, String(item));
  }
  const raw = call.body instanceof Uint8Array || typeof call.body === "string";
  const response = await fetch(url, {
    method: call.method ?? (call.body === undefined ? "GET" : "POST"),
    redirect: "manual",
    keepalive: !call.alone,
    headers: {
      ...(call.body === undefined || raw ? {} : { "content-type": "application/json" }),
      ...(call.token ? { authorization: `Bearer ${call.token}` } : {}),
      ...call.headers,
    },
    body: call.body === undefined ? undefined : raw ? (call.body as string) : JSON.stringify(call.body),
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const json = parseJson(bytes);
  const error = typeof json.error === "string" ? json.error : undefined;
  return { status: response.status, headers: response.headers, bytes, json, error };
}

function parseJson(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** The CAR of a whole repo, or of what is newer than `since`. */
export async function repoCar(server: string, did: string, since?: string): Promise<Uint8Array> {
  const answer = await xrpc(server, "com.atproto.sync.getRepo", { params: { did, since } });
  if (answer.status !== 200)
    throw new Error(`getRepo of "${did}" answers ${answer.status} ${answer.error ?? ""}`);
  return answer.bytes;
}

/** A post as apps write it. */
export function post(text: string, extra: Record<string, unknown> = {}): Record<string, unknown> {
  return { $type: "app.bsky.feed.post", text, createdAt: new Date().toISOString(), ...extra };
}

const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/**
 * A picture of so many bytes, like no other: a PNG of one pixel, and anything after its end. What is at random from its first byte on the
 * reference takes for a recording, a program or an archive one time in some thousands, and refuses it as a picture.
 */
export function newPicture(bytes: number): Uint8Array<ArrayBuffer> {
  const all = crypto.getRandomValues(new Uint8Array(bytes));
  all.set(Buffer.from(PIXEL, "base64"));
  return all;
}

/** Creates one record by a bare request and returns its address; throws when refused. */
export async function createRecord(
  server: string,
  account: Pick<Account, "did" | "accessJwt">,
  input: { collection?: string; rkey?: string; record: Record<string, unknown> },
): Promise<{ uri: string; cid: string; commit: { cid: string; rev: string } }> {
  const answer = await xrpc(server, "com.atproto.repo.createRecord", {
    token: account.accessJwt,
    body: { repo: account.did, collection: "app.bsky.feed.post", ...input },
  });
  if (answer.status !== 200)
    throw new Error(`createRecord answers ${answer.status} ${JSON.stringify(answer.json)}`);
  return answer.json as unknown as { uri: string; cid: string; commit: { cid: string; rev: string } };
}

export const FILE_COLLECTION = "dev.kith.test.file";

/** Uploads a file, and creates a record that refers to it; the CID of the file. */
export async function postFile(
  server: string,
  account: Pick<Account, "did" | "accessJwt">,
  { content, ...input }: { rkey?: string; content: string },
): Promise<string> {
  const answer = await xrpc(server, "com.atproto.repo.uploadBlob", {
    token: account.accessJwt,
    body: Buffer.from(content),
    headers: { "content-type": "text/plain" },
  });
  if (answer.status !== 200)
    throw new Error(`uploadBlob answers ${answer.status} ${JSON.stringify(answer.json)}`);
  const blob = answer.json.blob as { ref: { $link: string } };
  const record = { $type: FILE_COLLECTION, blob };
  await createRecord(server, account, { collection: FILE_COLLECTION, ...input, record });
  return blob.ref.$link;
}
