/** dev.kith.community: records and blobs in the community's voice, at this server or at the one that has its account. */
import type { Members, Publisher } from "../../../communities/mod.ts";
import { KithError } from "../../../errors.ts";
import {
  DevKithCommunityApplyWrites,
  DevKithCommunityCreateRecord,
  DevKithCommunityDeleteRecord,
  DevKithCommunityPutRecord,
  DevKithCommunityUploadBlob,
} from "../../../lexicons/mod.ts";
import type { Community, CommunityAuditEntry } from "../../../storage/mod.ts";
import { type Call, callerDid, type Method } from "../../method.ts";
import { communityMethod } from "./access.ts";

/** JSON of one record, and of one applyWrites, in bytes: as of com.atproto.repo. */
const RECORD_JSON_BYTES_MAX = 2 * 1024 * 1024;
const WRITES_JSON_BYTES_MAX = 4 * 1024 * 1024;
const OWN_WRITES = "dev.kith.community.applyWrites#";
const REPO_WRITES = "com.atproto.repo.applyWrites#";

export interface PublishMethodsOptions {
  readonly members: Pick<Members, "require">;
  /** Ours: createRecord, putRecord, deleteRecord, applyWrites and uploadBlob of com.atproto.repo. */
  readonly repoMethods: readonly Method[];
  /** com.atproto.repo of the server that has a community's account. */
  readonly remote: Pick<Publisher, "call" | "upload">;
  /** The server to which a DID leads, as far as it is known; asked for communities whose account is here. */
  readonly serverOf: (did: string) => Promise<string | undefined>;
  readonly audit: { add(...entries: CommunityAuditEntry[]): Promise<void> };
  readonly serviceDid: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

type RepoMethod = "createRecord" | "putRecord" | "deleteRecord" | "applyWrites" | "uploadBlob";

export function publishMethods(options: PublishMethodsOptions): Method[] {
  const own = communityMethod(options.serviceDid);
  const voice = new CommunityVoice(options);
  return [
    own(DevKithCommunityCreateRecord.mainSchema, {
      bodyBytesMax: RECORD_JSON_BYTES_MAX,
      limit: (call) => voice.limit("createRecord", call),
      handler: (call) => voice.write("createRecord", call),
    }),
    own(DevKithCommunityPutRecord.mainSchema, {
      bodyBytesMax: RECORD_JSON_BYTES_MAX,
      limit: (call) => voice.limit("putRecord", call),
      handler: (call) => voice.write("putRecord", call),
    }),
    own(DevKithCommunityDeleteRecord.mainSchema, {
      limit: (call) => voice.limit("deleteRecord", call),
      handler: (call) => voice.write("deleteRecord", call),
    }),
    own(DevKithCommunityApplyWrites.mainSchema, {
      bodyBytesMax: WRITES_JSON_BYTES_MAX,
      limit: (call) => voice.limit("applyWrites", withRepoWrites(call)),
      handler: async (call) => withOwnResults(await voice.write("applyWrites", withRepoWrites(call))),
    }),
    own(DevKithCommunityUploadBlob.mainSchema, {
      limit: (call) => voice.limit("uploadBlob", call),
      handler: (call) => voice.upload(call),
    }),
  ];
}

/** One call of a member, turned into one call of the community. */
class CommunityVoice {
  readonly #options: PublishMethodsOptions;
  readonly #local: ReadonlyMap<string, Method>;

  constructor(options: PublishMethodsOptions) {
    this.#options = options;
    this.#local = new Map(options.repoMethods.map((repoMethod) => [repoMethod.nsid, repoMethod]));
  }

  /** Writes draw on the budgets of the community's repo; nobody draws on them who may not publish. */
  limit(name: RepoMethod, call: Call<object, unknown>) {
    const { community } = this.#publisher(call);
    const { limit } = this.#method(name);
    if (!limit) throw new TypeError(`${name} has no limit`);
    return limit(asCommunity(call, community));
  }

