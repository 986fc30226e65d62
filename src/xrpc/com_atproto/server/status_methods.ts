/** com.atproto.server.activateAccount, deactivateAccount and checkAccountStatus: what the owner may make of an account. */
import {
  ComAtprotoServerActivateAccount,
  ComAtprotoServerCheckAccountStatus,
  ComAtprotoServerDeactivateAccount,
} from "@atcute/atproto";
import { type AccountLookup, type AccountStatus, parseDeleteAfter } from "../../../accounts/mod.ts";
import { cidToString, type Head } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsAccount } from "../../oauth_rules.ts";

/** A repo, as far as these methods look at it. */
export interface CountedRepo {
  state(): { readonly head: Head | null };
  counts(): {
    readonly blocks: number;
    readonly records: number;
    readonly expectedBlobs: number;
    readonly importedBlobs: number;
  };
}

export interface StatusMethodsOptions {
  readonly accounts: Pick<AccountLookup, "account">;
  readonly status: Pick<AccountStatus, "activate" | "deactivate" | "isDidValid">;
  readonly repos: { readDurable<T>(did: string, read: (repo: CountedRepo) => T): Promise<T> };
}

export function statusMethods(options: StatusMethodsOptions): Method[] {
  const { status } = options;
  return [
    method(ComAtprotoServerActivateAccount.mainSchema, {
      auth: "full",
      oauth: "refused",
      handler: (call) => status.activate(callerDid(call)),
    }),
    method(ComAtprotoServerDeactivateAccount.mainSchema, {
      // Who is taken down may leave.
      auth: "fullOrTakendown",
      oauth: needsAccount("status", "manage"),
      handler: (call) => {
        const { deleteAfter } = call.input;
        const options = deleteAfter === undefined ? {} : { deleteAfter: parseDeleteAfter(deleteAfter) };
        return status.deactivate(callerDid(call), options);
      },
    }),
    method(ComAtprotoServerCheckAccountStatus.mainSchema, {
      auth: "access",
      oauth: "any",
      handler: (call) => check(callerDid(call), options),
    }),
  ];
}

/** Everything that tells a member who moves whether all of it has arrived. */
async function check(did: string, { accounts, status, repos }: StatusMethodsOptions) {
  const [validDid, { head, counts }] = await Promise.all([
    status.isDidValid(did),
    repos.readDurable(did, (repo) => ({ head: repo.state().head, counts: repo.counts() })),
  ]);
  if (head === null) throw new KithError("storage_damaged", `The repo of "${did}" has no commit`);
  return {
    activated: (await accounts.account(did))?.state === "active",
    validDid,
    repoCommit: cidToString(head.commit),
    repoRev: head.rev,
    repoBlocks: counts.blocks,
    indexedRecords: counts.records,
    // As the reference: it stores preferences, and does not count them.
    privateStateValues: 0,
    expectedBlobs: counts.expectedBlobs,
    importedBlobs: counts.importedBlobs,
  };
}
