/** com.atproto.sync.getHead and getCheckout: the older names of getLatestCommit and getRepo, which old readers still use. */
import { ComAtprotoSyncGetCheckout, ComAtprotoSyncGetHead } from "@atcute/atproto";
import { cidToString } from "../../../atproto/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import { servedAccount } from "../repo_access.ts";
import { repoResponse, type SyncRepoOptions } from "./repo_methods.ts";

export function deprecatedSyncMethods(options: SyncRepoOptions): Method[] {
  return [getHead(options), getCheckout(options)];
}

function getHead({ accounts, repos }: SyncRepoOptions): Method {
  return method(ComAtprotoSyncGetHead.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal }) => {
      const refusal = new KithError("head_not_found", `Could not find root for DID: ${params.did}`);
      const { did } = await servedAccount(accounts, { identifier: params.did, principal }).catch(
        (error: unknown) => {
          throw isKithError(error, "repo_not_found") ? refusal : error;
        },
      );
      const head = await repos.readDurable(did, (repo) => repo.state().head);
      if (!head) throw refusal;
      return { root: cidToString(head.commit) };
    },
  });
}

function getCheckout(options: SyncRepoOptions): Method {
  return method(ComAtprotoSyncGetCheckout.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: ({ params, principal, request }) =>
      repoResponse(options, { did: params.did, principal, request }),
  });
}
