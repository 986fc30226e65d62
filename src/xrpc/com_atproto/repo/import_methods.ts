/** com.atproto.repo.importRepo and listMissingBlobs: what an account brings along, and what of it is still to come. */
import { ComAtprotoRepoImportRepo, ComAtprotoRepoListMissingBlobs } from "@atcute/atproto";
import { type AnyPlcOperation, cidToString, type DidDocument, signingKeyOf } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { asBodyError, declaredLength, isIdentityEncoded, refuseDeclaredLength } from "../../body.ts";
import { type Call, callerDid, type Method, method } from "../../method.ts";
import { needsAccount } from "../../oauth_rules.ts";
import type { RepoReads } from "../repo_access.ts";

/** Imports at one time, over all accounts: each has a page cache of its own, and the disk to itself for moments. */
const IMPORTS_MAX = 4;
/** A sender from whom nothing comes for so long has gone. */
const CHUNK_TIMEOUT_MS = 60_000;
const CAR_TYPE = "application/vnd.ipld.car";

export interface ImportMethodsOptions {
  readonly repos: RepoReads & {
    /** Resolves once the repo is switched in, durably; else nothing has changed. */
    importRepo(
      did: string,
      source: {
        readonly chunks: AsyncIterable<Uint8Array>;
        readonly bytesMax: number;
        documentKey(): Promise<string | undefined>;
        earlierKeys(): Promise<readonly string[]>;
      },
    ): Promise<void>;
  };
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  readonly plc: {
    /** Oldest first. */
    auditLog(did: string): Promise<readonly LogEntry[]>;
  };
  /** PDS_ACCEPTING_REPO_IMPORTS. */
  readonly isOpen: boolean;
  /** PDS_MAX_REPO_IMPORT_SIZE, in bytes. */
  readonly bytesMax: number;
}

interface LogEntry {
  readonly operation: AnyPlcOperation;
  readonly nullified: boolean;
}

export function importMethods(options: ImportMethodsOptions): Method[] {
  return [importRepo(options), listMissingBlobs(options)];
}

function importRepo({ repos, dids, plc, isOpen, bytesMax }: ImportMethodsOptions): Method {
  let imports = 0;
  return method(ComAtprotoRepoImportRepo.mainSchema, {
    auth: "full",
    oauth: needsAccount("repo", "manage"),
    handler: async (call) => {
      if (!isOpen) throw new KithError("invalid_request", "Service is not accepting repo imports");
      requireCar(call.request);
      refuseDeclaredLength(call.request, bytesMax);
      if (imports >= IMPORTS_MAX) {
        throw new KithError("busy", `Could not import: ${IMPORTS_MAX} imports run already`);
      }
      const did = callerDid(call);
      imports += 1;
      const chunks = new BodyChunks(call, { bytesMax });
      try {
        await repos.importRepo(did, {
          chunks,
          bytesMax,
          documentKey: async () => signingKeyOf(await dids.resolve(did, { fresh: true })),
          earlierKeys: async () => (did.startsWith("did:plc:") ? keysIn(await plc.auditLog(did)) : []),
        });
      } finally {
        imports -= 1;
        chunks.cancel();
      }
    },
  });
}

/** The signing keys of a DID over time, the newest first. */
function keysIn(log: readonly LogEntry[]): string[] {
  const keys = log.flatMap(({ operation, nullified }) => {
    if (nullified || operation.type === "plc_tombstone") return [];
    return (operation.type === "create" ? operation.signingKey : operation.verificationMethods.atproto) ?? [];
  });
  return [...new Set(keys)].reverse();
}

function requireCar(request: Request): void {
  const type = request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type === CAR_TYPE) return;
  const told = type === "" ? "missing" : `"${type.slice(0, 64)}"`;
  throw new KithError(
    "invalid_request",
    `Could not import: Content-Type is ${told}, ${CAR_TYPE} is expected`,
  );
}

/** The body as it comes. Breaking off is an error, also where the transport ends the stream as if it were whole. */
class BodyChunks implements AsyncIterable<Uint8Array> {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #declared: number | undefined;
  readonly #bytesMax: number;

  constructor({ body, request }: Call, { bytesMax }: { bytesMax: number }) {
    this.#bytesMax = bytesMax;
    this.#reader = body?.getReader();
    this.#declared = isIdentityEncoded(request) ? declaredLength(request) : undefined;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    for (let next = await this.#next(); !next.done; next = await this.#next()) {
      bytes += next.value.byteLength;
      if (bytes > this.#bytesMax) {
        throw new KithError("payload_too_large", `Could not import: ${this.#bytesMax} bytes at most`);
      }
      yield next.value;
    }
    if (this.#declared !== undefined && this.#declared !== bytes) {
      const message = `Could not import: ${this.#declared} bytes declared, ${bytes} received`;
      throw new KithError("invalid_request", message);
    }
  }

  async #next(): Promise<{ done: boolean; value: Uint8Array }> {
    const nothing = { done: true, value: new Uint8Array() };
    if (!this.#reader) return nothing;
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(
        new KithError("invalid_request", `Could not import: nothing came for ${CHUNK_TIMEOUT_MS / 1000} s`),
      );
    }, CHUNK_TIMEOUT_MS);
    try {
      const { done, value } = await Promise.race([this.#reader.read(), late.promise]);
      return done || value === undefined ? nothing : { done: false, value };
    } catch (error) {
      throw asBodyError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Reads no further. Repeatable. */
  cancel(): void {
    this.#reader?.cancel().catch(() => {});
  }
}

function listMissingBlobs({ repos }: ImportMethodsOptions): Method {
  return method(ComAtprotoRepoListMissingBlobs.mainSchema, {
    auth: "access",
    oauth: "any",
    handler: async (call) => {
      const did = callerDid(call);
      const { limit, cursor } = call.params;
      const found = await repos.read(did, (repo) => repo.listMissingBlobs({ limit: limit + 1, cursor }));
      const blobs = found
        .slice(0, limit)
        .map(({ cid, path }) => ({ cid: cidToString(cid), recordUri: `at://${did}/${path}` }));
      return { cursor: found.length > limit ? blobs.at(-1)?.cid : undefined, blobs };
    },
  });
}
