/** com.atproto.repo: createRecord, putRecord, deleteRecord and applyWrites, all one kind of write request. */
import {
  ComAtprotoRepoApplyWrites,
  ComAtprotoRepoCreateRecord,
  ComAtprotoRepoDeleteRecord,
  ComAtprotoRepoPutRecord,
} from "@atcute/atproto";
import type { RecordWrite, WriteOutcome, WriteRequest } from "../../../actors/mod.ts";
import { COMMIT_OPS_MAX, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { REPO_WRITES, WRITE_COSTS } from "../../limits/charges.ts";
import type { Charge } from "../../limits/rate_limits.ts";
import { type Call, callerDid, type InputOf, type Method, method } from "../../method.ts";
import { missingRepo } from "../../oauth_rules.ts";
import { type Accounts, findAccount } from "../repo_access.ts";
import {
  createWrite,
  type Lexicons,
  type LexiconsAtHand,
  lexiconsFor,
  prepareRecord,
  RkeySource,
  swapCid,
  type ValidationStatus,
} from "./_prepare.ts";

/** JSON of one record in bytes; the record itself may have 1,000,000 in DRISL, where text is shorter. */
const RECORD_JSON_BYTES_MAX = 2 * 1024 * 1024;
/** JSON of one applyWrites in bytes; its commit may have 2,000,000. */
const WRITES_JSON_BYTES_MAX = 4 * 1024 * 1024;

export interface WriteMethodsOptions {
  readonly accounts: Accounts;
  readonly repos: {
    write(did: string, request: WriteRequest): Promise<WriteOutcome>;
  };
  /** What records of types are judged by that are not known here. */
  readonly lexicons: Lexicons;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** 0 to 1023, part of the record keys made here. */
  readonly clockId: number;
}

interface Deps extends WriteMethodsOptions {
  readonly rkeys: RkeySource;
}

export function writeMethods(options: WriteMethodsOptions): Method[] {
  const deps = { ...options, rkeys: new RkeySource(options) };
  return [createRecord(deps), putRecord(deps), deleteRecord(deps), applyWrites(deps)];
}

function createRecord(deps: Deps): Method {
  return method(ComAtprotoRepoCreateRecord.mainSchema, {
    auth: "access",
    oauth: (permissions, { input: { collection } }) =>
      missingRepo(permissions, [{ collection, action: "create" }]),
    limit: (call) => writing(call, WRITE_COSTS.create),
    bodyBytesMax: RECORD_JSON_BYTES_MAX,
    handler: async (call) => {
      const { repo, collection, record, validate, swapCommit } = call.input;
      const did = await writableRepo(deps, { call, repo });
      const rkey = call.input.rkey ?? deps.rkeys.next();
      const lexicons = await lexiconsFor([collection], { lexicons: deps.lexicons, validate });
      const prepared = prepareRecord({ collection, rkey, json: record, validate, lexicons });
      const write = createWrite({ collection, rkey }, { prepared, replaces: validate !== false });
      const outcome = await deps.repos.write(did, { writes: [write], swapCommit: swapCid(swapCommit) });
      return recordAnswer(call, outcome, prepared.validationStatus);
    },
  });
}

function putRecord(deps: Deps): Method {
  return method(ComAtprotoRepoPutRecord.mainSchema, {
    auth: "access",
    oauth: (permissions, { input: { collection } }) =>
      // Which of the two it is, shows only while it is written.
      missingRepo(permissions, [
        { collection, action: "create" },
        { collection, action: "update" },
      ]),
    limit: (call) => writing(call, WRITE_COSTS.update),
    bodyBytesMax: RECORD_JSON_BYTES_MAX,
    handler: async (call) => {
      const { repo, collection, rkey, record: json, validate, swapCommit, swapRecord } = call.input;
      const did = await writableRepo(deps, { call, repo });
      const lexicons = await lexiconsFor([collection], { lexicons: deps.lexicons, validate });
      const { validationStatus, ...content } = prepareRecord({ collection, rkey, json, validate, lexicons });
      const expected = swapRecord === null ? null : swapCid(swapRecord);
      const write: RecordWrite = { action: "put", collection, rkey, ...content, swapRecord: expected };
      const outcome = await deps.repos.write(did, { writes: [write], swapCommit: swapCid(swapCommit) });
      return recordAnswer(call, outcome, validationStatus);
    },
  });
}

function deleteRecord(deps: Deps): Method {
  return method(ComAtprotoRepoDeleteRecord.mainSchema, {
    auth: "access",
    oauth: (permissions, { input: { collection } }) =>
      missingRepo(permissions, [{ collection, action: "delete" }]),
    limit: (call) => writing(call, WRITE_COSTS.delete),
    handler: async (call) => {
      const { repo, collection, rkey, swapCommit, swapRecord } = call.input;
      const did = await writableRepo(deps, { call, repo });
      const write: RecordWrite = {
        action: "delete",
        collection,
        rkey,
        swapRecord: swapCid(swapRecord),
        ifExists: true,
      };
      const outcome = await deps.repos.write(did, { writes: [write], swapCommit: swapCid(swapCommit) });
      return { commit: commitMeta(call, outcome) };
    },
  });
}

function applyWrites(deps: Deps): Method {
  return method(ComAtprotoRepoApplyWrites.mainSchema, {
    auth: "access",
    oauth: (permissions, { input }) =>
      missingRepo(
        permissions,
        input.writes.map(({ $type, collection }) => ({ collection, action: actionOf($type) })),
      ),
    limit: (call) => writing(call, costOf(call.input.writes)),
    bodyBytesMax: WRITES_JSON_BYTES_MAX,
    handler: async (call) => {
      const { repo, validate, swapCommit, writes } = call.input;
      const did = await writableRepo(deps, { call, repo });
      if (writes.length > COMMIT_OPS_MAX) {
        throw new KithError(
          "invalid_request",
          `Too many writes: ${writes.length}, ${COMMIT_OPS_MAX} at most`,
        );
      }
      const written = writes.filter(({ $type }) => $type !== "com.atproto.repo.applyWrites#delete");
      const collections = written.map(({ collection }) => collection);
      const lexicons = await lexiconsFor(collections, { lexicons: deps.lexicons, validate });
      const prepared = writes.map((write, index) =>
        prepareAt(index, () => prepareWrite(deps, { write, validate, lexicons })),
      );
      const outcome = await deps.repos.write(did, {
        writes: prepared.map(({ write }) => write),
        swapCommit: swapCid(swapCommit),
      });
      const results = prepared.map(({ write, validationStatus }, index) =>
        resultOf(write, { result: outcome.results[index], validationStatus }),
      );
      return { commit: commitMeta(call, outcome), results };
    },
  });
}

/** The points of a call's writes, from the budgets of the caller's repo. */
function writing(call: Call, cost: number): Charge {
  return { budgets: REPO_WRITES, key: callerDid(call), cost };
}

function costOf(writes: readonly WriteInput[]): number {
  // More are refused, and must not be beyond every budget before that.
  return writes.slice(0, COMMIT_OPS_MAX).reduce((sum, { $type }) => sum + WRITE_COSTS[actionOf($type)], 0);
}

function actionOf($type: WriteInput["$type"]): keyof typeof WRITE_COSTS {
  return $type.slice($type.indexOf("#") + 1) as keyof typeof WRITE_COSTS;
}

type WriteInput = InputOf<ComAtprotoRepoApplyWrites.mainSchema>["writes"][number];

interface PreparedWrite {
  readonly write: RecordWrite;
  readonly validationStatus?: ValidationStatus;
}

function prepareWrite(
  { rkeys }: Deps,
  { write, ...judged }: { write: WriteInput; validate: boolean | undefined; lexicons: LexiconsAtHand },
): PreparedWrite {
  const { collection } = write;
  switch (write.$type) {
    case "com.atproto.repo.applyWrites#create": {
      const rkey = write.rkey ?? rkeys.next();
      const prepared = prepareRecord({ collection, rkey, json: write.value, ...judged });
      const { validationStatus } = prepared;
      return { write: createWrite({ collection, rkey }, { prepared, replaces: false }), validationStatus };
    }
    case "com.atproto.repo.applyWrites#update": {
      const { rkey, value: json } = write;
      const { validationStatus, ...content } = prepareRecord({ collection, rkey, json, ...judged });
      return { write: { action: "update", collection, rkey, ...content }, validationStatus };
    }
    case "com.atproto.repo.applyWrites#delete":
      return { write: { action: "delete", collection, rkey: write.rkey } };
  }
}

/** Says which of the writes is at fault. */
function prepareAt<T>(index: number, prepare: () => T): T {
  try {
    return prepare();
  } catch (error) {
    if (!(error instanceof KithError)) throw error;
    throw new KithError(error.code, `writes.${index}: ${error.message}`, { cause: error });
  }
}

function resultOf(
  { action }: RecordWrite,
  {
    result,
    validationStatus,
  }: { result?: WriteOutcome["results"][number]; validationStatus?: ValidationStatus },
): object {
  const $type = `com.atproto.repo.applyWrites#${action}Result`;
  if (action === "delete") return { $type };
  return { $type, ...recordMeta(result), validationStatus };
}

function recordMeta(result: WriteOutcome["results"][number] | undefined): { uri: string; cid: string } {
  if (!result?.cid) throw new TypeError("The repo answered a write of a record without its CID");
  return { uri: result.uri, cid: cidToString(result.cid) };
}

function recordAnswer(call: Call, outcome: WriteOutcome, validationStatus?: ValidationStatus): object {
  return { ...recordMeta(outcome.results[0]), commit: commitMeta(call, outcome), validationStatus };
}

/** The commit for the answer, its rev also as the header that tells clients how fresh a service is. */
function commitMeta(call: Call, { commit }: WriteOutcome): { cid: string; rev: string } | undefined {
  if (!commit) return undefined;
  call.headers.set("Atproto-Repo-Rev", commit.rev);
  return { cid: cidToString(commit.cid), rev: commit.rev };
}

/**
 * The DID of the repo to write to: the caller's own, named by DID or handle, and active. KithErrors account_not_found,
 * auth_required, account_takendown, account_suspended, account_deactivated.
 */
async function writableRepo(
  { accounts }: Deps,
  { call, repo }: { call: Call; repo: string },
): Promise<string> {
  const account = await findAccount(accounts, repo);
  const isGone = account?.state === "deleting" || account?.state === "deleted";
  if (!account || isGone)
    throw new KithError("account_not_found", `Could not write to "${repo}": there is no such account here`);
  if (account.did !== callerDid(call)) {
    throw new KithError("auth_required", `Could not write to "${repo}": it is not the caller's repo`);
  }
  switch (account.state) {
    case "takendown":
      throw new KithError("account_takendown", "Account has been taken down");
    case "suspended":
      throw new KithError("account_suspended", "Account has been suspended");
    case "deactivated":
      throw new KithError("account_deactivated", "Account is deactivated");
    default:
      return account.did;
  }
}
