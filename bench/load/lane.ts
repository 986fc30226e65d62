/** One kept connection that sends prepared requests, one after the other. */
import type { Socket } from "bun";
import { type PreparedRequest, stamp } from "./request_bytes.ts";
import { type ResponseEnd, ResponseReader } from "./response_reader.ts";

const LOOPBACK = "127.0.0.1";

/** Numbers for the marks in bodies: never twice in one run, nor in runs after one another. */
let count = Date.now() * 64;

export class Lane {
  readonly #requests: readonly PreparedRequest[];
  readonly #reader: ResponseReader;
  #socket: Socket<undefined> | undefined;
  #next = 0;
  /** What the kernel has not taken yet of a request. */
  #unsent: Buffer | undefined;
  #answer: PromiseWithResolvers<ResponseEnd> | undefined;
  #ended: Error | undefined;

  constructor(requests: readonly PreparedRequest[], { keepBodies = false } = {}) {
    this.#requests = requests;
    this.#reader = new ResponseReader({ keepBodies, onEnd: (end) => this.#settle(end) });
  }

  async connect(port: number): Promise<void> {
    this.#socket = await Bun.connect({
      hostname: LOOPBACK,
      port,
      socket: {
        data: (_socket, chunk) => this.#receive(chunk),
        drain: () => this.#flush(),
        close: () => this.#fail(new Error("The server closed a connection")),
        error: (_socket, error) => this.#fail(error),
      },
    });
    this.#socket.setNoDelay(true);
  }

  /** Sends the next request; resolves with its answer. Throws Error on any but a 2xx one. */
  async send(): Promise<ResponseEnd> {
    if (this.#ended) throw this.#ended;
    const request = this.#requests[this.#next++ % this.#requests.length]!;
    stamp(request, count++);
    const answer = Promise.withResolvers<ResponseEnd>();
    this.#answer = answer;
    this.#unsent = request.bytes;
    this.#flush();
    const end = await answer.promise;
    if (end.status >= 300) {
      const line = request.bytes.toString("latin1", 0, request.bytes.indexOf("\r\n"));
      throw new Error(`"${line}" answers ${end.status} ${end.body.toString("utf8", 0, 300)}`);
    }
    return end;
  }

  close(): void {
    this.#answer = undefined;
    this.#socket?.end();
  }

  #flush(): void {
    if (!this.#unsent || !this.#socket) return;
    const written = this.#socket.write(this.#unsent);
    this.#unsent = written < this.#unsent.length ? this.#unsent.subarray(Math.max(0, written)) : undefined;
  }

  #receive(chunk: Buffer): void {
    try {
      this.#reader.feed(chunk);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #settle(end: ResponseEnd): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.resolve(end);
  }

  #fail(error: Error): void {
    this.#ended = error;
    this.#answer?.reject(error);
  }
}

/** Opens one for each list of requests. */
export async function openLanes(
  port: number,
  lanes: readonly (readonly PreparedRequest[])[],
  options?: { keepBodies?: boolean },
): Promise<Lane[]> {
  const opened = lanes.map((requests) => new Lane(requests, options));
  await Promise.all(opened.map((lane) => lane.connect(port)));
  return opened;
}
