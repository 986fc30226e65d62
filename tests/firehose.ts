/** A consumer of `com.atproto.sync.subscribeRepos` that keeps every frame; decoded by the reference's own frame reader. */
import { type Cid, isCid } from "@atproto/lex-data";
import { Frame } from "@atproto/xrpc-server";
import { waitFor } from "./wait.ts";

export interface Op {
  readonly action: "create" | "update" | "delete";
  readonly path: string;
  readonly cid: Cid | null;
  readonly prev?: Cid | null;
}

/** One sequenced message; `body` is the payload as decoded, `frame` the very bytes received. */
export interface Event {
  readonly type: "#commit" | "#sync" | "#identity" | "#account";
  readonly seq: number;
  readonly did: string;
  readonly body: Record<string, unknown>;
  readonly frame: Uint8Array;
}

export interface Info {
  readonly name: string;
  readonly message?: string;
}

export interface ErrorMessage {
  readonly error: string;
  readonly message?: string;
}

/** What one frame is: an event, an #info, or an error. */
export function decodeFrame(frame: Uint8Array): { event?: Event; info?: Info; error?: ErrorMessage } {
  const decoded = Frame.fromBytes(frame);
  const body = decoded.body as unknown as Record<string, unknown>;
  if (decoded.isError()) return { error: body as unknown as ErrorMessage };
  const type = (decoded.header as { t?: string }).t;
  if (type === "#info") return { info: body as unknown as Info };
  if (type !== "#commit" && type !== "#sync" && type !== "#identity" && type !== "#account")
    throw new Error(`Frame of the unknown type "${type}"`);
  const did = type === "#commit" ? body.repo : body.did;
  if (typeof body.seq !== "number" || typeof did !== "string")
    throw new Error(`${type} without seq or DID: ${JSON.stringify(Object.keys(body))}`);
  return { event: { type, seq: body.seq, did, body, frame } };
}

/** The ops of a #commit. */
export function opsOf(event: Event): Op[] {
  return event.body.ops as Op[];
}

/** One line that says what an event is, for the tables of expected events. */
export function describeEvent(event: Event): string {
  if (event.type === "#commit") {
    const ops = opsOf(event).map((op) => `${op.action} ${op.path.split("/")[0]}`);
    return ["#commit", ops.sort().join(", ")].join(" ").trim();
  }
  if (event.type === "#account") {
    return `#account ${event.body.active ? "active" : String(event.body.status)}`;
  }
  return event.type;
}

/** A CID of a decoded body as text. */
export function cidText(value: unknown): string {
  if (!isCid(value)) throw new Error(`Not a CID: ${String(value)}`);
  return value.toString();
}

export interface FirehoseOptions {
  readonly cursor?: number;
  /** Called for each event as it comes; what it throws is kept in `problems`. */
  readonly onEvent?: (event: Event) => void;
  /** Whether frames and events are kept. */
  readonly keep?: boolean;
}

export class Firehose implements Disposable {
  readonly events: Event[] = [];
  readonly infos: Info[] = [];
  readonly problems: unknown[] = [];
  error: ErrorMessage | undefined;
  closed: { code: number; reason: string } | undefined;
  lastSeq: number;
  readonly #socket: WebSocket;
  readonly #options: FirehoseOptions;

  private constructor(socket: WebSocket, options: FirehoseOptions) {
    this.#socket = socket;
    this.#options = options;
    this.lastSeq = options.cursor ?? 0;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (message) => this.#receive(message.data));
    socket.addEventListener("close", ({ code, reason }) => {
      this.closed = { code, reason };
    });
  }

  /** Connects and waits until the socket is open (or closed again, which `closed` then tells). */
  static async connect(server: string, options: FirehoseOptions = {}): Promise<Firehose> {
    const url = new URL("/xrpc/com.atproto.sync.subscribeRepos", server.replace(/^http/, "ws"));
    if (options.cursor !== undefined) url.searchParams.set("cursor", String(options.cursor));
    const socket = new WebSocket(url);
    const firehose = new Firehose(socket, options);
    await new Promise<void>((resolve) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("close", () => resolve());
      socket.addEventListener("error", () => resolve());
    });
    return firehose;
  }

  #receive(data: unknown): void {
    try {
      if (!(data instanceof ArrayBuffer)) throw new Error(`A text message: ${String(data)}`);
      const { event, info, error } = decodeFrame(new Uint8Array(data));
      if (info) this.infos.push(info);
      if (error) this.error = error;
      if (!event) return;
      if (event.seq <= this.lastSeq) throw new Error(`seq ${event.seq} after ${this.lastSeq}`);
      this.lastSeq = event.seq;
      if (this.#options.keep !== false) this.events.push(event);
      this.#options.onEvent?.(event);
    } catch (problem) {
      this.problems.push(problem);
    }
  }

  /** Waits for an event that satisfies the predicate, from the `from`-th event kept on. */
  async find(what: string, predicate: (event: Event) => boolean, from = 0): Promise<Event> {
    return waitFor(what, () => {
      if (this.problems.length > 0) return undefined;
      return this.events.slice(from).find(predicate);
    });
  }

  /** Waits until the stream is closed; the error frame before it, if there was one. */
  async end(): Promise<{ code: number; error: ErrorMessage | undefined }> {
    const { code } = await waitFor("the stream to close", () => this.closed);
    return { code, error: this.error };
  }

  /** Throws the first thing that was wrong with any frame. */
  assertClean(): void {
    if (this.problems.length > 0) throw this.problems[0];
  }

  /** Sends bytes to the server, which has no use for any. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(bytes);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
