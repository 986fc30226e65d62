/**
 * com.atproto.sync.subscribeRepos over WebSocket: one outbox per socket. What is sent, and when, is the outbox's; here
 * are the upgrade, the refusals before it, and the translation between the socket and the outbox.
 * https://atproto.com/specs/event-stream
 */
import { ComAtprotoSyncSubscribeRepos } from "@atcute/atproto";
import { networkOf } from "../accounts/mod.ts";
import { KithError } from "../errors.ts";
import { queryOf, readParams } from "./_params.ts";
import type { Caller, LimitBypass } from "./limits/limit_bypass.ts";
import type { Log } from "./request_log.ts";
import { type RequestContext, WrongVerb } from "./router.ts";

export const SUBSCRIBE_REPOS = "com.atproto.sync.subscribeRepos";

const SUBPROTOCOL = "xrpc.v0.cbor";
/** Bytes that one socket may hold back. An outbox stops at the first frame that queues, so one frame (5 MB) must fit. */
const BACKPRESSURE_BYTES_MAX = 8 * 1024 * 1024;
/** Subscribers have nothing to say; a longer message closes the socket. */
const INBOUND_BYTES_MAX = 64 * 1024;
/**
 * A socket that has not answered our pings for so long is dead, in seconds. A subscriber that merely stopped reading
 * answers late: this is longer than an outbox waits before it says ConsumerTooSlow.
 */
const IDLE_TIMEOUT_S = 480;
/** How sockets are to be served; for the one who opens the port before there is an edge. */
export const WEBSOCKET_LIMITS = {
  backpressureLimit: BACKPRESSURE_BYTES_MAX,
  closeOnBackpressureLimit: false,
  idleTimeout: IDLE_TIMEOUT_S,
  maxPayloadLength: INBOUND_BYTES_MAX,
  perMessageDeflate: false,
  sendPings: true,
} as const;
/** How long a network with too many subscriptions is asked to wait, in seconds. */
const RETRY_AFTER_S = 60;
/** WebSocket close code for a failure of the server. https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 */
const CLOSE_INTERNAL = 1011;

/**
 * Where an outbox sends its frames. "sent": gone to the system; "queued": held back, send no more until `drained()`;
 * "dropped": lost, the subscriber is too slow or gone.
 */
export interface FirehoseSink {
  send(frame: Uint8Array): "sent" | "queued" | "dropped";
  /** Runs several sends, which reach the system in as few writes as can be: "queued" where it did not take all of them. */
  together(sends: () => void): "sent" | "queued";
  close(code: number, reason: string): void;
}

export interface FirehoseOutbox {
  /** The socket has sent what it held back. */
  drained(): void;
  /** The socket is gone. */
  closed(): void;
}

export interface Firehose {
  /** Throws a KithError where no further subscriber can be served: asked before the upgrade. */
  assertRoom(): void;
  /** Undefined where the stream has ended before it began (a cursor from the future). */
  subscribe(options: {
    readonly cursor: number | undefined;
    readonly sink: FirehoseSink;
  }): FirehoseOutbox | undefined;
}

/** What a socket carries from the upgrade to its end. */
export interface FirehoseSocket {
  readonly cursor: number | undefined;
  readonly requestId: string;
  readonly ip: string;
  readonly openedMs: number;
  frames: number;
  outbox: FirehoseOutbox | undefined;
}

export interface FirehoseEndpointOptions {
  readonly firehose: Firehose;
  readonly log: Log;
  readonly bypass: Pick<LimitBypass, "covers">;
  /** Subscriptions that one network may have at a time. */
  readonly networkSubscribersMax: number;
}

/** The part of `Bun.Server` that takes a request over to WebSocket. */
export interface Upgrader {
  upgrade(request: Request, options: { data: FirehoseSocket; headers?: Record<string, string> }): boolean;
}

export class FirehoseEndpoint {
  readonly websocket: Bun.WebSocketHandler<FirehoseSocket>;
  readonly #firehose: Firehose;
  readonly #log: Log;
  readonly #bypass: Pick<LimitBypass, "covers">;
  readonly #networkMax: number;
  /** Open sockets by network. */
  readonly #networks = new Map<string, number>();

