/** Reads WebSocket messages of a server off a connection: unmasked, and whole in one frame each. Pure. */
const NOTHING = Buffer.alloc(0);

export const OPCODE_BINARY = 2;
export const OPCODE_CLOSE = 8;
export const OPCODE_PING = 9;

export class FrameReader {
  readonly #onFrame: (opcode: number, payload: Buffer) => void;
  readonly #keepsPayloads: boolean;
  #rest: Buffer = NOTHING;
  #opcode = 0;
  /** Bytes that are to come of a payload nobody wants. */
  #skipped = 0;

  /** Without `keepPayloads` those of binary frames are passed over, and an empty one is handed on. */
  constructor(options: { onFrame: (opcode: number, payload: Buffer) => void; keepPayloads?: boolean }) {
    this.#onFrame = options.onFrame;
    this.#keepsPayloads = options.keepPayloads ?? false;
  }

  feed(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = NOTHING;
    while (bytes.length > 0) {
      const taken = this.#skipped > 0 ? this.#skip(bytes) : this.#takeFrame(bytes);
      if (taken === 0) {
        this.#rest = Buffer.from(bytes);
        return;
      }
      bytes = bytes.subarray(taken);
    }
  }

  #skip(bytes: Buffer): number {
    const count = Math.min(this.#skipped, bytes.length);
    this.#skipped -= count;
    if (this.#skipped === 0) this.#onFrame(this.#opcode, NOTHING);
    return count;
  }

  /** https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */
  #takeFrame(bytes: Buffer): number {
    if (bytes.length < 2) return 0;
    const short = bytes[1]! & 0x7f;
    const start = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (bytes.length < start) return 0;
    const length =
      short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
    this.#opcode = bytes[0]! & 0x0f;
    if (!this.#keepsPayloads && this.#opcode === OPCODE_BINARY && length > 0) {
      this.#skipped = length;
      return start;
    }
    if (bytes.length < start + length) return 0;
    this.#onFrame(this.#opcode, bytes.subarray(start, start + length));
    return start + length;
  }
}

const REV_KEY = Buffer.from([0x63, 0x72, 0x65, 0x76, 0x6d]);
const TID_CHARS = 13;
const SEQ_KEY = Buffer.from([0x63, 0x73, 0x65, 0x71]);

/** The rev that an event is of, found without decoding it; undefined where it has none. */
export function revOf(frame: Buffer): string | undefined {
  const at = frame.indexOf(REV_KEY);
  const start = at + REV_KEY.length;
  return at < 0 ? undefined : frame.toString("latin1", start, start + TID_CHARS);
}

/** The seq of an event, found without decoding it; undefined where it has none. https://www.rfc-editor.org/rfc/rfc8949 */
export function seqOf(frame: Buffer): number | undefined {
  const at = frame.indexOf(SEQ_KEY);
  const start = at + SEQ_KEY.length;
  const head = at < 0 ? undefined : frame[start];
  if (head === undefined) return undefined;
  if (head < 0x18) return head;
  if (head === 0x18) return frame.readUInt8(start + 1);
  if (head === 0x19) return frame.readUInt16BE(start + 1);
  if (head === 0x1a) return frame.readUInt32BE(start + 1);
  return head === 0x1b ? Number(frame.readBigUInt64BE(start + 1)) : undefined;
}
