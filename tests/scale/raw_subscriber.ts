/** A firehose subscriber on a bare TCP socket, which can stop reading: then the kernel's buffers fill, then the server's. */
import { connect, type Socket } from "node:net";
import { waitFor } from "../wait.ts";

const HEADER_END = "\r\n\r\n";
const OPCODE_CLOSE = 8;

export class RawSubscriber implements Disposable {
  readonly frames: Uint8Array[] = [];
  ended = false;
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);
  #upgraded = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => this.#receive(chunk as Buffer));
    socket.on("close", () => {
      this.ended = true;
    });
    socket.on("error", () => {
      this.ended = true;
    });
  }

  static async connect(port: number, cursor?: number): Promise<RawSubscriber> {
    const socket = connect({ port, host: "127.0.0.1" });
    const subscriber = new RawSubscriber(socket);
    const query = cursor === undefined ? "" : `?cursor=${cursor}`;
    socket.write(
      `GET /xrpc/com.atproto.sync.subscribeRepos${query} HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: Upgrade\r\n` +
        `Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    await waitFor("the upgrade", () => subscriber.#upgraded);
    return subscriber;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    if (!this.#upgraded) {
      const end = this.#buffer.indexOf(HEADER_END);
      if (end < 0) return;
      if (!this.#buffer.subarray(0, end).toString().startsWith("HTTP/1.1 101")) throw new Error("No upgrade");
      this.#upgraded = true;
      this.#buffer = this.#buffer.subarray(end + HEADER_END.length);
    }
    while (this.#takeMessage());
  }

  /** Takes one WebSocket message off the buffer; a server's are unmasked. https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */
  #takeMessage(): boolean {
    const buffer = this.#buffer;
    if (buffer.length < 2) return false;
    const short = buffer.readUInt8(1) & 0x7f;
    const start = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (buffer.length < start) return false;
    const length =
      short === 126 ? buffer.readUInt16BE(2) : short === 127 ? Number(buffer.readBigUInt64BE(2)) : short;
    if (buffer.length < start + length) return false;
    const opcode = buffer.readUInt8(0) & 0x0f;
    if (opcode === 2) this.frames.push(Uint8Array.from(buffer.subarray(start, start + length)));
    if (opcode === OPCODE_CLOSE) this.ended = true;
    this.#buffer = buffer.subarray(start + length);
    return true;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