  constructor({ firehose, log, bypass, networkSubscribersMax }: FirehoseEndpointOptions) {
    this.#firehose = firehose;
    this.#log = log;
    this.#bypass = bypass;
    this.#networkMax = networkSubscribersMax;
    this.websocket = {
      ...WEBSOCKET_LIMITS,
      open: (socket) => this.#open(socket),
      drain: (socket) => socket.data.outbox?.drained(),
      message: () => {},
      close: (socket, code) => this.#close(socket, code),
    };
  }

  /** Takes the request over. Throws the KithError to answer with where it cannot be. */
  upgrade(request: Request, { server, context }: { server: Upgrader; context: RequestContext }): void {
    context.nsid = SUBSCRIBE_REPOS;
    if (request.method !== "GET") throw new WrongVerb({ nsid: SUBSCRIBE_REPOS, kind: "subscription" });
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      throw new KithError("upgrade_required", `Could not call "${SUBSCRIBE_REPOS}": it needs a WebSocket`);
    }
    const cursor = readCursor(request);
    this.#firehose.assertRoom();
    const { requestId, ip } = context;
    this.#assertRoomFor({ request, ip });
    const data = { cursor, requestId, ip, openedMs: performance.now(), frames: 0, outbox: undefined };
    const headers = { "X-Request-Id": requestId, ...chosenProtocol(request) };
    if (!server.upgrade(request, { data, headers })) {
      throw new KithError("invalid_request", "Could not subscribe: the WebSocket handshake is malformed");
    }
  }

  #assertRoomFor(caller: Caller): void {
    const open = this.#networks.get(networkOf(caller.ip)) ?? 0;
    if (open < this.#networkMax || this.#bypass.covers(caller)) return;
    throw new KithError(
      "rate_limited",
      `Could not subscribe: ${open} subscriptions from "${caller.ip}" are open`,
      {
        retryAfterS: RETRY_AFTER_S,
      },
    );
  }

  #open(socket: Bun.ServerWebSocket<FirehoseSocket>): void {
    const network = networkOf(socket.data.ip);
    this.#networks.set(network, (this.#networks.get(network) ?? 0) + 1);
    const sink: FirehoseSink = {
      send: (frame) => {
        socket.data.frames += 1;
        const sent = socket.sendBinary(frame);
        if (sent > 0) return "sent";
        return sent === -1 ? "queued" : "dropped";
      },
      together: (sends) => {
        socket.cork(sends);
        return socket.getBufferedAmount() > 0 ? "queued" : "sent";
      },
      close: (code, reason) => socket.close(code, reason),
    };
    try {
      socket.data.outbox = this.#firehose.subscribe({ cursor: socket.data.cursor, sink });
    } catch (error) {
      this.#log.error("Could not open an outbox", { error, requestId: socket.data.requestId });
      socket.close(CLOSE_INTERNAL, "internal error");
    }
  }

  #close(socket: Bun.ServerWebSocket<FirehoseSocket>, closeCode: number): void {
    const { outbox, requestId, ip, openedMs, frames } = socket.data;
    outbox?.closed();
    const network = networkOf(ip);
    const left = (this.#networks.get(network) ?? 1) - 1;
    if (left > 0) this.#networks.set(network, left);
    else this.#networks.delete(network);
    const seconds = Math.round((performance.now() - openedMs) / 1000);
    this.#log.info("subscriber left", { nsid: SUBSCRIBE_REPOS, closeCode, frames, seconds, ip, requestId });
  }
}

/** A browser that offers subprotocols fails where none is chosen; frames are always those of `xrpc.v0.cbor`. */
function chosenProtocol(request: Request): Record<string, string> {
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
  return offered.includes(SUBPROTOCOL) ? { "Sec-WebSocket-Protocol": SUBPROTOCOL } : {};
}

function readCursor(request: Request): number | undefined {
  const { params } = ComAtprotoSyncSubscribeRepos.mainSchema;
  const { cursor } = readParams(params, queryOf(request)) as { cursor?: number };
  if (cursor === undefined || cursor >= 0) return cursor;
  throw new KithError("invalid_request", `Could not subscribe: the cursor ${cursor} is negative`);
}
