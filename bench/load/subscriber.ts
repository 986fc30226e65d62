/** A subscriber of the firehose on a bare socket, which does no more with an event than it is asked to. */
import type { Socket } from "bun";
import { FrameReader, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING } from "./frame_reader.ts";
import { HOST } from "./request_bytes.ts";

const LOOPBACK = "127.0.0.1";
const HEAD_END = "\r\n\r\n";
const PONG = 0x8a;
const MASKED = 0x80;

export interface SubscriberOptions {
  readonly port: number;
  readonly cursor?: number;
  /** Told of every event, with its bytes if `keepEvents`. */
  readonly onEvent: (frame: Buffer) => void;
  readonly keepEvents?: boolean;
  readonly onFailed: (error: Error) => void;
}

export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #reader: FrameReader;
  readonly #upgraded = Promise.withResolvers<void>();
  #socket: Socket<undefined> | undefined;
  #head: Buffer | undefined = Buffer.alloc(0);
  #closed = false;
  bytes = 0;

  private constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#reader = new FrameReader({
      keepPayloads: options.keepEvents ?? false,
      onFrame: (opcode, payload) => this.#take(opcode, payload),
    });
  }

  /** Resolves when the server has taken the subscription. */
  static async open(options: SubscriberOptions): Promise<Subscriber> {
    const subscriber = new Subscriber(options);
    subscriber.#socket = await Bun.connect({
      hostname: LOOPBACK,
      port: options.port,
      socket: {
        data: (_socket, chunk) => subscriber.#receive(chunk),
        close: () => subscriber.#fail(new Error("The server closed a subscription")),
        error: (_socket, error) => subscriber.#fail(error),
      },
    });
    const query = options.cursor === undefined ? "" : `?cursor=${options.cursor}`;
    subscriber.#socket.write(
      `GET /xrpc/com.atproto.sync.subscribeRepos${query} HTTP/1.1\r\nhost: ${HOST}\r\nconnection: upgrade\r\n` +
        `upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await subscriber.#upgraded.promise;
    return subscriber;
  }

  close(): void {
    this.#closed = true;
    this.#socket?.terminate();
  }

  #receive(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (!this.#head) {
      this.#reader.feed(chunk);
      return;
    }
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf(HEAD_END);
    if (end < 0) return;
    const line = this.#head.toString("latin1", 0, this.#head.indexOf("\r\n"));
    if (!line.startsWith("HTTP/1.1 101")) {
      this.#fail(new Error(`subscribeRepos answers "${line}"`));
      return;
    }
    const rest = this.#head.subarray(end + HEAD_END.length);
    this.#head = undefined;
    this.#upgraded.resolve();
    if (rest.length > 0) this.#reader.feed(rest);
  }

  #take(opcode: number, payload: Buffer): void {
    if (opcode === OPCODE_BINARY) this.#options.onEvent(payload);
    else if (opcode === OPCODE_PING) {
      // A client's frames are masked; a mask of zeros leaves the payload as it is.
      const head = Buffer.from([PONG, MASKED | payload.length, 0, 0, 0, 0]);
      this.#socket?.write(Buffer.concat([head, payload]));
    } else if (opcode === OPCODE_CLOSE) this.#fail(new Error(`A subscription was closed: ${payload}`));
  }

  #fail(error: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#upgraded.reject(error);
    this.#options.onFailed(error);
  }
}
