/**
 * A PLC directory inside the server, for dev mode only: it validates as the real one does, answers the same paths on the
 * server's own port, and is read and written directly by the server itself.
 * https://web.plc.directory/spec/v0.1/did-plc
 */
import {
  type AnyPlcOperation,
  type DidDocument,
  type PlcLogEntry,
  parsePlcOperation,
  plcStateOf,
  plcStateToDidDocument,
  validateOperation,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { type PlcData, type PlcDirectory, PlcRefusedError } from "./plc_directory.ts";

/** Where the directory keeps its operations. */
export interface PlcStore {
  /** Adds an entry and marks the entries of the same DID with the CIDs in `nullified`, in one durable step. */
  append(entry: PlcStoreRow, nullified: readonly string[]): void;
  /** Oldest first. */
  log(did: string): readonly PlcStoreRow[];
  /** Of all DIDs, oldest first, later than `after` where given. */
  export(page: { after: string | undefined; limit: number }): readonly PlcStoreRow[];
  /** Time of the newest entry. */
  lastCreatedAt(): string | undefined;
}

/** A log entry whose operation is plain JSON. */
export interface PlcStoreRow extends Omit<PlcLogEntry, "operation"> {
  readonly operation: object;
}

export interface EmbeddedPlcOptions {
  readonly store: PlcStore;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const BODY_BYTES_MAX = 100_000;
const EXPORT_COUNT_DEFAULT = 10;
const EXPORT_COUNT_MAX = 1_000;
const PLC_DID = /^did:plc:[a-z2-7]{24}$/;

export class EmbeddedPlc implements PlcDirectory {
  readonly #store: PlcStore;
  readonly #now: () => number;

  constructor({ store, now = Date.now }: EmbeddedPlcOptions) {
    this.#store = store;
    this.#now = now;
  }

  /** Refuses what the real directory refuses. The operation may be any JSON value. */
  async submit(did: string, operation: unknown): Promise<void> {
    if (!PLC_DID.test(did)) throw new PlcRefusedError(did, { status: 400, reason: `Invalid DID: ${did}` });
    const nowMs = Math.max(this.#now(), Date.parse(this.#store.lastCreatedAt() ?? "1970") + 1);
    const { cid, nullified } = this.#judge(did, { operation, nowMs });
    const createdAt = new Date(nowMs).toISOString();
    this.#store.append(
      { did, operation: parsePlcOperation(operation), cid, nullified: false, createdAt },
      nullified,
    );
  }

  #judge(did: string, { operation, nowMs }: { operation: unknown; nowMs: number }) {
    try {
      return validateOperation(this.#log(did), operation, { did, nowMs });
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      throw new PlcRefusedError(did, { status: 400, reason: error.message });
    }
  }

  async document(did: string): Promise<DidDocument> {
    return plcStateToDidDocument(did, await this.data(did));
  }

  async data(did: string): Promise<PlcData> {
    const state = plcStateOf(await this.lastOperation(did));
    if (state === null) throw new NotAvailable(did, { status: 410, message: `DID not available: ${did}` });
    return { did, ...state };
  }

  async lastOperation(did: string): Promise<AnyPlcOperation> {
    const last = this.#current(did).at(-1);
    if (last === undefined)
      throw new NotAvailable(did, { status: 404, message: `DID not registered: ${did}` });
    return last.operation;
  }

  async auditLog(did: string): Promise<readonly PlcLogEntry[]> {
    return this.#log(did);
  }

  /**
   * Answers what belongs to the directory: `/did:plc:...` with its sub-paths, and `/export`. Else undefined. As of the public one,
   * any web page may read it: apps in browsers look DIDs up.
   */
  async fetch(request: Request): Promise<Response | undefined> {
    const response = await this.#fetch(request);
    response?.headers.set("Access-Control-Allow-Origin", "*");
    return response;
  }

  async #fetch(request: Request): Promise<Response | undefined> {
    // A Host header can make it unreadable; whoever is asked next says so.
    const url = URL.parse(request.url);
    if (url === null) return undefined;
    if (url.pathname === "/export" && request.method === "GET") return this.#export(url.searchParams);
    const [, did = "", path = ""] = /^\/(did(?::|%3A)plc[^/]*)(\/.*)?$/i.exec(url.pathname) ?? [];
    if (did === "") return undefined;
    try {
      return await this.#answer(request, { did: decodeURIComponent(did), path });
    } catch (error) {
      if (error instanceof NotAvailable || error instanceof PlcRefusedError)
        return Response.json({ message: error.reason }, { status: error.status });
      if (error instanceof URIError) return Response.json({ message: "Invalid DID" }, { status: 400 });
      throw error;
    }
  }

  async #answer(request: Request, { did, path }: { did: string; path: string }): Promise<Response> {
    if (request.method === "POST" && path === "") {
      await this.submit(did, await readOperation(request, did));
      return new Response("OK");
    }
    if (request.method !== "GET" && request.method !== "HEAD")
      return Response.json({ message: "Method not allowed" }, { status: 405 });
    switch (path) {
      case "":
        return Response.json(await this.document(did), {
          headers: { "content-type": "application/did+ld+json" },
        });
      case "/data":
        return Response.json(await this.data(did));
      case "/log/last":
        return Response.json(await this.lastOperation(did));
      case "/log":
        await this.lastOperation(did);
        return Response.json(this.#current(did).map(({ operation }) => operation));
      case "/log/audit":
        await this.lastOperation(did);
        return Response.json(this.#log(did));
      default:
        return Response.json({ message: `Not found: ${path}` }, { status: 404 });
    }
  }

  #current(did: string): readonly PlcLogEntry[] {
    return this.#log(did).filter(({ nullified }) => !nullified);
  }

  #log(did: string): PlcLogEntry[] {
    return this.#store.log(did).map((row) => ({ ...row, operation: parsePlcOperation(row.operation) }));
  }

  #export(params: URLSearchParams): Response {
    const count = Number(params.get("count") ?? EXPORT_COUNT_DEFAULT);
    const after = params.get("after") ?? undefined;
    const afterMs = after === undefined ? 0 : Date.parse(after);
    if (!Number.isInteger(count) || count < 1 || Number.isNaN(afterMs))
      return Response.json({ message: "Invalid query parameter" }, { status: 400 });
    const limit = Math.min(count, EXPORT_COUNT_MAX);
    const since = after === undefined ? undefined : new Date(afterMs).toISOString();
    const lines = this.#store.export({ after: since, limit }).map((entry) => JSON.stringify(entry));
    return new Response(lines.join("\n"), { headers: { "content-type": "application/jsonlines" } });
  }
}

/** Not registered (404), or tombstoned (410). */
class NotAvailable extends KithError {
  readonly status: number;
  readonly reason: string;

  constructor(did: string, { status, message }: { status: number; message: string }) {
    super(
      status === 410 ? "did_deactivated" : "did_not_found",
      `The DID "${did}" is not in the PLC directory: ${message}`,
    );
    this.status = status;
    this.reason = message;
  }
}

async function readOperation(request: Request, did: string): Promise<unknown> {
  const refuse = (reason: string, status = 400) => new PlcRefusedError(did, { status, reason });
  let size = 0;
  const chunks: Uint8Array[] = [];
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > BODY_BYTES_MAX) throw refuse("request entity too large", 413);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw refuse("Operation is not JSON");
  }
}
