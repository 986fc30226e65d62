import { KithError } from "../errors.ts";
import { createSafeFetch, type SafeRequest, type SafeResponse } from "./safe_fetch.ts";

/** An operation as the directory takes and gives it: JSON, `prev` a CID as text, `sig` base64url. */
export type PlcOperationJson = Readonly<Record<string, unknown>>;
export type DidDocumentJson = Readonly<Record<string, unknown>> & { readonly id: string };

/** What the operations of a DID add up to. https://web.plc.directory/spec/v0.1/did-plc */
export interface PlcData {
  readonly did: string;
  readonly rotationKeys: readonly string[];
  readonly verificationMethods: Readonly<Record<string, string>>;
  readonly alsoKnownAs: readonly string[];
  readonly services: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>;
}

/** One accepted operation. */
export interface PlcLogEntry {
  readonly did: string;
  readonly operation: PlcOperationJson;
  readonly cid: string;
  /** True where a higher rotation key has undone it since. */
  readonly nullified: boolean;
  /** ISO 8601, with milliseconds. */
  readonly createdAt: string;
}

/**
 * The directory of did:plc. Reading a DID that is not there, or not any more, throws `did_not_found`; a directory that
 * cannot be reached or fails throws `upstream_failure` or `timeout`.
 */
export interface PlcDirectory {
  /**
   * Hands in a signed operation. Throws `PlcRefusedError` where the directory said no: nothing has changed. Any other error leaves
   * the outcome open: look with `auditLog` before trying again.
   */
  submit(did: string, operation: PlcOperationJson): Promise<void>;
  document(did: string): Promise<DidDocumentJson>;
  data(did: string): Promise<PlcData>;
  lastOperation(did: string): Promise<PlcOperationJson>;
  /** Oldest first, with nullified operations; empty where the DID is not registered. */
  auditLog(did: string): Promise<readonly PlcLogEntry[]>;
}

/** The directory answered that it does not take the operation. */
export class PlcRefusedError extends KithError {
  /** HTTP status of the answer: 400 to 499. */
  readonly status: number;
  /** The directory's own words. */
  readonly reason: string;

  constructor(did: string, { status, reason }: { status: number; reason: string }) {
    super("upstream_failure", `The PLC directory refused the operation for "${did}": ${reason}`);
    this.status = status;
    this.reason = reason;
  }
}

export const PLC_TIMEOUT_MS = 10_000;
/** A DID with hundreds of operations has a log of this size. */
const PLC_BYTES_MAX = 4_194_304;
const REASON_CHARS_MAX = 300;
/** 4xx answers that are no judgement on the operation. */
const PASSING_STATUSES = new Set([408, 425, 429]);

export interface PlcClientOptions {
  /** Without a slash at its end. The operator names it, so it may be on a private network. */
  readonly url: string;
  readonly timeoutMs?: number;
}

/** A directory over HTTP. */
export function createPlcClient({ url, timeoutMs = PLC_TIMEOUT_MS }: PlcClientOptions): PlcDirectory {
  const boundedFetch = createSafeFetch({ allowPrivateNetwork: true, bytesMax: PLC_BYTES_MAX, timeoutMs });
  const call = (path: string, request: SafeRequest = {}) =>
    boundedFetch(`${url}/${path}`, { ...request, redirectsMax: 0 });
  const read = async (did: string, path: string): Promise<unknown> => {
    const answer = await call(`${encodeURIComponent(did)}${path}`);
    if (answer.status === 404 || answer.status === 410)
      throw new KithError(
        "did_not_found",
        `The DID "${did}" is not in the PLC directory: ${reasonOf(answer)}`,
      );
    if (answer.status !== 200) throw unexpected(`read "${did}" from`, { url, answer });
    return jsonOf(answer) ?? Promise.reject(unexpected(`read "${did}" from`, { url, answer }));
  };
  return {
    submit: async (did, operation) => {
      const answer = await call(encodeURIComponent(did), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(operation),
      });
      const { status } = answer;
      if (status >= 200 && status < 300) return;
      if (status >= 400 && status < 500 && !PASSING_STATUSES.has(status))
        throw new PlcRefusedError(did, { status, reason: reasonOf(answer) });
      throw unexpected(`register the operation for "${did}" with`, { url, answer });
    },
    document: async (did) => ofDid<DidDocumentJson>(await read(did, ""), { did, key: "id", url }),
    data: async (did) => ofDid<PlcData>(await read(did, "/data"), { did, key: "did", url }),
    lastOperation: async (did) => (await read(did, "/log/last")) as PlcOperationJson,
    auditLog: async (did) => {
      try {
        return (await read(did, "/log/audit")) as PlcLogEntry[];
      } catch (error) {
        if (error instanceof KithError && error.code === "did_not_found") return [];
        throw error;
      }
    },
  };
}

function ofDid<T>(json: unknown, { did, key, url }: { did: string; key: string; url: string }): T {
  if (typeof json === "object" && json !== null && (json as Record<string, unknown>)[key] === did)
    return json as T;
  throw new KithError(
    "upstream_failure",
    `Could not read "${did}" from "${url}": the answer is about another DID`,
  );
}

function jsonOf(answer: SafeResponse): object | undefined {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(answer.body));
    return typeof json === "object" && json !== null ? json : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(answer: SafeResponse): string {
  const { message } = (jsonOf(answer) ?? {}) as { message?: unknown };
  const words = typeof message === "string" ? message : `status ${answer.status}`;
  return words.slice(0, REASON_CHARS_MAX);
}

function unexpected(action: string, { url, answer }: { url: string; answer: SafeResponse }): KithError {
  return new KithError(
    "upstream_failure",
    `Could not ${action} the PLC directory "${url}": ${reasonOf(answer)}`,
  );
}
