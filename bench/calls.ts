/** Calls that set the stage: nothing of this is measured, unless its row says so. */
import { randomBytes } from "node:crypto";
import {
  buildCommit,
  cidOfCbor,
  createGenesis,
  createServiceJwt,
  encodeCar,
  encodeCbor,
  generatePrivateKey,
  type Head,
  MemoryBlocks,
  nextTid,
  type Signer,
  signCommit,
  signerFromPrivateKey,
} from "../src/atproto/mod.ts";
import { HOST } from "./load/request_bytes.ts";
import { HANDLE_DOMAIN, SERVICE_DID } from "./peers.ts";

export const COLLECTION = "app.bsky.feed.post";
const PASSWORD = "correct horse battery staple";
export const WRITES_PER_COMMIT = 200;
/** A post of usual length. */
const TEXT = "A post of the length that people write, with an umlaut (ü) and a number that is its own: ";
const CREATED_AT = "2026-01-01T00:00:00.000Z";

export interface BenchAccount {
  readonly did: string;
  readonly token: string;
}

/** The record that all rows write; `mark` makes it differ from others. */
export function postOf(mark: string): Record<string, unknown> {
  return { $type: COLLECTION, text: `${TEXT}${mark}`, createdAt: CREATED_AT, langs: ["en"] };
}

interface CallOptions {
  readonly token?: string;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly type?: string;
}

/** One XRPC call, POST where it has a body. Throws Error on any answer but a 2xx one. */
export async function call<T>(url: string, nsid: string, options: CallOptions = {}): Promise<T> {
  const { token, json, bytes, type } = options;
  const body = json === undefined ? bytes : JSON.stringify(json);
  const answer = await fetch(`${url}/xrpc/${nsid}`, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      host: HOST,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": type ?? "application/json" }),
    },
    body: body as string | undefined,
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`"${nsid}" answers ${answer.status} ${text.slice(0, 300)}`);
  return (text === "" ? {} : JSON.parse(text)) as T;
}

export async function createAccount(
  url: string,
  name: string,
  moving: { did?: string; token?: string } = {},
): Promise<BenchAccount> {
  const { did, token } = moving;
  const handle = `${name}${HANDLE_DOMAIN}`;
  const email = `${name}@example.com`;
  const json = { handle, email, password: PASSWORD, ...(did === undefined ? {} : { did }) };
  const made = await call<{ did: string; accessJwt: string }>(url, "com.atproto.server.createAccount", {
    token,
    json,
  });
  return { did: made.did, token: made.accessJwt };
}

/** Accounts name0, name1, ...: a few at a time. */
export async function createAccounts(url: string, name: string, count: number): Promise<BenchAccount[]> {
  const made: BenchAccount[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const at = next++;
      made[at] = await createAccount(url, `${name}${at}`);
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  return made;
}

/** The body of an applyWrites of as many creates as one commit may have. */
export function applyWritesBody(did: string, markOf: (at: number) => string): Record<string, unknown> {
  const writes = Array.from({ length: WRITES_PER_COMMIT }, (_, at) => ({
    $type: "com.atproto.repo.applyWrites#create",
    collection: COLLECTION,
    value: postOf(markOf(at)),
  }));
  return { repo: did, writes };
}

/** Fills a repo; the rkeys of what is in it then, of the last commit only. */
export async function fillRepo(url: string, { did, token }: BenchAccount, records: number): Promise<void> {
  for (let done = 0; done < records; done += WRITES_PER_COMMIT) {
    const json = applyWritesBody(did, (at) => String(done + at));
    await call(url, "com.atproto.repo.applyWrites", { token, json });
  }
}

/** The rkeys of records all over a repo of `records`: of one page in so many. */
export async function sampleRkeys(url: string, did: string, pages: number): Promise<string[]> {
  const rkeys: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < pages; page++) {
    const query = `repo=${did}&collection=${COLLECTION}&limit=100${cursor === undefined ? "" : `&cursor=${cursor}`}`;
    const answer = await call<{ records: { uri: string }[]; cursor?: string }>(
      url,
      `com.atproto.repo.listRecords?${query}`,
    );
    rkeys.push(...answer.records.map(({ uri }) => uri.slice(uri.lastIndexOf("/") + 1)));
    cursor = answer.cursor;
    if (cursor === undefined) break;
  }
  return rkeys;
}

/** An account that moves to a server, its DID registered with a key of our own; it waits for its repo. */
export async function moveIn(
  url: string,
  plcUrl: string,
  name: string,
): Promise<BenchAccount & { signer: Signer }> {
  const signer = signerFromPrivateKey("k256", generatePrivateKey("k256", randomBytes(32)));
  const { did, operation } = createGenesis({
    signingKey: signer.didKey,
    rotationKeys: [signer.didKey],
    handle: `${name}${HANDLE_DOMAIN}`,
    pdsEndpoint: "https://old.example.com",
    signer,
  });
  const posted = await fetch(`${plcUrl}/${did}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(operation),
  });
  if (!posted.ok) throw new Error(`The PLC directory answers ${posted.status} ${await posted.text()}`);
  const iat = Math.floor(Date.now() / 1000);
  const token = createServiceJwt({
    iss: did,
    aud: SERVICE_DID,
    lxm: "com.atproto.server.createAccount",
    iat,
    exp: iat + 60,
    jti: randomBytes(16).toString("hex"),
    signer,
  });
  return { ...(await createAccount(url, name, { did, token })), signer };
}

/** A whole repo as a CAR, built in memory. */
export function repoCar({
  did,
  signer,
  records,
}: {
  did: string;
  signer: Signer;
  records: number;
}): Uint8Array {
  const blocks = new MemoryBlocks();
  let head: Head | null = null;
  let rkey: string | null = null;
  let commit: ReturnType<typeof signCommit> | undefined;
  for (let done = 0; done < records; done += WRITES_PER_COMMIT) {
    const writes = Array.from({ length: Math.min(WRITES_PER_COMMIT, records - done) }, (_, at) => {
      rkey = nextTid(rkey, Date.now() * 1000, 1);
      const bytes = encodeCbor(postOf(String(done + at)));
      return {
        action: "create" as const,
        path: `${COLLECTION}/${rkey}`,
        record: { cid: cidOfCbor(bytes), bytes },
      };
    });
    commit = signCommit(buildCommit({ did, head, writes, rev: nextTid(rkey, 0, 1), blocks }), signer);
    blocks.remove(commit.removed);
    blocks.add([...commit.newBlocks, commit.commit]);
    head = commit.head;
  }
  if (!commit) throw new RangeError("A repo without records");
  return encodeCar([commit.commit.cid], [...blocks]);
}
