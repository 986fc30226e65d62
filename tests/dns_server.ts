/** A name server for the handles of a test: it answers text records over UDP, and knows no other names. */
import { createSocket, type Socket } from "node:dgram";

const HEADER_BYTES = 12;
const TYPE_TXT = 16;
const RESPONSE = 0x8180;
const NAME_ERROR = 3;

export class DnsServer implements AsyncDisposable {
  /** The text records by name, in lower case. */
  readonly texts = new Map<string, string>();
  readonly #socket: Socket = createSocket("udp4");

  async start(): Promise<this> {
    this.#socket.on("message", (query, { port, address }) => {
      this.#socket.send(this.#answer(query), port, address);
    });
    await new Promise<void>((resolve) => this.#socket.bind(0, "127.0.0.1", resolve));
    return this;
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  #answer(query: Buffer): Buffer {
    const { name, end } = nameAt(query, HEADER_BYTES);
    const text = query.readUInt16BE(end) === TYPE_TXT ? this.texts.get(name) : undefined;
    const header = Buffer.alloc(HEADER_BYTES);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(RESPONSE | (text === undefined ? NAME_ERROR : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(text === undefined ? 0 : 1, 6);
    const question = query.subarray(HEADER_BYTES, end + 4);
    return Buffer.concat(text === undefined ? [header, question] : [header, question, record(text)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }
}

function nameAt(bytes: Buffer, from: number): { name: string; end: number } {
  const labels: string[] = [];
  let at = from;
  for (let size = bytes[at] ?? 0; size > 0; size = bytes[at] ?? 0) {
    labels.push(bytes.toString("latin1", at + 1, at + 1 + size).toLowerCase());
    at += 1 + size;
  }
  return { name: labels.join("."), end: at + 1 };
}

/** A TXT record of the name in the question, valid for no time. */
function record(text: string): Buffer {
  const data = Buffer.from(text, "latin1");
  const head = Buffer.from([
    0xc0,
    HEADER_BYTES,
    0,
    TYPE_TXT,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    data.length + 1,
    data.length,
  ]);
  return Buffer.concat([head, data]);
}
