/**
 * Reads HTTP/1.1 answers off a kept connection, as cheaply as it can: the status, how long the body is, and the body
 * itself only where it is asked for. Pure; bytes come in as they come.
 */
const HEAD_END = "\r\n\r\n";
const LINE_END = "\r\n";
const HEAD_BYTES_MAX = 64 * 1024;
const NOTHING = Buffer.alloc(0);

export interface ResponseEnd {
  readonly status: number;
  readonly bodyBytes: number;
  /** Empty unless bodies are kept, or the status is an error's. */
  readonly body: Buffer;
}

type State = "head" | "length" | "chunk-size" | "chunk-data" | "chunk-end" | "trailer";

export class ResponseReader {
  readonly #onEnd: (end: ResponseEnd) => void;
  readonly #keepsBodies: boolean;
  #state: State = "head";
  /** What is too short to be understood yet. */
  #rest: Buffer = NOTHING;
  #status = 0;
  /** Bytes of the body, or of the chunk, that are to come. */
  #left = 0;
  #bodyBytes = 0;
  #kept: Buffer[] = [];

  constructor(options: { onEnd: (end: ResponseEnd) => void; keepBodies?: boolean }) {
    this.#onEnd = options.onEnd;
    this.#keepsBodies = options.keepBodies ?? false;
  }

  /** Takes what has come. Throws Error on what is no HTTP/1.1 answer of known length. */
  feed(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = NOTHING;
    while (bytes.length > 0) {
      const taken = this.#take(bytes);
      if (taken === 0) {
        this.#rest = Buffer.from(bytes);
        return;
      }
      bytes = bytes.subarray(taken);
    }
  }

  /** Takes one piece off the front; 0 where it has not come as a whole. */
  #take(bytes: Buffer): number {
    if (this.#state === "head") return this.#takeHead(bytes);
    if (this.#state === "length" || this.#state === "chunk-data") return this.#takeData(bytes);
    return this.#takeLine(bytes);
  }

  #takeHead(bytes: Buffer): number {
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      if (bytes.length > HEAD_BYTES_MAX) throw new Error("The head of an answer does not end");
      return 0;
    }
    const head = bytes.toString("latin1", 0, end + LINE_END.length).toLowerCase();
    this.#status = Number(head.slice(9, 12));
    if (!head.startsWith("http/1.1 ") || !(this.#status >= 200)) {
      throw new Error(`Not the head of an answer: "${head.slice(0, 80)}"`);
    }
    this.#bodyBytes = 0;
    const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1];
    if (length !== undefined) {
      this.#left = Number(length);
      this.#state = "length";
      if (this.#left === 0) this.#end();
    } else if (/\r\ntransfer-encoding: *chunked/.test(head)) this.#state = "chunk-size";
    else throw new Error("An answer does not say how long it is");
    return end + HEAD_END.length;
  }

  #takeData(bytes: Buffer): number {
    const count = Math.min(this.#left, bytes.length);
    this.#left -= count;
    this.#bodyBytes += count;
    if (this.#keepsBodies || this.#status >= 400) this.#kept.push(Buffer.from(bytes.subarray(0, count)));
    if (this.#left > 0) return count;
    if (this.#state === "length") this.#end();
    else this.#state = "chunk-end";
    return count;
  }

  #takeLine(bytes: Buffer): number {
    const end = bytes.indexOf(LINE_END);
    if (end < 0) return 0;
    if (this.#state === "chunk-end") this.#state = "chunk-size";
    else if (this.#state === "chunk-size") {
      this.#left = Number.parseInt(bytes.toString("latin1", 0, end), 16);
      if (Number.isNaN(this.#left)) throw new Error("A chunk does not say how long it is");
      this.#state = this.#left > 0 ? "chunk-data" : "trailer";
    } else if (end === 0) this.#end();
    return end + LINE_END.length;
  }

  #end(): void {
    const body = this.#kept.length === 0 ? NOTHING : Buffer.concat(this.#kept);
    this.#kept = [];
    this.#state = "head";
    this.#onEnd({ status: this.#status, bodyBytes: this.#bodyBytes, body });
  }
}
