import { z } from "zod";
import {
  type AnyPlcOperation,
  type DidDocument,
  type PlcLogEntry,
  type PlcState,
  parseDidDocument,
  parsePlcOperation,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { createSafeFetch, type SafeRequest, type SafeResponse } from "./safe_fetch.ts";

/** What the operations of a DID add up to. https://web.plc.directory/spec/v0.1/did-plc */
export interface PlcData extends PlcState {
  readonly did: string;
}

/**
 * The directory of did:plc. Reading a DID that is not there throws `did_not_found`, one that was given up `did_deactivated`; a directory that
 * cannot be reached or fails throws `upstream_failure` or `timeout`.
 */
export interface PlcDirectory {
  /**
   * Hands in a signed operation. Throws `PlcRefusedError` where the directory said no: nothing has changed. Any other error leaves
   * the outcome open: look with `auditLog` before trying again.
   */
  submit(did: string, operation: AnyPlcOperation): Promise<void>;
  document(did: string): Promise<DidDocument>;
  data(did: string): Promise<PlcData>;
  lastOperation(did: string): Promise<AnyPlcOperation>;
  /** Oldest first, with nullified operations; empty where the DID is not registered. */
  auditLog(did: string): Promise<readonly PlcLogEntry[]>;
}

/** The directory answered that it does not take the operation: code `invalid_request`. */
export class PlcRefusedError extends KithError {
  /** HTTP status of the answer: 400 to 499. */
  readonly status: number;
  /** The directory's own words. */
  readonly reason: string;

  constructor(did: string, { status, reason }: { status: number; reason: string }) {
    super("invalid_request", `The PLC directory refused the operation for "${did}": ${reason}`);
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

interface Answer {
  readonly did: string;
  readonly url: string;
  readonly json: unknown;
}

/** A directory over HTTP. */
export function createPlcClient({ url, timeoutMs = PLC_TIMEOUT_MS }: PlcClientOptions): PlcDirectory {
  const boundedFetch = createSafeFetch({ allowPrivateNetwork: true, bytesMax: PLC_BYTES_MAX, timeoutMs });
  const call = (path: string, request: SafeRequest = {}) =>
    boundedFetch(`${url}/${path}`, { ...request, redirectsMax: 0 });
  const read = async (did: string, path: string): Promise<Answer> => {
    const answer = await call(`${encodeURIComponent(did)}${path}`);
    if (answer.status === 404 || answer.status === 410)
      throw new KithError(
        isTombstone(answer) ? "did_deactivated" : "did_not_found",
        `The DID "${did}" is not in the PLC directory: ${reasonOf(answer)}`,
      );
    if (answer.status !== 200) throw unexpected(`read "${did}" from`, { url, answer });
    return { did, url, json: jsonOf(answer) };
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
    document: async (did) => understood(await read(did, ""), (json) => parseDidDocument(json, { did })),
    data: async (did) => understood(await read(did, "/data"), (json) => parseData(json, did)),
    lastOperation: async (did) => understood(await read(did, "/log/last"), parsePlcOperation),
    auditLog: async (did) => {
      try {
        return understood(await read(did, "/log/audit"), parseLog);
      } catch (error) {
        if (isKithError(error, "did_not_found") || isKithError(error, "did_deactivated")) return [];
        throw error;
      }
    },
  };
}

const dataSchema = z.object({
  did: z.string(),
  rotationKeys: z.array(z.string()),
  verificationMethods: z.record(z.string(), z.string()),
  alsoKnownAs: z.array(z.string()),
  services: z.record(z.string(), z.object({ type: z.string(), endpoint: z.string() })),
});

const logSchema = z.array(
  z.object({
    did: z.string(),
    operation: z.unknown().transform(parsePlcOperation),
    cid: z.string(),
    nullified: z.boolean(),
    createdAt: z.string(),
  }),
);

function parseData(json: unknown, did: string): PlcData {
  const data = dataSchema.parse(json);
  if (data.did !== did) throw new Error(`it is about "${data.did}"`);
  return data;
}

function parseLog(json: unknown): PlcLogEntry[] {
  return logSchema.parse(json);
}

/** The answer in the form that it must have; the directory is at fault where it has not. */
function understood<T>({ did, url, json }: Answer, parse: (json: unknown) => T): T {
  try {
    return parse(json);
  } catch (cause) {
    const message = `Could not read "${did}" from the PLC directory "${url}": the answer was not understood`;
    throw new KithError("upstream_failure", message, { cause });
  }
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

/** The directory says 410; the version of it that is published for others says 404, and only its words differ. */
function isTombstone(answer: SafeResponse): boolean {
  return answer.status === 410 || reasonOf(answer).startsWith("DID not available");
}

function unexpected(action: string, { url, answer }: { url: string; answer: SafeResponse }): KithError {
  return new KithError(
    "upstream_failure",
    `Could not ${action} the PLC directory "${url}": ${reasonOf(answer)}`,
  );
}
