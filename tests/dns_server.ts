/** A name server on loopback that answers questions for text records as a test tells it to. */
import { createSocket, type Socket } from "node:dgram";

const HEADER_BYTES = 12;
const FLAGS_FOUND = 0x8180;
const FLAGS_NO_SUCH_NAME = 0x8183;
const TEXT_BYTES_MAX = 255;

export class DnsServer implements AsyncDisposable {
  /** Names that were asked for, oldest first. */
  readonly questions: string[] = [];
  /** Texts by name; a name that is not here does not exist. */
  readonly texts = new Map<string, readonly string[]>();
  /** Names that are never answered. */
  readonly silent = new Set<string>();
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", (query, { port, address }) => {
      const name = questionName(query);
      this.questions.push(name);
      if (!this.silent.has(name)) socket.send(reply(query, this.texts.get(name) ?? []), port, address);
    });
  }

  static async start(): Promise<DnsServer> {
    const socket = createSocket("udp4");
    await new Promise<void>((bound) => socket.bind(0, "127.0.0.1", bound));
    return new DnsServer(socket);
  }

  /** As PDS_HANDLE_BACKUP_NAMESERVERS has it. */
  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((closed) => this.#socket.close(() => closed()));
  }
}

function questionName(query: Buffer): string {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(
      query
        .subarray(at + 1, at + 1 + length)
        .toString()
        .toLowerCase(),
    );
    at += length + 1;
  }
  return labels.join(".");
}

function reply(query: Buffer, texts: readonly string[]): Buffer {
  const questionEnd = query.indexOf(0, HEADER_BYTES) + 5;
  const header = Buffer.from(query.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(texts.length === 0 ? FLAGS_NO_SUCH_NAME : FLAGS_FOUND, 2);
  header.writeUInt16BE(texts.length, 6);
  header.writeUInt32BE(0, 8);
  return Buffer.concat([header, query.subarray(HEADER_BYTES, questionEnd), ...texts.map(textRecord)]);
}

/** The name by a pointer to the question, TXT, IN, a minute to live. */
function textRecord(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > TEXT_BYTES_MAX) throw new RangeError(`A text of ${bytes.length} bytes`);
  const head = [0xc0, HEADER_BYTES, 0, 16, 0, 1, 0, 0, 0, 60, 0, bytes.length + 1, bytes.length];
  return Buffer.concat([Buffer.from(head), bytes]);
}
