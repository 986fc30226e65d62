/** com.atproto.repo: getRecord, listRecords and describeRepo, for anybody. */
import {
  ComAtprotoRepoDescribeRepo,
  ComAtprotoRepoGetRecord,
  ComAtprotoRepoListRecords,
} from "@atcute/atproto";
import { cidToString, type DidDocument, handleOf, recordToJson } from "../../../atproto/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import {
  type Accounts,
  type AccountView,
  findAccount,
  type RepoReads,
  servedAccount,
} from "../repo_access.ts";

/** DRISL bytes of records on one page of listRecords; a page that reaches it ends early, with a cursor. */
const PAGE_BYTES_MAX = 4 * 1024 * 1024;

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
      // Apps ask their own server for everybody's records.
      if (recordElsewhere && !(await findAccount(accounts, repo))) {
        const answer = recordElsewhere(request);
        if (answer) return answer;
      }
      const notFound = `Could not locate record: at://${repo}/${collection}/${rkey}`;
      const { did } = await visibleAccount(accounts, { repo, code: "record_not_found", message: notFound });
      const found = await repos.read(did, (view) =>
        view.takedowns.record(collection, rkey) ? undefined : view.record(collection, rkey),
      );
      const text = found && cidToString(found.cid);
      if (!found || (cid !== undefined && cid !== text)) throw new KithError("record_not_found", notFound);
      return { uri: `at://${did}/${collection}/${rkey}`, cid: text, value: recordToJson(found.bytes) };
    },
  });
}

function listRecords({ accounts, repos }: ReadMethodsOptions): Method {
  return method(ComAtprotoRepoListRecords.mainSchema, {
    auth: "none",
    handler: async ({ params }) => {
      const { repo, collection, limit, reverse } = params;
      const message = `Could not find repo: ${repo}`;
      const { did } = await visibleAccount(accounts, { repo, code: "invalid_request", message });
      const cursor = params.cursor === "" ? undefined : params.cursor;
      const found = await repos.read(did, (view) =>
        view.listRecords({ collection, limit: limit + 1, cursor, reverse }),
      );
      const page = found.slice(0, pageLength(found, limit));
      const records = page.map(({ rkey, cid, bytes }) => ({
        uri: `at://${did}/${collection}/${rkey}`,
        cid: cidToString(cid),
        value: recordToJson(bytes),
      }));
      return { cursor: page.length < found.length ? page.at(-1)?.rkey : undefined, records };
    },
  });
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
async function visibleAccount(
  accounts: Accounts,
  { repo, code, message }: { repo: string; code: "record_not_found" | "invalid_request"; message: string },
): Promise<AccountView> {
  try {
    return await servedAccount(accounts, { identifier: repo });
  } catch (cause) {
    if (!isKithError(cause)) throw cause;
    throw new KithError(code, message, { cause });
  }
}