  async write(name: Exclude<RepoMethod, "uploadBlob">, call: Call<object, unknown>): Promise<unknown> {
    const { community, caller } = this.#publisher(call);
    await this.#requireHere(community);
    const answer =
      community.kind === "native"
        ? await this.#method(name).handler(asCommunity(call, community))
        : await this.#options.remote.call(community, {
            nsid: `com.atproto.repo.${name}`,
            input: asCommunity(call, community).input as Record<string, unknown>,
          });
    await this.#note({ community, caller, name, detail: writtenBy(call.input, answer) });
    return answer;
  }

  async upload(call: Call<object, unknown>): Promise<unknown> {
    const { community, caller } = this.#publisher(call);
    const { headers } = call.request;
    await this.#requireHere(community);
    const length = headers.get("content-encoding") === null ? headers.get("content-length") : null;
    const answer =
      community.kind === "native"
        ? await this.#method("uploadBlob").handler(asCommunity(call, community))
        : await this.#options.remote.upload(community, {
            type: headers.get("content-type") ?? "application/octet-stream",
            body: call.body ?? new Blob([]).stream(),
            ...(length === null ? {} : { bytes: Number(length) }),
          });
    await this.#note({ community, caller, name: "uploadBlob", detail: {} });
    return answer;
  }

  /** Throws KithError community_not_found, role_too_low, not_supported. */
  #publisher(call: Call<object, unknown>): { community: Community; caller: string } {
    const caller = callerDid(call);
    const { community } = this.#options.members.require(communityOf(call), { caller, right: "publish" });
    if (community.kind !== null) return { community, caller };
    throw new KithError(
      "not_supported",
      `Could not publish as "${community.did}": it is an identity alone, without an account`,
    );
  }

  /** What is written here after the owner's key has moved it away is seen by nobody. Throws KithError not_supported. */
  async #requireHere({ did, kind, pdsEndpoint }: Community): Promise<void> {
    if (kind !== "native") return;
    const server = await this.#options.serverOf(did);
    if (server === undefined || server === pdsEndpoint) return;
    throw new KithError(
      "not_supported",
      `Could not publish as "${did}": it has moved to "${server}", so nobody would see it. An owner can delete the community here`,
    );
  }

  #method(name: RepoMethod): Method {
    const found = this.#local.get(`com.atproto.repo.${name}`);
    if (!found) throw new TypeError(`There is no method com.atproto.repo.${name}`);
    return found;
  }

  async #note(about: {
    community: Community;
    caller: string;
    name: string;
    detail: Record<string, unknown>;
  }): Promise<void> {
    const { community, caller, name, detail } = about;
    const { audit, now } = this.#options;
    await audit.add({
      community: community.did,
      actor: caller,
      action: `publish.${name}`,
      detail,
      at: now(),
    });
  }
}

function communityOf({ input, params }: Call<object, unknown>): string {
  const { communityDid } = { ...params, ...(input as object | undefined) } as { communityDid: string };
  return communityDid;
}

/** The same call, as the account of the community itself would make it. */
function asCommunity(call: Call<object, unknown>, { did }: Community): Call {
  const { communityDid: _, ...input } = (call.input ?? {}) as Record<string, unknown>;
  return {
    ...call,
    principal: { kind: "user", did, scope: "com.atproto.access" },
    input: { ...input, repo: did },
  };
}

function withRepoWrites<P, I extends { readonly writes: readonly { readonly $type?: string }[] }>(
  call: Call<P, I>,
): Call<P, I> {
  const writes = call.input.writes.map((write) => renamed(write, [OWN_WRITES, REPO_WRITES]));
  return { ...call, input: { ...call.input, writes } };
}

function withOwnResults(answer: unknown): unknown {
  const { results, ...rest } = answer as { results?: readonly { $type?: string }[] };
  return { ...rest, results: (results ?? []).map((result) => renamed(result, [REPO_WRITES, OWN_WRITES])) };
}

function renamed<T extends { readonly $type?: string }>(item: T, [from, to]: [string, string]): T {
  return { ...item, $type: item.$type?.replace(from, to) };
}

/** What was written, for the audit: addresses, never contents. */
function writtenBy(input: unknown, answer: unknown): Record<string, unknown> {
  const { collection, rkey, writes } = input as {
    collection?: string;
    rkey?: string;
    writes?: readonly { collection: string; rkey?: string }[];
  };
  if (writes) {
    return { writes: writes.length, collections: [...new Set(writes.map((write) => write.collection))] };
  }
  const { uri } = (answer ?? {}) as { uri?: string };
  return uri === undefined ? { collection, rkey } : { uri };
}
