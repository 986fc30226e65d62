/** Writing as a community: into its repo here, or by the calls of a stock PDS, as the community's kind is. */
import { KithError } from "../errors.ts";
import { type HostError, type HostToken, isHostError, type Upload, type XrpcHost } from "../identity/mod.ts";
import type { StockCommunity } from "./sessions.ts";

export type PublishedNsid =
  | "com.atproto.repo.createRecord"
  | "com.atproto.repo.putRecord"
  | "com.atproto.repo.deleteRecord"
  | "com.atproto.repo.applyWrites";

/** `input` is of the community's own repo: its `repo` is set by the publisher. */
export interface PublishedCall {
  readonly nsid: PublishedNsid;
  readonly input: Readonly<Record<string, unknown>>;
}

/** The same calls into repos of this server, by nobody's session; who may make them has been decided. */
export interface LocalRepoCalls {
  call(did: string, call: PublishedCall): Promise<unknown>;
  upload(did: string, upload: Upload): Promise<unknown>;
}

/** What of a community says where it publishes. */
export interface PublishingCommunity {
  readonly did: string;
  /** Null of one that has no account. */
  readonly kind: "native" | "loopback" | "remote" | null;
  readonly pdsEndpoint: string | null;
}

export interface PublisherOptions {
  readonly local: LocalRepoCalls;
  readonly sessions: {
    /** Calls with what signs in as the account. */
    use<T>(community: StockCommunity, call: (token: HostToken) => Promise<T>): Promise<T>;
  };
  readonly hostOf: (community: StockCommunity) => XrpcHost;
}

export class Publisher {
  readonly #options: PublisherOptions;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  /**
   * What the repo answers. A stock PDS is asked once: where its answer is lost, nobody knows whether it was written. Throws
   * KithError not_supported, invalid_swap, invalid_request, payload_too_large, rate_limited, upstream_failure, timeout, and what
   * local calls throw.
   */
  async call(community: PublishingCommunity, { nsid, input }: PublishedCall): Promise<unknown> {
    const { local, sessions, hostOf } = this.#options;
    const call = { nsid, input: { ...input, repo: community.did } };
    const stock = stockOf(community);
    if (stock === undefined) return await local.call(community.did, call);
    const answer = sessions.use(stock, (token) => hostOf(stock).json(nsid, { input: call.input, token }));
    return await answer.catch(refuse);
  }

  /** The blob, as com.atproto.repo.uploadBlob answers it. A stream is sent once; its session is looked at before. */
  async upload(community: PublishingCommunity, upload: Upload): Promise<unknown> {
    const { local, sessions, hostOf } = this.#options;
    const stock = stockOf(community);
    if (stock === undefined) return await local.upload(community.did, upload);
    const host = hostOf(stock);
    const sent = async (): Promise<unknown> => {
      if (!(upload.body instanceof ReadableStream)) {
        return await sessions.use(stock, (token) => this.#send(host, { upload, token }));
      }
      const token = await sessions.use(stock, async (token) => {
        await host.json("com.atproto.server.getSession", { token });
        return token;
      });
      return await this.#send(host, { upload, token });
    };
    return await sent().catch(refuse);
  }

  async #send(host: XrpcHost, { upload, token }: { upload: Upload; token: HostToken }): Promise<unknown> {
    const isStream = upload.body instanceof ReadableStream;
    let sends = 0;
    const once = async () => {
      if (isStream && sends++ > 0)
        throw new KithError("rate_limited", `"${host.url}" takes no more uploads at this moment`);
      return upload;
    };
    return await host.json("com.atproto.repo.uploadBlob", { upload: once, token });
  }
}

/** Undefined of a native community. Throws KithError not_supported of one that has no account. */
export function stockOf({ did, kind, pdsEndpoint }: PublishingCommunity): StockCommunity | undefined {
  if (kind === "native") return undefined;
  if (kind !== null && pdsEndpoint !== null) return { did, kind, pdsEndpoint };
  const why = "it is an identity alone, and has no account";
  throw new KithError("not_supported", `Could not publish as "${did}": ${why}`);
}

/** What the caller has done wrong is told as if it had been found here. */
function refuse(error: unknown): never {
  if (!isHostError(error)) throw error;
  const code = codeOf(error);
  if (code === undefined) throw error;
  throw new KithError(code, error.message, { cause: error });
}

function codeOf({ status, error }: HostError): KithError["code"] | undefined {
  if (error === "InvalidSwap") return "invalid_swap";
  if (status === 429) return "rate_limited";
  if (status === 413 || /TooLarge$/.test(error)) return "payload_too_large";
  // An ended session is not the caller's.
  return status === 400 && !/Token$/.test(error) ? "invalid_request" : undefined;
}
