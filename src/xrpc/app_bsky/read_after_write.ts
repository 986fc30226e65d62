/**
 * Read after write: a service indexes a post some moments after it was written, and its author wants to see it at once. An
 * answer says up to which rev the service knows the caller's repo (Atproto-Repo-Rev); what is newer is put into it here.
 */
import { safeParse, type XRPCLexBodyParam, type XRPCQueryMetadata } from "@atcute/lexicons/validations";
import { isTid } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import { type Call, callerDid } from "../method.ts";
import { jsonObject } from "../proxy/json_object.ts";
import type { ServiceRef } from "../proxy/proxy_targets.ts";
import type { ServiceProxy, UpstreamResponse } from "../proxy/service_proxy.ts";
import type { Log } from "../request_log.ts";
import {
  type Json,
  type LocalRecords,
  type LocalRepo,
  lagOf,
  localProfile,
  localRecordsSince,
} from "./local_records.ts";
import { type ImagePreset, LocalViews } from "./local_views.ts";

const REV_HEADER = "atproto-repo-rev";
const LAG_HEADER = "Atproto-Upstream-Lag";

export interface ReadAfterWriteOptions {
  readonly proxy: Pick<ServiceProxy, "passOn" | "answer" | "answerRead" | "ask" | "read" | "targets">;
  readonly repos: { read<T>(did: string, read: (repo: LocalRepo) => T): Promise<T> };
  readonly accounts: {
    account(
      did: string,
    ): { readonly handle: string } | undefined | Promise<{ readonly handle: string } | undefined>;
  };
  /** URL of an image at the AppView, with three %s: preset, DID, CID. */
  readonly cdnUrlPattern: string | undefined;
  readonly publicUrl: string;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly log: Log;
}

/** What there is to put into an answer, and with which views. */
export interface Local {
  readonly records: LocalRecords;
  readonly views: LocalViews;
  /** What the service answers to a call in the account's name. */
  ask(nsid: string, params: URLSearchParams): Promise<Json>;
}

type JsonQuery = XRPCQueryMetadata & { readonly output: XRPCLexBodyParam };

export interface Overlay {
  readonly schema: JsonQuery;
  /** The answer with what is new; it may throw, and then the answer stays as it is. */
  merge(answer: Json, local: Local): Json | Promise<Json>;
}

export class ReadAfterWrite {
  readonly #options: ReadAfterWriteOptions;

  constructor(options: ReadAfterWriteOptions) {
    this.#options = options;
  }

  /** Passes a query on, and merges what is new into its answer. Throws as the proxy does. */
  async answer(call: Call, overlay: Overlay): Promise<unknown> {
    const { proxy } = this.#options;
    const { request } = call;
    const did = callerDid(call);
    const { nsid } = overlay.schema;
    const to = wantedService(proxy, { request, nsid });
    // An encoding that both the caller and we can read.
    const acceptEncoding = /\bgzip\b/i.test(request.headers.get("accept-encoding") ?? "")
      ? "gzip"
      : "identity";
    const upstream = await proxy.passOn(request, { did, nsid, to, acceptEncoding });
    const local = isReadable(upstream)
      ? await this.local(call, { to, headers: upstream.headers })
      : undefined;
    if (!local) return proxy.answer(request, upstream);
    const bytes = await proxy.read(upstream);
    const merged = await this.#merge(bytes, { overlay, local, did });
    if (!merged) return proxy.answer(request, decoded(upstream, bytes));
    return this.answerWith(call, merged, { local, headers: upstream.headers });
  }

  /** What the caller has written that the service, by the headers of its answer, does not know yet; undefined for nothing. */
  async local(call: Call, { to, headers }: { to: ServiceRef; headers: Headers }): Promise<Local | undefined> {
    const { repos, accounts, log } = this.#options;
    const did = callerDid(call);
    const rev = headers.get(REV_HEADER);
    if (rev === null || !isTid(rev)) return undefined;
    try {
      const account = await accounts.account(did);
      const found = await repos.read(did, (repo) => ({
        records: localRecordsSince(repo, { did, rev }),
        profile: localProfile(repo),
      }));
      const { records, profile } = found;
      if (!account || (!records.profile && records.posts.length === 0)) return undefined;
      const ask = this.#asker(call, to);
      const imageUrl = (preset: ImagePreset, cid: string) => this.#imageUrl(did, { preset, cid });
      const views = new LocalViews({ did, handle: account.handle, profile, imageUrl, ask });
      return { records, views, ask };
    } catch (error) {
      log.warn("Could not read what an account has written last", { did, error });
      return undefined;
    }
  }

  /** A merged answer, with the service's headers and how far it is behind. */
  answerWith(call: Call, json: Json, { local, headers }: { local: Local; headers: Headers }): object {
    const lag = lagOf(local.records, this.#options.now());
    if (lag !== undefined) call.headers.set(LAG_HEADER, String(lag));
    return this.#options.proxy.answerRead(json, { from: headers, to: call.headers });
  }

  async #merge(
    bytes: Uint8Array,
    { overlay, local, did }: { overlay: Overlay; local: Local; did: string },
  ): Promise<Json | undefined> {
    const { schema, merge } = overlay;
    const verdict = safeParse(schema.output.schema, jsonObject(bytes));
    // What is not the lexicon's is not ours to change.
    if (!verdict.ok) return undefined;
    try {
      return await merge(verdict.value as Json, local);
    } catch (error) {
      const { nsid } = schema;
      this.#options.log.warn("Could not put what an account has written last into an answer", {
        nsid,
        did,
        error,
      });
      return undefined;
    }
  }

  #asker(call: Call, to: ServiceRef): Local["ask"] {
    const did = callerDid(call);
    const { request } = call;
    return async (nsid, params) => (await this.#options.proxy.ask({ did, nsid, to, params, request })).json;
  }

  #imageUrl(did: string, { preset, cid }: { preset: ImagePreset; cid: string }): string {
    const { cdnUrlPattern, publicUrl } = this.#options;
    const values = [preset, did, cid];
    if (cdnUrlPattern !== undefined) return cdnUrlPattern.replaceAll("%s", () => values.shift() ?? "");
    return `${publicUrl}/xrpc/com.atproto.sync.getBlob?${new URLSearchParams({ did, cid })}`;
  }
}

/** The service that a call is for. Throws KithError method_not_implemented where there is none. */
export function wantedService(
  { targets }: { readonly targets: Pick<ServiceProxy["targets"], "wanted"> },
  { request, nsid }: { request: Request; nsid: string },
): ServiceRef {
  const to = targets.wanted(request, nsid);
  if (to) return to;
  throw new KithError("method_not_implemented", `Could not call "${nsid}": it is not served here`);
}

function isReadable({ headers, body }: UpstreamResponse): boolean {
  return body !== null && /^application\/(?:\w+\+)?json\b/i.test(headers.get("content-type") ?? "");
}

/** An answer whose body has been read and decoded. */
function decoded({ status, headers }: UpstreamResponse, bytes: Uint8Array): UpstreamResponse {
  const plain = new Headers(headers);
  plain.delete("content-encoding");
  return { status, headers: plain, body: new Response(bytes as Uint8Array<ArrayBuffer>).body };
}
