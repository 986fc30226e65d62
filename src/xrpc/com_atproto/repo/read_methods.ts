/** com.atproto.repo: getRecord, listRecords and describeRepo, for anybody. */
import {
  ComAtprotoRepoDescribeRepo,
  ComAtprotoRepoGetRecord,
  ComAtprotoRepoListRecords,
} from "@atcute/atproto";
import {
  cidToString,
  type DidDocument,
  handleOf,
  type JsonWriter,
  jsonPart,
  writeJson,
} from "../../../atproto/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import { JsonText, type Method, method } from "../../method.ts";
import {
  type Accounts,
  type AccountView,
  findAccount,
  type RecordRow,
  type RepoReads,
  served,
  servedAccount,
} from "../repo_access.ts";

/** DRISL bytes of records on one page of listRecords; a page that reaches it ends early, with a cursor. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024;

const CID = jsonPart('","cid":');
const VALUE = jsonPart(',"value":');
const COMMA = jsonPart(",");
const CLOSE = jsonPart("}");
const CLOSE_ALL = jsonPart("]}");

export interface ReadMethodsOptions {
  readonly accounts: Accounts;
  readonly repos: RepoReads;
  /** DID documents, as the network sees them. */
  readonly dids: { resolve(did: string): Promise<DidDocument> };
  /** Answers a getRecord of a repo that is not here, from the AppView; undefined where there is none. */
  readonly recordElsewhere?: (request: Request) => Promise<Response> | undefined;
}

export function readMethods(options: ReadMethodsOptions): Method[] {
  return [getRecord(options), listRecords(options), describeRepo(options)];
}

/** Only the current version of a record is held: another `cid` is not found. */
function getRecord({ accounts, repos, recordElsewhere }: ReadMethodsOptions): Method {
  return method(ComAtprotoRepoGetRecord.mainSchema, {
    auth: "none",
    handler: async ({ params, request }) => {
      const { repo, collection, rkey, cid } = params;
      const account = await findAccount(accounts, repo);
      // Apps ask their own server for everybody's records.
      const elsewhere = account ? undefined : recordElsewhere?.(request);
      if (elsewhere) return elsewhere;
      const notFound = `Could not locate record: at://${repo}/${collection}/${rkey}`;
      const { did } = visible(account, { repo, code: "record_not_found", message: notFound });
      const found = await repos.read(did, (view) => view.shownRecord(collection, rkey));
      if (!found || (cid !== undefined && cid !== cidToString(found.cid))) {
        throw new KithError("record_not_found", notFound);
      }
      const row = { rkey, cid: found.cid.bytes, bytes: found.bytes };
      return new JsonText(
        writeJson((json) => writeRecord(json, { before: beforeRkey(did, collection), row })),
      );
    },
  });
}

/** A record up to its key: the same for all of a page. */
function beforeRkey(did: string, collection: string): Uint8Array {
  return jsonPart(`{"uri":${JSON.stringify(`at://${did}/${collection}/`).slice(0, -1)}`);
}

/** `{uri, cid, value}` */
function writeRecord(json: JsonWriter, { before, row }: { before: Uint8Array; row: RecordRow }): void {
  json.raw(before);
  json.inString(row.rkey);
  json.raw(CID);
  json.cid(row.cid);
  json.raw(VALUE);
  json.record(row.bytes);
  json.raw(CLOSE);
}

function listRecords({ accounts, repos }: ReadMethodsOptions): Method {
  return method(ComAtprotoRepoListRecords.mainSchema, {
    auth: "none",
    handler: async ({ params }) => {
      const { repo, collection, limit, reverse } = params;
      const message = `Could not find repo: ${repo}`;
      const account = await findAccount(accounts, repo);
      const { did } = visible(account, { repo, code: "invalid_request", message });
      const cursor = params.cursor === "" ? undefined : params.cursor;
      const found = await repos.read(did, (view) =>
        view.listRecords({ collection, limit: limit + 1, cursor, reverse }),
      );
      const page = found.slice(0, pageLength(found, limit));
      const next = page.length < found.length ? page.at(-1)?.rkey : undefined;
      return pageOf(page, { before: beforeRkey(did, collection), cursor: next });
    },
  });
}

/** `{cursor?, records}` */
function pageOf(
  page: readonly RecordRow[],
  { before, cursor }: { before: Uint8Array; cursor: string | undefined },
): JsonText {
  const open = `{${cursor === undefined ? "" : `"cursor":${JSON.stringify(cursor)},`}"records":[`;
  const bytes = writeJson((json) => {
    json.raw(jsonPart(open));
    for (const [at, row] of page.entries()) {
      if (at > 0) json.raw(COMMA);
      writeRecord(json, { before, row });
    }
    json.raw(CLOSE_ALL);
  });
  return new JsonText(bytes);
}

/** How many of the records go on one page: at least one, at most `limit`, and within the bytes. */
function pageLength(found: readonly { readonly bytes: Uint8Array }[], limit: number): number {
  let bytes = 0;
  const end = found.findIndex((record) => {
    bytes += record.bytes.byteLength;
    return bytes > PAGE_BYTES_MAX;
  });
  return Math.min(limit, end === -1 ? found.length : Math.max(1, end));
}

function describeRepo({ accounts, repos, dids }: ReadMethodsOptions): Method {
  return method(ComAtprotoRepoDescribeRepo.mainSchema, {
    auth: "none",
    handler: async ({ params }) => {
      const { did, handle } = await servedAccount(accounts, { identifier: params.repo });
      const [didDoc, collections] = await Promise.all([
        dids.resolve(did),
        repos.read(did, (view) => view.collections()),
      ]);
      return { handle, did, didDoc, collections, handleIsCorrect: handleOf(didDoc) === handle };
    },
  });
}

/** These two methods know no error of a repo that is hidden: it looks like one that is not there. */
function visible(
  account: AccountView | undefined,
  { repo, code, message }: { repo: string; code: "record_not_found" | "invalid_request"; message: string },
): AccountView {
  try {
    return served(account, { identifier: repo });
  } catch (cause) {
    if (!isKithError(cause)) throw cause;
    throw new KithError(code, message, { cause });
  }
}
